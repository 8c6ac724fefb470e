# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a work is, told often and cheaply; and the lease that says it is ours to do."""

from __future__ import annotations

import contextlib
import getpass
import platform
import threading
import time
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import control, lease, tables
from ansible_collections.emailai.migration.plugins.module_utils._postgres import connection as postgres

if t.TYPE_CHECKING:
    from ansible_collections.emailai.migration.plugins.module_utils._archive.stream import Crew


class Progress:
    """Counts bytes and tables from many threads; ``tell`` hands the figures on."""

    def __init__(self, report: t.Callable[..., None] = lambda **figures: None) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._step = ""
        self._total = 0
        self._tables = 0
        self._bytes = 0
        self._tables_done = 0
        self._began = time.monotonic()

    def begin(self, step: str, total_bytes: int = 0, tables: int = 0) -> None:
        with self._lock:
            self._step, self._total, self._tables = step, total_bytes, tables
            self._bytes = self._tables_done = 0
            self._began = time.monotonic()
        self.tell()

    def add_bytes(self, count: int) -> None:
        with self._lock:
            self._bytes += count

    def add_table(self, name: str) -> None:
        with self._lock:
            self._tables_done += 1
            self.tell()

    def tell(self) -> None:
        self._report(progress=self.figures())

    def figures(self) -> dict[str, t.Any]:
        seconds = max(0.001, time.monotonic() - self._began)
        rate = self._bytes / seconds
        left = (self._total - self._bytes) / rate if rate and self._total > self._bytes else None
        return {
            "step": self._step,
            "bytes": self._bytes,
            "bytes_expected": self._total,
            "tables": self._tables_done,
            "tables_expected": self._tables,
            "bytes_per_second": round(rate),
            "seconds_left": round(left) if left is not None else None,
        }


def describe(progress: t.Mapping[str, t.Any]) -> str:
    """Figures of a progress as one line for a person. Pure."""
    if not progress:
        return "starting"
    parts = [str(progress["step"])]
    expected = progress["bytes_expected"]
    if progress["bytes"]:
        total = f" of about {size(expected)}" if expected > progress["bytes"] else ""
        parts.append(f"{size(progress['bytes'])}{total}, {size(progress['bytes_per_second'])}/s")
    if progress["tables_expected"] and progress["tables"]:
        parts.append(f"{progress['tables']} of {progress['tables_expected']} tables compared")
    if progress["seconds_left"] is not None:
        parts.append(f"{progress['seconds_left']} s left")
    return ": ".join([parts[0], ", ".join(parts[1:])] if parts[1:] else parts)


def size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


@contextlib.contextmanager
def held_lease(
    target: postgres.Target, name: str, run_id: str, detail: dict[str, t.Any], crew: Crew
) -> t.Iterator[lease.Lease | None]:
    """Hold the lease in the journal of this database while the block runs; None without a journal.

    A thread keeps it alive and looks at what the operator wants meanwhile. Whoever
    took the lease over, or asked to abort, ends the work through the crew.
    """
    with postgres.session(target, "look") as connection:
        held = _acquire(connection, name, run_id, detail) if tables.exist(connection) else None
    if held is None:
        yield None
        return
    ended = threading.Event()
    keeper = threading.Thread(target=_keep, args=(target, held, crew, ended), name="lease", daemon=True)
    keeper.start()
    try:
        yield held
    finally:
        ended.set()
        keeper.join(10)
        with contextlib.suppress(MigrationError), postgres.session(target, "let go") as connection:
            lease.release(connection, name, held.epoch)


def _acquire(connection: t.Any, name: str, run_id: str, detail: dict[str, t.Any]) -> lease.Lease:
    before = lease.read(connection, name)
    owner = f"{getpass.getuser()}@{platform.node()}"
    if before is not None and not before.is_live:
        detail = dict(detail, before=before.detail.get("backup_id", ""))
    held = lease.acquire(connection, name, run_id, owner, detail=detail)
    if held is None:
        other = lease.read(connection, name)
        raise MigrationError(
            "begin",
            name,
            f"it is being done by {other.holder() if other else 'somebody else'}",
            "Wait for its end, or abort it with control.yml",
            kind="database",
        )
    return held


def _keep(target: postgres.Target, held: lease.Lease, crew: Crew, ended: threading.Event) -> None:
    last_good = time.monotonic()
    while not ended.wait(lease.HEARTBEAT_SECONDS):
        try:
            with postgres.session(target, "keep the lease") as connection:
                with connection.cursor() as cursor:
                    lease.extend(cursor, held.name, held.epoch)
                connection.commit()
                wanted = control.read(connection)
            last_good = time.monotonic()
            if wanted.wanted == "abort":
                crew.stop(f"{wanted.changed_by or 'somebody'} asked to abort it")
                return
        except lease.FencedError as exc:
            crew.stop(exc.cause)
            return
        except Exception as exc:
            # One missed beat is no reason to throw hours of work away; a lost lease is.
            if time.monotonic() - last_good > lease.EXPIRY_SECONDS:
                crew.stop(f"the lease could not be kept ({' '.join(str(exc).split())})")
                return
