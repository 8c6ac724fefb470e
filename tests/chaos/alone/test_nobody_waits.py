# SPDX-License-Identifier: GPL-3.0-or-later
"""The old application never feels it: no error, no wait for us that the server would call long, no deadlock.

The server's own log tells who waited for whom, by process: it notes each wait of more than 100 ms. A control
that holds a lock shows that the log would tell.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
import typing as t
from pathlib import Path

import pytest

from integration.conftest import Postgres
from integration.tenancy_world import Database
from integration.test_org_migration import OldApplication

_WAIT = re.compile(r"process (\d+) still waiting for (.*?) after")
_HOLDERS = re.compile(r"Process(?:es)? holding the lock: ([\d, ]+)\.")
_DEADLOCK = re.compile(r"Process (\d+) waits for .*?; blocked by process (\d+)\.")


class Log:
    """The server's log from now on, and which processes were ours."""

    def __init__(self, postgres: Postgres) -> None:
        self._path, self._postgres = postgres.server.log, postgres
        self._from = self._path.stat().st_size
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.ours: set[int] = set()

    def __enter__(self) -> Log:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _watch(self) -> None:
        query = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'emailai.migration%'"
        while not self._stop.wait(0.02):
            self.ours |= {pid for (pid,) in self._postgres.server.execute(query)}

    @property
    def text(self) -> str:
        with self._path.open(encoding="utf-8", errors="replace") as stream:
            stream.seek(self._from)
            return stream.read()

    def waits_for_us(self) -> list[str]:
        """Waits of others of more than 100 ms for a lock that one of our sessions held."""
        found, last = [], ""
        for line in self.text.splitlines():
            wait = _WAIT.search(line)
            if wait:
                last = line if int(wait.group(1)) not in self.ours else ""
            holders = _HOLDERS.search(line)
            if holders and last and self.ours & {int(pid) for pid in holders.group(1).split(",")}:
                found.append(f"{last} | {line}")
        return found

    def deadlocks_with_us(self) -> list[tuple[str, ...]]:
        pairs = [found.groups() for found in _DEADLOCK.finditer(self.text)]
        return [pair for pair in pairs if self.ours & {int(pid) for pid in pair}]


@pytest.fixture
def database(postgres: Postgres, tmp_path: Path) -> Database:
    made = Database(postgres.new_database(), tmp_path)
    made.build()
    made.fill(users=2000, accounts=6000, premiums=300)
    return made


@contextlib.contextmanager
def applications(database: Database, number: int = 4) -> t.Iterator[list[OldApplication]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(OldApplication(database, seed)) for seed in range(number)]


def test_from_expand_to_the_way_back(postgres: Postgres, database: Database) -> None:
    with Log(postgres) as log, applications(database) as writers:
        time.sleep(1)
        for module, options in (
            ("org_schema", {}),
            ("org_migration", {"grace_seconds": 0, "batch_rows": 200}),
            ("org_integrity", {"grace_seconds": 0}),
            ("org_migration", {"state": "swept", "grace_seconds": 0}),
            ("org_migration", {"state": "unlinked"}),
        ):
            answer = database.call(module, **t.cast(dict[str, t.Any], options))
            assert "finished" not in answer or answer["finished"], answer
    assert log.ours
    assert sum(writer.done for writer in writers) > 500
    assert [writer.errors for writer in writers] == [[]] * len(writers)
    assert log.waits_for_us() == []
    assert log.deadlocks_with_us() == []
    print(f"{sum(writer.done for writer in writers)} transactions, none waited over 100 ms for us")


def test_a_lock_that_is_held_would_be_told(postgres: Postgres, database: Database) -> None:
    """The control: a session that calls itself ours and does what we never do."""
    with Log(postgres) as log, applications(database, 2):
        with contextlib.closing(database.connect("emailai.migration control")) as holder:
            holder.autocommit = False
            with holder.cursor() as cursor:
                cursor.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
                time.sleep(0.6)
            holder.rollback()
        time.sleep(0.2)
    assert log.waits_for_us()
