# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator wants of the work that runs: go on, pause or abort, and how fast."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection


@dataclass(frozen=True)
class Control:
    """``pace`` is the share of full speed, more than 0 and at most 1; None leaves it to the throttle."""

    wanted: str = "run"
    batch_rows: int | None = None
    pace: float | None = None
    changed_by: str = ""


def read(connection: Connection) -> Control:
    """The row of this database; without one, work goes on."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT wanted, batch_rows, pace, changed_by FROM emailai_migration.control"
            " WHERE database = emailai_migration.here()"
        )
        row = cursor.fetchone()
    return Control(*row) if row else Control()


def write(connection: Connection, control: Control) -> None:
    """Replace the row of this database; commits."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO emailai_migration.control (wanted, batch_rows, pace, changed_by)
            VALUES (%s, %s, %s, %s)
            ON CONFLICT (database) DO UPDATE
               SET wanted = excluded.wanted, batch_rows = excluded.batch_rows, pace = excluded.pace,
                   changed_by = excluded.changed_by, changed_at = now()
            """,
            (control.wanted, control.batch_rows, control.pace, control.changed_by),
        )
    connection.commit()
