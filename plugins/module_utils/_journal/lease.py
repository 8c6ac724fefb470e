# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may act: one row a name, with an owner, a deadline and a fencing epoch."""

from __future__ import annotations

import os
import platform
import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

if t.TYPE_CHECKING:
    import datetime

    from psycopg2.extensions import connection as Connection
    from psycopg2.extensions import cursor as Cursor

HEARTBEAT_SECONDS: t.Final = 5
EXPIRY_SECONDS: t.Final = 30


class FencedError(MigrationError):
    """Somebody else holds a newer epoch: whoever sees this must not write again."""


@dataclass(frozen=True)
class Lease:
    name: str
    run_id: str
    owner: str
    host: str
    pid: int
    epoch: int
    acquired_at: datetime.datetime
    expires_at: datetime.datetime
    is_live: bool
    detail: dict[str, t.Any]

    def holder(self) -> str:
        since = self.acquired_at.strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"{self.owner} on {self.host} (pid {self.pid}) since {since} for run {self.run_id}"


_COLUMNS = (
    "name, run_id, owner, host, pid, epoch, acquired_at, expires_at,"
    " expires_at > clock_timestamp() AS is_live, detail"
)


def read(connection: Connection, name: str) -> Lease | None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_COLUMNS} FROM emailai_migration.lease"
            " WHERE database = emailai_migration.here() AND name = %s",
            (name,),
        )
        row = cursor.fetchone()
    return Lease(*row) if row else None


def acquire(
    connection: Connection,
    name: str,
    run_id: str,
    owner: str,
    seconds: float = EXPIRY_SECONDS,
    seize: bool = False,
    detail: dict[str, t.Any] | None = None,
    host: str = "",
    pid: int = 0,
    dead_epoch: int = 0,
) -> Lease | None:
    """Take the lease if it is free or expired, or at once with ``seize``; commits.

    Returns None when somebody else's live lease stands. Each taking raises the
    epoch by one, so that the one before is fenced from its next write on.
    ``host`` and ``pid`` name a holder other than this process; the lease of
    ``dead_epoch`` counts as expired, for its holder is known to have ended.
    """
    from psycopg2.extras import Json

    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO emailai_migration.lease AS l
                   (name, run_id, owner, host, pid, epoch, expires_at, detail)
            VALUES (%(name)s, %(run)s, %(owner)s, %(host)s, %(pid)s, 1,
                    clock_timestamp() + make_interval(secs => %(seconds)s), %(detail)s)
            ON CONFLICT (database, name) DO UPDATE
               SET run_id = excluded.run_id, owner = excluded.owner, host = excluded.host, pid = excluded.pid,
                   epoch = l.epoch + 1, acquired_at = clock_timestamp(), heartbeat_at = clock_timestamp(),
                   expires_at = excluded.expires_at, detail = excluded.detail
             WHERE %(seize)s OR l.expires_at <= clock_timestamp() OR l.epoch = %(dead_epoch)s
            """,
            {
                "name": name,
                "run": run_id,
                "owner": owner,
                "host": host or platform.node(),
                "pid": pid or os.getpid(),
                "seconds": seconds,
                "seize": seize,
                "detail": Json(detail or {}),
                "dead_epoch": dead_epoch,
            },
        )
        taken = cursor.rowcount == 1
    connection.commit()
    return read(connection, name) if taken else None


def extend(cursor: Cursor, name: str, epoch: int, seconds: float = EXPIRY_SECONDS) -> None:
    """Heartbeat inside the caller's transaction; FencedError if the epoch is not ours any more.

    Called in the transaction of a batch it is also the fence: the row lock is
    held to the commit, so nobody can take over between the check and the commit.
    """
    cursor.execute(
        "UPDATE emailai_migration.lease SET heartbeat_at = clock_timestamp(),"
        " expires_at = clock_timestamp() + make_interval(secs => %s)"
        " WHERE database = emailai_migration.here() AND name = %s AND epoch = %s",
        (seconds, name, epoch),
    )
    if cursor.rowcount != 1:
        raise _fenced(name)


def hold(cursor: Cursor, name: str, epoch: int) -> None:
    """The fence without the heartbeat, so that several sessions of one owner do not wait for each other.

    Whoever takes over waits for those that hold it, and they find out with their next batch.
    """
    cursor.execute(
        "SELECT 1 FROM emailai_migration.lease"
        " WHERE database = emailai_migration.here() AND name = %s AND epoch = %s FOR SHARE",
        (name, epoch),
    )
    if cursor.rowcount != 1:
        raise _fenced(name)


def _fenced(name: str) -> FencedError:
    return FencedError(
        "go on with", name, "another process has taken the lease over", "Look at status.yml for who works now"
    )


def fence_others(connection: Connection, name: str) -> int:
    """End every other lease of this database under a higher epoch; their number. Commits.

    Whoever holds one finds out at the commit of his next batch, which fails.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE emailai_migration.lease"
            " SET epoch = epoch + 1, expires_at = clock_timestamp(), detail = '{}'"
            " WHERE database = emailai_migration.here() AND name <> %s AND expires_at > clock_timestamp()",
            (name,),
        )
        fenced = cursor.rowcount
    connection.commit()
    return fenced


def release(connection: Connection, name: str, epoch: int) -> None:
    """Let go at once, keeping the row and with it the epoch, but no word of the holder's process; commits."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE emailai_migration.lease SET expires_at = clock_timestamp(), detail = '{}'"
            " WHERE database = emailai_migration.here() AND name = %s AND epoch = %s",
            (name, epoch),
        )
    connection.commit()
