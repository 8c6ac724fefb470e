# SPDX-License-Identifier: GPL-3.0-or-later
"""A real journal that holds the sample run, and how to read it."""

from __future__ import annotations

import typing as t

from psycopg2.extras import Json
from unit.report.sample import NAMES, RUN, document

from ansible_collections.emailai.migration.plugins.module_utils._journal import tables
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target, session
from ansible_collections.emailai.migration.plugins.modules import completion, migration_report_info

Result = dict[str, t.Any]

# Which table a part of the document comes from.
TABLES = {
    "phases": "phase",
    "events": "event",
    "progress": "progress",
    "messages": "message",
    "confirmations": "confirmation",
    "baselines": "baseline",
    "artifacts": "artifact",
    "quarantine": "quarantine",
}


def insert(cursor: t.Any, table: str, row: t.Mapping[str, t.Any]) -> None:
    values = {name: Json(value) if isinstance(value, dict) else value for name, value in row.items()}
    names, places = ", ".join(values), ", ".join(f"%({name})s" for name in values)
    cursor.execute(f"INSERT INTO emailai_migration.{table} ({names}) VALUES ({places})", values)


def fill(target: Target, **bent: t.Any) -> None:
    """The sample run, as the phases would have left it."""
    sample = document() | bent
    run = {
        name: value
        for name, value in sample["run"].items()
        if name not in ("database", "database_name", "server")
    }
    with session(target, "test") as connection, connection.cursor() as cursor:
        tables.ensure(connection)
        insert(cursor, "run", run)
        for part, table in TABLES.items():
            for row in sample[part]:
                kept = {name: value for name, value in row.items() if name != "id" or table == "run"}
                more = {"message": "Key (email)=(jane@example.com)"} if table == "quarantine" else {}
                insert(cursor, table, {"run_id": run["id"], **kept, **more})
        connection.commit()


def connection_options(target: Target) -> dict[str, t.Any]:
    return {
        "login_url": None, "login_host": target.host, "login_port": target.port, "login_user": target.user,
        "login_password": target.password, "login_db": target.dbname, "ssl_mode": None, "ca_cert": None,
    }  # fmt: skip


def read(target: Target, run_id: str = "") -> Result:
    return migration_report_info.run({**connection_options(target), "run_id": run_id})


def conclude(target: Target, check_mode: bool = False, **options: t.Any) -> Result:
    params = {
        "run_id": RUN,
        "confirmations": NAMES,
        "must_be_complete": True,
        "is_rehearsal": False,
        "now": "2030-05-07T04:00:00Z",
    }
    return completion.run({**connection_options(target), **params, **options}, check_mode)


def rows(target: Target, query: str) -> list[t.Any]:
    with session(target, "test") as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()
