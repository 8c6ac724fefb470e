# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which messages have gone out: each once a run and channel, whoever asks and how often."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

Detail = t.Dict[str, t.Any]


@dataclass(frozen=True)
class Sending:
    """One message on one channel in one run."""

    run_id: str
    name: str
    channel: str

    @property
    def key(self) -> str:
        return f"{self.run_id}|{self.name}|{self.channel}"


def sent(connection: Connection, sending: Sending) -> t.Optional[Detail]:
    """What was noted when the message went out, or None if it never did."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT detail, to_char(sent_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS \"UTC\"')"
            "  FROM emailai_migration.message"
            " WHERE database = emailai_migration.here() AND run_id = %s AND name = %s AND channel = %s",
            (sending.run_id, sending.name, sending.channel),
        )
        row = cursor.fetchone()
    return dict(row[0], sent_at=row[1]) if row else None


def send_once(connection: Connection, sending: Sending, send: t.Callable[[], Detail]) -> bool:
    """Send and note it in one transaction; False if it went out before. Commits.

    The row is written first and its primary key is the lock: a second operator
    waits there until the first one's letter is out, and then finds it noted. A
    failure to send takes the row back. Killed between the mail server's yes and
    the commit, the message goes out again, under the same Message-ID.
    """
    from psycopg2 import Error
    from psycopg2.extras import Json

    identity = (sending.run_id, sending.name, sending.channel)
    try:
        with connection.cursor() as cursor:
            # As long as the slowest mail server may take.
            cursor.execute("SET LOCAL lock_timeout = '60s'")
            cursor.execute(
                "INSERT INTO emailai_migration.message (run_id, name, channel) VALUES (%s, %s, %s)"
                " ON CONFLICT DO NOTHING",
                identity,
            )
            is_first = cursor.rowcount == 1
            if is_first:
                cursor.execute(
                    "UPDATE emailai_migration.message SET sent_at = clock_timestamp(), detail = %s"
                    " WHERE database = emailai_migration.here()"
                    "   AND run_id = %s AND name = %s AND channel = %s",
                    (Json(send()), *identity),
                )
        connection.commit()
    except Error as exc:
        connection.rollback()
        raise MigrationError(
            "note", f"message '{sending.name}' in the journal", " ".join(str(exc).split()), kind="database"
        ) from None
    except BaseException:
        connection.rollback()
        raise
    return is_first


def incident_id(connection: Connection, run_id: str) -> str:
    """The status page's id of this run's incident; empty if none was opened, or the last one is resolved."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT detail ->> 'incident_id', detail ->> 'step' FROM emailai_migration.message"
            " WHERE database = emailai_migration.here() AND run_id = %s AND channel = 'status_page'"
            "   AND detail ? 'incident_id' ORDER BY sent_at DESC LIMIT 1",
            (run_id,),
        )
        row = cursor.fetchone()
    return str(row[0]) if row and row[1] != "resolved" else ""
