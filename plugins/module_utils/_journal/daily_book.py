# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The looks of the days after, read from the ledger of the concluded run and written into it."""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import (
    daily,
    hold,
    record,
    run,
    tables,
)

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from ansible_collections.emailai.migration.plugins.module_utils._journal.view import Pair, Run, View

_KIND: t.Final = "watched_day"
_FIRST: t.Final = "Finish the migration first: playbooks/migrate.yml"


def read(
    connection: Connection, pair: Pair, days: int, today: datetime.date
) -> tuple[Run, daily.Days, dict[str, t.Any]]:
    """The concluded run, its days, and the figures from before it. Reads only."""
    concluded, known = _concluded(connection, pair)
    prepared = known.phase(concluded.id, "prepare")
    baseline = prepared.outcome.get("baseline", {}) if prepared else {}
    when = t.cast("datetime.datetime", concluded.finished_at).astimezone(datetime.timezone.utc).date()
    return concluded, daily.Days(when, today, days, _looks(connection, concluded.id)), baseline


def _concluded(connection: Connection, pair: Pair) -> tuple[Run, View]:
    thing = f"{pair.before}..{pair.after} day by day"
    if not tables.exist(connection):
        raise MigrationError(
            "watch", thing, "this database has no journal", "Run playbooks/migrate.yml first"
        )
    known = run.read(connection)
    latest = known.latest(pair)
    if latest is None or latest.state not in ("concluded", "contracted") or latest.finished_at is None:
        state = (
            f"run {latest.id} is {latest.state}, not concluded" if latest else "no run was ever begun here"
        )
        raise MigrationError("watch", thing, state, "Finish the migration first: playbooks/migrate.yml")
    return latest, known


def _looks(connection: Connection, run_id: str) -> dict[int, str]:
    """The last word on each day counts."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT object, after->>'verdict' FROM emailai_migration.ledger"
            " WHERE database = emailai_migration.here() AND run_id = %s AND kind = %s ORDER BY id",
            (run_id, _KIND),
        )
        return {int(thing.rpartition(" ")[2]): str(verdict) for thing, verdict in cursor.fetchall()}


def write(
    connection: Connection,
    caller: hold.Caller,
    pair: Pair,
    found: daily.Days,
    look: dict[str, t.Any],
    check_mode: bool,
) -> bool:
    """Note how today's look ended; whether that is news. A day that went well stays so."""
    if not found.is_due:
        return False
    note = record.Record("ledger", f"day {found.day}", data={"kind": _KIND, "after": look})
    return bool(record.write(connection, caller, pair, [note], check_mode)["changed"])
