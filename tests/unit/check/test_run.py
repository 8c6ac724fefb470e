# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner counts what passed, and never lets what did not run pass for it."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from check import run


def test_a_part_says_what_it_could_not_run() -> None:
    output = "1 passed\nSKIPPED [2] tests/x.py:3: no nginx here\nNOT RUN: pylint\nNOT RUN HERE: Python 3.9\n"
    outcome = run.read_outcome("unit", 0, 1.0, output)
    assert outcome.not_run == ("tests/x.py:3: no nginx here", "pylint")
    assert outcome.not_run_here == ("Python 3.9",)


@pytest.mark.parametrize(
    ("outcome", "strict", "is_well"),
    [
        (run.Outcome("unit", 0, 1.0), True, True),
        (run.Outcome("unit", 1, 1.0), False, False),
        (run.Outcome("unit", 0, 1.0, not_run=("nginx",)), False, True),
        (run.Outcome("unit", 0, 1.0, not_run=("nginx",)), True, False),
        (run.Outcome("unit", 0, 1.0, not_run_here=("Python 3.9",)), True, True),
    ],
)
def test_what_did_not_run_fails_only_where_nobody_reads(
    outcome: run.Outcome, strict: bool, is_well: bool
) -> None:
    lines, verdict = run.render_summary([outcome], strict)
    assert verdict is is_well
    assert lines[-1] == ("1 passed, 0 failed" if is_well else "0 passed, 1 failed")
    assert [line for line in lines if line.startswith("NOT RUN in unit: ")] == [
        f"NOT RUN in unit: {what}" for what in (*outcome.not_run, *outcome.not_run_here)
    ]


def test_a_failed_part_does_not_hide_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With a real process for each part: a stand-in for make that knows three targets."""
    maker = tmp_path / "make"
    maker.write_text(
        textwrap.dedent(f"""\
        #!{sys.executable}
        import sys
        print("said by", sys.argv[-1])
        sys.exit({{"bad": 3}}.get(sys.argv[-1], 0))
        """)
    )
    maker.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAKE", str(maker))
    monkeypatch.setenv("CI", "true")
    assert run.main(["one+bad", "two"]) == 1
    output = capfd.readouterr().out
    assert output.splitlines()[-1] == "2 passed, 1 failed"
    assert all(f"said by {part}" in output for part in ("one", "bad", "two"))
