# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m lab migrate``: the lab, its users, the migration, and what came of it, counted from outside."""

from __future__ import annotations

import subprocess
import sys
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from lab import load, seed
from lab.database import read_actual
from lab.expectation import differences, doubtful, expected_state
from lab.layout import DATABASES, REPOSITORY, Layout
from lab.whole import Lab

_COUNTS = """
SELECT (SELECT count(*) FROM public.users),
       (SELECT count(*) FROM public."Organization"),
       (SELECT count(*) FROM public."OrganizationMember" WHERE role = 'OWNER'),
       (SELECT count(*) FROM public."EmailAccount"),
       (SELECT count(*) FROM public."EmailAccount" WHERE "organizationId" IS NOT NULL),
       (SELECT count(*) FROM public."Premium"),
       (SELECT count(*) FROM public."Premium" WHERE "organizationId" IS NOT NULL)
"""


@dataclass(frozen=True)
class Counts:
    """What the database holds when all is over."""

    users: int
    organizations: int
    owners: int
    accounts: int
    linked_accounts: int
    premiums: int
    linked_premiums: int

    def lines(self) -> list[str]:
        return [
            f"  users                {self.users:7,}   organizations {self.organizations:7,}",
            f"                                 owners        {self.owners:7,}",
            f"  e-mail accounts      {self.accounts:7,}   linked        {self.linked_accounts:7,}",
            f"  premiums             {self.premiums:7,}   linked        {self.linked_premiums:7,}",
        ]


def _address(layout: Layout) -> dict[str, t.Any]:
    return {
        "host": "127.0.0.1",
        "port": layout.port("prod"),
        "dbname": DATABASES["prod"],
        "user": "postgres",
        "password": layout.secrets()["roles"]["postgres"],
    }


def count(layout: Layout) -> Counts | None:
    """The figures as a stranger reads them; None before the organization tables exist."""
    connection = psycopg2.connect(**_address(layout))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(_COUNTS)
            row = cursor.fetchone()
    except psycopg2.errors.UndefinedTable:
        return None
    finally:
        connection.close()
    assert row is not None
    return Counts(*row)


def lost(layout: Layout) -> list[str]:
    """What the users were promised and the database does not hold, a sentence each."""
    expected = expected_state(load.acknowledged(layout), seed.make(layout.profile))
    return differences(expected, read_actual(_address(layout)), doubtful(load.failures(layout)))


def newest_report() -> Path | None:
    pages = (REPOSITORY / "reports").glob("**/*.html")
    return max(pages, key=lambda page: page.stat().st_mtime, default=None)


def migrate(lab: Lab, words: t.Sequence[str] = ()) -> int:
    """Run the whole runbook with users online; 0 only if it succeeded and no request failed."""
    layout = lab.layout
    seconds = lab.up()
    print(f"The lab is up after {seconds:.1f} s.\n{lab.describe()}\n", flush=True)
    load.start(layout)
    began = time.monotonic()
    try:
        status = subprocess.run(
            ["ansible-playbook", "migrate.yml", "-i", "inventories/lab", "-l", "prod", *words],
            cwd=REPOSITORY, stdin=subprocess.DEVNULL, check=False,
        ).returncode  # fmt: skip
    finally:
        load.stop(layout)
    report = load.report(layout)
    print(f"\nThe run took {time.monotonic() - began:.1f} s.")
    print(f"  requests             {report['requests']:7,}   failed        {report['failed']:7,}")
    counts = count(layout)
    print("\n".join(counts.lines() if counts else ["  the organization tables are not there"]))
    missing = lost(layout)
    print("\n".join(missing) or "  every write that a user saw acknowledged is there")
    print(
        f"\nWhere to look:\n{lab.describe()}\n  report               {newest_report() or 'none was written'}"
    )
    print("Take the lab down with: make lab-down")
    if report["failed"]:
        print(
            f"lab: {report['failed']} requests failed, see {layout.load / 'failures.jsonl'}", file=sys.stderr
        )
    # A run without users would prove nothing about them.
    return status or (1 if report["failed"] or missing or not report["requests"] else 0)
