# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What conclude adds to the journal: names given for items, and the next steps with their dates."""

from __future__ import annotations

import datetime
import typing as t

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection


def keep_confirmations(
    connection: Connection, run_id: str, names: t.Mapping[str, str], at: datetime.datetime
) -> None:
    """The first name for an item stays; commits."""
    with connection.cursor() as cursor:
        for item, name in names.items():
            cursor.execute(
                "INSERT INTO emailai_migration.confirmation (run_id, item, confirmed_by, at)"
                " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (run_id, item, name, at),
            )
    connection.commit()


def keep_next_steps(
    connection: Connection, run_id: str, steps: t.Sequence[t.Mapping[str, str]], at: datetime.datetime
) -> None:
    """Each step once a run, whoever else does the same at this moment; commits."""
    from psycopg2.extras import Json

    with connection.cursor() as cursor:
        # The run's row is the lock: events have no key of their own meaning.
        cursor.execute(
            "SELECT FROM emailai_migration.run"
            " WHERE database = emailai_migration.here() AND id = %s FOR UPDATE",
            (run_id,),
        )
        for step in steps:
            cursor.execute(
                """
                INSERT INTO emailai_migration.event (run_id, phase, at, kind, message, detail)
                SELECT %(run)s, 'conclude', %(at)s, 'next_step', %(text)s, %(detail)s
                 WHERE NOT EXISTS (
                       SELECT FROM emailai_migration.event
                        WHERE database = emailai_migration.here() AND run_id = %(run)s
                          AND kind = 'next_step' AND detail ->> 'step' = %(step)s)
                """,
                {
                    "run": run_id,
                    "at": at,
                    "text": step["text"],
                    "step": step["step"],
                    "detail": Json({"step": step["step"], "due": step["due"]}),
                },
            )
    connection.commit()
