# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that stays behind is seen; one of somebody else's is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from check.leftovers import find_leftovers


def test_a_process_in_our_folder_is_found(tmp_path: Path) -> None:
    ours = subprocess.Popen(
        [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"],
        cwd=tmp_path, start_new_session=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        # Just after exec a process has no command line yet; its first word proves that it has one.
        assert ours.stdout is not None
        assert ours.stdout.readline() == b"\n"
        assert ours.pid in find_leftovers(marks=(f"{tmp_path}/",))
        assert ours.pid not in find_leftovers(marks=(f"{tmp_path}/elsewhere/",))
    finally:
        ours.kill()
        ours.communicate(timeout=10)
    assert ours.pid not in find_leftovers(marks=(f"{tmp_path}/",))
