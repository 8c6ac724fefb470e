# SPDX-License-Identifier: GPL-3.0-or-later
"""Which process steers a run, and when it is known to be dead."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._journal import controller

HERE = controller.identify(os.getpid())


def test_a_living_process_is_not_dead() -> None:
    assert HERE["started"]
    assert not controller.is_known_dead(HERE, HERE)


def test_a_killed_process_is_dead_even_before_anybody_buried_it() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    recorded = controller.identify(child.pid)
    assert not controller.is_known_dead(recorded, HERE)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert controller.is_known_dead(recorded, HERE)
    child.wait()
    assert controller.is_known_dead(recorded, HERE)


def test_another_process_under_the_same_pid_is_not_the_one_that_was_recorded() -> None:
    assert controller.is_known_dead(dict(HERE, started="1"), HERE)


@pytest.mark.parametrize("part", ["host", "boot", "space"])
def test_of_another_machine_nothing_is_known(part: str) -> None:
    assert not controller.is_known_dead(dict(HERE, pid=1, started="1", **{part: "other"}), HERE)


def test_where_the_kernel_tells_nothing_nothing_is_known() -> None:
    assert not controller.is_known_dead(dict(HERE, boot="", started="1"), dict(HERE, boot=""))
