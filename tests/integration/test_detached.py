# SPDX-License-Identifier: GPL-3.0-or-later
"""A detached process shares nothing with the one that started it."""

from __future__ import annotations

import gc
import os
import select
import socket
import typing as t
from pathlib import Path

from ansible_collections.emailai.migration.plugins.module_utils._journal import worker
from integration.archive_world import wait_until


class Circle:
    """Something that nobody holds any more, and that only the collector ends: as clients of a store are."""

    def __init__(self) -> None:
        self.itself = self
        self.socket = socket.socket()


def test_what_its_parent_left_lying_closes_nothing_of_its_own(tmp_path: Path) -> None:
    def work(_reporter: worker.Reporter) -> dict[str, t.Any]:
        mine = [os.open(os.devnull, os.O_RDONLY) for _number in range(64)]
        gc.collect()
        return {"still_open": sum(os.fstat(one).st_size == 0 for one in mine)}

    gc.collect()
    gc.disable()
    try:
        number = Circle().socket.fileno()
        worker.detach(str(tmp_path), "work", work)
    finally:
        gc.enable()
    report = worker.wait(str(tmp_path), "work", 20)
    assert (report["state"], report.get("result")) == ("done", {"still_open": 64}), (number, report)


def test_it_holds_no_pipe_of_its_parent(tmp_path: Path) -> None:
    """Ansible waits for the end of the pipes that it gave to the module."""
    go_on = tmp_path / "go on"

    def work(_reporter: worker.Reporter) -> dict[str, t.Any]:
        wait_until(go_on.exists)
        return {}

    reading, writing = os.pipe()
    try:
        worker.detach(str(tmp_path), "work", work)
        os.close(writing)
        assert select.select([reading], [], [], 5)[0], "somebody else holds the other end"
        assert os.read(reading, 1) == b""
    finally:
        go_on.touch()
        os.close(reading)
    assert worker.wait(str(tmp_path), "work", 20)["state"] == "done"
