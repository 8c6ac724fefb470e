# SPDX-License-Identifier: GPL-3.0-or-later
"""Detached processes, known by pid and start time, so that only what was started is ever ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
import typing as t
from pathlib import Path

from lab.ground import wait_until


def started_at(pid: int) -> t.Optional[int]:
    """When a living process began, in clock ticks since boot; None when it lives no more.

    A pid is used again by the kernel; pid and start time together are not.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


class Process:
    """One named process with its record in ``<folder>/<name>.json``."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.record = folder / f"{name}.json"

    def start(
        self, argv: t.Sequence[t.Any], log: Path, errors: t.Optional[Path] = None, **options: t.Any
    ) -> int:
        """Start in a session of its own, unless it runs already; its output goes to ``log``."""
        if self.is_alive():
            return self.pid
        self.record.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output, (errors or log).open("ab") as complaints:
            child = subprocess.Popen(
                [str(part) for part in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=complaints,
                start_new_session=True,
                **options,
            )
        # The object would warn about a child it has not waited for; waiting is our part.
        child.returncode = 0
        draft = self.record.with_suffix(".draft")
        draft.write_text(json.dumps({"pid": child.pid, "started": started_at(child.pid)}))
        draft.replace(self.record)
        return child.pid

    @property
    def pid(self) -> int:
        """The recorded pid, 0 without a record."""
        return self._read()[0]

    def _read(self) -> tuple[int, t.Optional[int]]:
        try:
            entry = json.loads(self.record.read_text())
        except (FileNotFoundError, ValueError):
            return 0, None
        return int(entry["pid"]), entry["started"]

    def is_alive(self) -> bool:
        pid, started = self._read()
        return bool(pid) and started is not None and started_at(pid) == started

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process is still the one that was started."""
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def end(self, patience_seconds: float = 10) -> None:
        """Ask it to end, then insist; the record goes last."""
        self.send(signal.SIGTERM)
        try:
            wait_until(lambda: not self._still_there(), patience_seconds, f"the end of {self.name}")
        except TimeoutError:
            self.kill()
        self.record.unlink(missing_ok=True)

    def kill(self) -> None:
        """End it as a crash would; the record stays, as after a crash."""
        self.send(signal.SIGKILL)
        wait_until(lambda: not self._still_there(), 10, f"the death of {self.name}")

    def _still_there(self) -> bool:
        # Reap it when it is our own child, or it would stay as a zombie.
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            if self.pid:
                os.waitpid(self.pid, os.WNOHANG)
        return self.is_alive()


def all_recorded(folder: Path) -> list[Process]:
    return [Process(folder, path.stem) for path in sorted(folder.glob("*.json"))]


def wait_for_answer(process: Process, question: t.Callable[[], bool], seconds: float, log: Path) -> None:
    """Wait until a started server answers; one that died meanwhile is told at once, with its last words."""

    def answered() -> bool:
        if not process.is_alive():
            raise RuntimeError(
                f"{process.name} ended while starting:\n{log.read_text(errors='replace')[-1500:]}"
            )
        return question()

    began = time.monotonic()
    wait_until(answered, seconds, f"an answer of {process.name} (waited from {began:.0f})")
