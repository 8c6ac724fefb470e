# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_dump, the compressor, the server or we ourselves end: early in the data, in the middle, near its end."""

from __future__ import annotations

import functools
import os
import re
import signal
import threading
import typing as t
from pathlib import Path
from unittest import mock

import pyrage
import pytest
import zstandard

from ansible_collections.emailai.migration.plugins.module_utils._archive import packing, parts, shelf
from chaos.archive.trial import Trial
from integration.archive_world import World, execute, made, s3_options
from integration.test_pg_backup import BULK

# A dump that has only a pipe full left to write has ended before anybody could end it.
PERCENT = (10, 50, 90)
KEY = str(pyrage.x25519.Identity.generate())
_LOST = r"^Cannot (finish pg_dump|read table|read the catalog|reach database|begin)"
# What happens, and the one sentence with which the struck backup ends.
ENDS = {
    "the_dump_is_killed": r"^Cannot finish pg_dump: it was ended by SIGKILL\. Run it again\.$",
    "the_compressor_fails": r"^Cannot pack the stream: .*not enough memory",
    "the_server_crashes": _LOST,
    "the_server_is_restarted": _LOST,
    "the_sessions_are_ended": _LOST,
    "we_are_killed": r"its process is gone\. Run it again: it begins anew and cleans up\.$",
    "we_are_told_to_end": r"^Cannot go on with the work: it was told to end\.$",
}


@pytest.fixture(scope="module", params=["s3", "folder"])
def pattern(
    request: pytest.FixtureRequest, postgres: t.Any, tmp_path_factory: pytest.TempPathFactory
) -> World:
    folder = tmp_path_factory.mktemp("pattern")
    options = {"kind": "folder", "path": str(folder / "store")}
    if request.param == "s3":
        options = s3_options(request.getfixturevalue("store"))
    world = made(postgres, options, folder)
    execute(world.target, BULK)
    return world


@pytest.fixture(scope="module")
def data_bytes(pattern: World) -> int:
    """The length of the stream of the data, before the compressor."""
    trial = Trial(pattern, pattern.store)
    trial.honest.backup()
    (found,) = shelf.backups(trial.honest.place())
    return max(int(one["bytes_plain"]) for one in found.manifest["streams"])


class Compressor:
    """The real one; something bad happens once so many bytes of one stream have gone through it."""

    def __init__(self, after: int, strike: t.Callable[[], None], **options: t.Any) -> None:
        self._honest = zstandard.ZstdCompressor(**options)
        self._left, self._strike = after, strike

    def compress(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left <= 0 < self._left + len(data):
            self._strike()
        packed: bytes = self._honest.compress(data)
        return packed


class Strikes:
    """What can happen; all of it is done by the worker itself, in the thread that feeds the compressor."""

    def __init__(self, world: World) -> None:
        self._server, self._name = world.postgres.server, world.target.dbname

    def the_dump_is_killed(self) -> None:
        # A thread's children are those that it started itself.
        children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGKILL)

    def the_compressor_fails(self) -> None:
        raise zstandard.ZstdError("error compressing: Allocation error : not enough memory")

    def the_server_crashes(self) -> None:
        self._server.restart("immediate")

    def the_server_is_restarted(self) -> None:
        self._server.restart("fast")

    def the_sessions_are_ended(self) -> None:
        self._server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND pid <> pg_backend_pid()",
            values=(self._name,),
        )

    def we_are_killed(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def we_are_told_to_end(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("fault", [*ENDS, "the_dump_is_killed, encrypted", "we_are_killed, encrypted"])
def test_a_backup_is_whole_or_not_there_and_the_next_one_is_made(
    pattern: World, data_bytes: int, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, _comma, is_encrypted = fault.partition(", ")
    store = dict(pattern.store, age_keys=[KEY]) if is_encrypted else pattern.store
    strike = getattr(Strikes(pattern), fault)
    wrong = {}
    for percent in PERCENT:
        trial = Trial(pattern, store)
        struck = functools.partial(Compressor, data_bytes * percent // 100, strike)
        monkeypatch.setattr(parts, "FIRST_PART", 5 * parts.MIB)
        # Small ones, or the dump has ended before the compressor sees its last bytes.
        monkeypatch.setattr(packing, "_MOST_FRAME", 1 << 16)
        monkeypatch.setattr(packing, "zstandard", mock.Mock(wraps=zstandard, ZstdCompressor=struck))
        words, faults = trial.faults(monkeypatch.undo, can_tidy=fault != "we_are_killed")
        if not re.search(ENDS[fault], words):
            faults.append(f"another end: {words!r}")
        if faults:
            wrong[percent] = faults
    assert wrong == {}
