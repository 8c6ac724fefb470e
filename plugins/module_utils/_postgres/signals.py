# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signs that the server suffers, each as a reason to slow down. Reads only."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import compose, row

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

WAITING_SESSIONS: t.Final = 3
LAG_BYTES: t.Final = 64 * 1024 * 1024


def reason_to_slow_down(connection: Connection) -> str:
    """The first reason found, or nothing. What cannot be read is a reason too: silence is not health."""
    waiting, replicas, unseen, lag = row(
        connection,
        compose(
            "SELECT (SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND locktype <>"
            " 'virtualxid'),"
            " count(*), count(*) FILTER (WHERE replay_lsn IS NULL),"
            " max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)) FROM pg_stat_replication"
        ),
    )
    if waiting >= WAITING_SESSIONS:
        return f"{waiting} sessions wait for locks"
    if replicas and lag is not None and lag > LAG_BYTES:
        return f"a replica is {lag / 1024 / 1024:.0f} MiB behind"
    if unseen:
        return "replica lag cannot be read"
    return ""
