# SPDX-License-Identifier: GPL-3.0-or-later
"""Run parts of the checks, each a target of the Makefile, and say what each one cost.

``python -m check.run lint+sanity unit integration``: parts joined by a plus run
at the same time, groups one after the other. Every part runs, also after one
has failed. The last line counts the parts.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

LOGS: t.Final = Path(".cache/check/logs")
DEADLINE_SECONDS: t.Final = 1800

# A check that had to stay away says so on a line of its own; pytest says it its way.
_NOT_RUN = re.compile(r"^(?:NOT RUN: |SKIPPED \[\d+\] )(?P<what>.+)$", re.MULTILINE)
_NOT_RUN_HERE = re.compile(r"^NOT RUN HERE: (?P<what>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """One part: how it ended, how long it took, what it could not run."""

    part: str
    status: int
    seconds: float
    not_run: tuple[str, ...] = ()
    not_run_here: tuple[str, ...] = ()


def read_outcome(part: str, status: int, seconds: float, output: str) -> Outcome:
    """Find in a part's output what it could not run."""
    return Outcome(
        part,
        status,
        seconds,
        tuple(found["what"] for found in _NOT_RUN.finditer(output)),
        tuple(found["what"] for found in _NOT_RUN_HERE.finditer(output)),
    )


def render_summary(outcomes: t.Sequence[Outcome], strict: bool) -> tuple[list[str], bool]:
    """Make the closing lines, and decide whether all is well.

    Strict, as in CI, what could not run is a failure: nobody is there to read it.
    """
    lines = [f"{one.part:<20}{_verdict(one, strict):<8}{one.seconds:7.0f} s" for one in outcomes]
    for one in outcomes:
        lines += [f"NOT RUN in {one.part}: {what}" for what in (*one.not_run, *one.not_run_here)]
    failed = [one for one in outcomes if _verdict(one, strict) == "FAILED"]
    lines.append(f"{len(outcomes) - len(failed)} passed, {len(failed)} failed")
    return lines, not failed


def _verdict(outcome: Outcome, strict: bool) -> str:
    return "FAILED" if outcome.status != 0 or (strict and outcome.not_run) else "passed"


def run_part(part: str, live: bool) -> Outcome:
    """Run one target in a session of its own, so that a deadline can end all of it."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{part}.log"
    started = time.monotonic()
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [os.environ.get("MAKE", "make"), "--no-print-directory", part],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        timer = threading.Timer(DEADLINE_SECONDS, _end, [process.pid])
        timer.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                sink.write(line)
                if live:
                    sys.stdout.buffer.write(line)
                    sys.stdout.flush()
            status = process.wait()
        finally:
            timer.cancel()
            if process.poll() is None:
                _end(process.pid)
    seconds = time.monotonic() - started
    return read_outcome(part, status, seconds, log.read_text("utf-8", "replace"))


def _end(group: int) -> None:
    """End a part by the id that was recorded when it began."""
    os.killpg(group, signal.SIGTERM)


def run_group(parts: t.Sequence[str]) -> list[Outcome]:
    """Run parts side by side; alone, a part is heard while it runs."""
    if len(parts) == 1:
        print(f"==> {parts[0]}", flush=True)
        return [run_part(parts[0], live=True)]
    print(f"==> {', '.join(parts)} (side by side)", flush=True)
    outcomes: dict[str, Outcome] = {}
    threads = [
        threading.Thread(target=lambda name: outcomes.update({name: run_part(name, live=False)}), args=[part])
        for part in parts
    ]
    for thread in threads:
        thread.start()
    for part, thread in zip(parts, threads, strict=True):
        thread.join()
        print(f"--> {part}")
        sys.stdout.write((LOGS / f"{part}.log").read_text("utf-8", "replace"))
        sys.stdout.flush()
    return [outcomes[part] for part in parts]


def main(groups: t.Sequence[str]) -> int:
    outcomes = [outcome for group in groups for outcome in run_group(group.split("+"))]
    lines, all_is_well = render_summary(outcomes, strict=os.environ.get("CI") == "true")
    print("\n" + "\n".join(lines), flush=True)
    return 0 if all_is_well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
