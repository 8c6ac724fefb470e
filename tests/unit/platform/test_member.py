# SPDX-License-Identifier: GPL-3.0-or-later
"""No archive writes outside its folder, on no Python; what is harmless is unpacked as it was meant."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import tempfile
import typing as t
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform import member, server

Part = t.Tuple[str, bytes, str]
FILE, FOLDER, LINK, SECOND, PIPE = (
    tarfile.REGTYPE,
    tarfile.DIRTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.FIFOTYPE,
)


def _archive(parts: t.Sequence[Part]) -> io.BytesIO:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, kind, target in parts:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode = kind, target, 0o6777
            entry.uid = entry.gid = 12345
            entry.size = 4 if kind == FILE else 0
            archive.addfile(entry, io.BytesIO(b"text"))
    raw.seek(0)
    return raw


# Python's own guard switched off, where it has one: Debian's 3.11.2 has none.
_NO_FILTER: dict[str, t.Any] = {"filter": lambda entry, _path: entry} if server._FILTER else {}


def _unpack(folder: Path, parts: t.Sequence[Part]) -> None:
    """As on a server whose Python has no filter of its own."""
    place = server.Server(folder)
    place.prepare()
    with pytest.MonkeyPatch.context() as old:
        old.setattr(server, "_FILTER", _NO_FILTER)
        place.unpack("v1", t.cast(t.BinaryIO, _archive(parts)), "0" * 64)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([("../outside", FILE, "")], "leads out of the folder"),
        ([("a/../../outside", FILE, "")], "leads out of the folder"),
        ([("up", LINK, "..")], "which leads out"),
        ([("a/up", LINK, "../../outside")], "which leads out"),
        ([("root", LINK, "/etc")], "only relative links"),
        ([("here", LINK, "."), ("up", LINK, "here/..")], "only relative links"),
        ([("here", LINK, "a"), ("here/file", FILE, "")], "through a link"),
        ([("here", LINK, "a"), ("here", FILE, "")], "through a link"),
        ([("second", SECOND, "../../outside")], "a second name"),
        ([("here", LINK, "a"), ("second", SECOND, "here")], "a second name"),
        ([("pipe", PIPE, "")], "neither file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(part[0] for part in value),
)
def test_what_would_leave_the_folder_is_refused_and_nothing_is_left(
    tmp_path: Path, parts: list[Part], words: str
) -> None:
    with pytest.raises(MigrationError, match=words):
        _unpack(tmp_path, [("good", FILE, ""), *parts])
    assert list((tmp_path / "releases").iterdir()) == []


def test_what_is_harmless_is_unpacked_and_belongs_to_whoever_unpacked_it(tmp_path: Path) -> None:
    parts = [
        ("./", FOLDER, ""),
        ("/lib/", FOLDER, ""),
        ("./lib/file", FILE, ""),
        ("bin/run", LINK, "../lib/file"),
        ("again", SECOND, "./lib/file"),
    ]
    _unpack(tmp_path, parts)
    release = tmp_path / "releases" / "v1"
    assert (release / "bin" / "run").read_text() == (release / "again").read_text() == "text"
    for path in (release / "lib", release / "lib" / "file"):
        found = path.stat()
        assert (found.st_uid, found.st_gid) == (os.geteuid(), os.getegid())
        assert found.st_mode & 0o7022 == 0


_NAMES = st.lists(st.sampled_from(["a", "b", "..", "."]), min_size=1, max_size=4).map("/".join)


@settings(max_examples=300, deadline=None)
@example([("a", FILE, ""), ("a/a", LINK, "a/.")])
@example([("a", FOLDER, ""), ("a", LINK, "./a")])
@given(st.lists(st.tuples(_NAMES, st.sampled_from([FILE, FOLDER, LINK, SECOND]), _NAMES), max_size=6))
def test_no_mixture_of_names_and_links_reaches_outside(parts: list[Part]) -> None:
    with tempfile.TemporaryDirectory() as name:
        # Deep enough that every way out of these parts would end below our own folder.
        folder = Path(name) / "a" / "a" / "a" / "a" / "a" / "a"
        folder.mkdir(parents=True)
        with tarfile.open(fileobj=_archive(parts)) as archive:
            try:
                members = member.allowed(archive, "v1")
            except MigrationError:
                return
            # A file where a folder should be is refused by the system, as for any archive.
            with contextlib.suppress(OSError):
                archive.extractall(folder, members, **_NO_FILTER)
        above = {path for path in Path(name).rglob("*") if folder not in (path, *path.parents)}
        assert above == set(folder.parents) - set(Path(name).parents) - {Path(name)}
        for path in folder.rglob("*"):
            assert Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
