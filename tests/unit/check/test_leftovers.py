# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that stays behind is seen; one of somebody else's is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from check.leftovers import find_leftovers


def test_a_process_in_our_folder_is_found(tmp_path: Path) -> None:
    ours = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], cwd=tmp_path, start_new_session=True
    )
    try:
        assert ours.pid in find_leftovers(marks=(f"{tmp_path}/",))
        assert ours.pid not in find_leftovers(marks=(f"{tmp_path}/elsewhere/",))
    finally:
        ours.kill()
        ours.wait(10)
    assert ours.pid not in find_leftovers(marks=(f"{tmp_path}/",))
