# SPDX-License-Identifier: GPL-3.0-or-later
"""The data step is struck at a statement, gone on with, and held against one that nobody disturbed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
import typing as t
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg2
from psycopg2 import sql

from chaos.wire import Cut, Wire
from integration.conftest import Postgres
from integration.tenancy_world import Database

# Whoever started the work, and what only watches it, are no part of it.
_BESIDE = ("move start", "heartbeat", "blockers", "readiness", "status")
_PEOPLE = {"users": 90, "accounts": 200, "premiums": 30}
OPTIONS: dict[str, t.Any] = {"batch_rows": 50, "grace_seconds": 0, "workers": 1}
STATE = """
SELECT 'o', o::text FROM "Organization" o UNION ALL SELECT 'm', m::text FROM "OrganizationMember" m
UNION ALL SELECT 'a', a::text FROM "EmailAccount" a UNION ALL SELECT 'p', p::text FROM "Premium" p
ORDER BY 1, 2
"""
# What the progress row of a pass claims, beside what the rows say.
_CLAIMED = (
    "SELECT task, position->>'last', done FROM emailai_migration.progress WHERE position->>'last' IS NOT NULL"
)
_TABLES = {"users": "users", "accounts": '"EmailAccount"', "premiums": '"Premium"'}
_WITHOUT = {
    "users": "SELECT count(*) FROM users u WHERE u.id <= %s AND NOT EXISTS"
    ' (SELECT 1 FROM "OrganizationMember" m WHERE m."userId" = u.id)',
    "accounts": 'SELECT count(*) FROM "EmailAccount" WHERE id <= %s AND "organizationId" IS NULL',
    "premiums": 'SELECT count(*) FROM "Premium" WHERE id <= %s AND "organizationId" IS NULL',
}


def is_part_of_the_work(application: str) -> bool:
    return application.startswith("emailai.migration") and not application.endswith(_BESIDE)


@dataclass
class Trial:
    """What one strike led to."""

    statement: str
    faults: list[str]


class Arena:
    """A server, an expanded database to copy, and the rows of an undisturbed run."""

    def __init__(self, postgres: Postgres, folder: Path) -> None:
        self.postgres, self.folder = postgres, folder
        self._number = 0
        self.pattern = Database(postgres.new_database(), folder / "pattern")
        self.pattern.build()
        self.pattern.fill(**_PEOPLE)
        assert not self.pattern.call("org_schema")["failed"]
        undisturbed = self.copy()
        with Wire(self._address, is_part_of_the_work) as wire:
            assert self.through(undisturbed, wire).call("org_migration", **OPTIONS)["finished"]
            self.statements = wire.statements
        self.wanted = undisturbed.rows(STATE)
        self.drop(undisturbed)

    @property
    def _address(self) -> tuple[str, int]:
        return "127.0.0.1", self.postgres.server.port

    def copy(self) -> Database:
        self._number += 1
        name = f"{self.pattern.target.dbname}_{self._number}"
        self._do("CREATE DATABASE {} TEMPLATE {}", name, self.pattern.target.dbname)
        return Database(self.pattern.target.for_database(name), self.folder / name)

    def drop(self, database: Database) -> None:
        self._do("DROP DATABASE {} WITH (FORCE)", database.target.dbname)

    def _do(self, statement: str, *names: str) -> None:
        self.postgres.server.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    @staticmethod
    def through(database: Database, wire: Wire) -> Database:
        return Database(replace(database.target, host="127.0.0.1", port=wire.port), Path(database.folder))

    def strike_at(self, number: int, is_before: bool, fault: str) -> list[tuple[int, Trial]]:
        """So many runs, each struck at another statement; those that did not end well."""
        points = list(spread(self.statements, number, offset=int(is_before)))
        trials = [(at, self.strike(at, is_before, fault)) for at in points]
        bad = [(at, trial) for at, trial in trials if trial.faults]
        print(f"{fault}: {len(trials)} of {self.statements} statements tried, {len(bad)} ended wrong")
        return bad

    def strike(self, at: int, is_before: bool, fault: str) -> Trial:
        """One run that is struck, what it left, and the run after it."""
        database = self.copy()
        act = getattr(self, f"_{fault}")
        with Wire(self._address, is_part_of_the_work, at, is_before, lambda: act(database)) as wire:
            first = self.through(database, wire).call("org_migration", wait_seconds=20, **OPTIONS)
            self._wait_until_up()
        faults = [] if wire.struck else [f"statement {at} was never sent"]
        faults += torn_batches(database)
        faults += unclear(first)
        again = database.call("org_migration", wait_seconds=60, **OPTIONS)
        if again["failed"] or not again["finished"]:
            faults.append(f"not gone on with: {again.get('msg')}")
        faults += [] if database.rows(STATE) == self.wanted else ["the rows differ from an undisturbed run"]
        last = database.call("org_migration", **OPTIONS)
        faults += [f"the third call changed something: {last}"] if last.get("changed", True) else []
        self.drop(database)
        return Trial(wire.struck, faults)

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(psycopg2.OperationalError):
                self.postgres.server.execute("SELECT 1")
                return
            time.sleep(0.05)
        raise TimeoutError("the server did not come back")

    # -- what happens at the statement --------------------------------------------

    def _kill(self, database: Database) -> None:
        """The worker is gone, at once, and its sessions find out later."""
        pid = database.one("SELECT pid FROM emailai_migration.lease WHERE name = 'move'")
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}/stat").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
            time.sleep(0.002)

    def _terminate(self, database: Database) -> None:
        self.postgres.server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            " AND application_name LIKE 'emailai.migration%%'",
            values=(database.target.dbname,),
        )

    def _cut(self, database: Database) -> None:
        raise Cut

    def _restart(self, database: Database) -> None:
        """As after a power cut: no session is told, what was not committed is gone."""
        self.postgres.server.restart("immediate")


def unclear(answer: dict[str, t.Any]) -> list[str]:
    """A failure is one sentence of ours with a cure; the driver's own words alone are none."""
    sentence = str(answer.get("msg", ""))
    is_clear = sentence.startswith("Cannot ") and not re.search(r"\w+Error\b", sentence)
    return [] if is_clear or not answer["failed"] else [f"no sentence of ours: {sentence}"]


def torn_batches(database: Database) -> list[str]:
    """Passes whose cursor, count and rows do not agree: a batch is there as a whole or not at all."""
    faults = []
    for task, last, done in database.rows(_CLAIMED):
        seen = database.one(f"SELECT count(*) FROM {_TABLES[task]} WHERE id <= %s", (last,))
        if seen != done:
            faults.append(f"{task}: {done} rows are counted up to the cursor, and there are {seen}")
        left = database.one(_WITHOUT[task], (last,))
        if left:
            faults.append(f"{task}: {left} rows before the cursor are not done")
    return faults


def spread(total: int, number: int, offset: int = 0) -> t.Iterator[int]:
    """So many statements, evenly, of all that there are."""
    for part in range(number):
        yield 1 + (part * total // number + offset) % total
