# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who would hold the work up if it began now: long transactions, prepared ones too. Reads only.

A session that the role may not look into (it is not of pg_read_all_stats) shows no times and is left out.
"""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    rows,
    value,
)

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Model

# Shorter ones are over before the first batch comes to their rows.
LONG_SECONDS: t.Final = 5.0
_MOST: t.Final = 20


def now(connection: Connection, model: Model) -> list[dict[str, t.Any]]:
    """``who``, ``seconds`` and ``state`` of each, the oldest first, and ``locks``, its locks on our tables.

    On a standby nobody is in the way: the work is done elsewhere.
    """
    found = rows(
        connection,
        compose(
            """
            SELECT who, state, extract(epoch FROM clock_timestamp() - since)::float8, coalesce(locks, '')
              FROM (
                SELECT format('pid %s (%s, user %s)', a.pid, coalesce(nullif(a.application_name, ''),
                              'no application name'), a.usename) AS who, a.state, a.xact_start AS since,
                       (SELECT string_agg(DISTINCT c.relname || ' ' || l.mode, ', ' ORDER BY c.relname || ' '
                               || l.mode)
                          FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
                          JOIN pg_namespace n ON n.oid = c.relnamespace
                         WHERE l.pid = a.pid AND l.granted AND n.nspname = {schema}
                           AND c.relname = ANY({tables})) AS locks
                  FROM pg_stat_activity a
                 WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
                   AND a.backend_type = 'client backend'
                   AND NOT starts_with(a.application_name, 'emailai.migration')
                UNION ALL
                SELECT format('prepared transaction %s (user %s)', p.gid, p.owner), 'prepared', p.prepared, ''
                  FROM pg_prepared_xacts p WHERE p.database = current_database()
              ) s
             WHERE since < clock_timestamp() - make_interval(secs => {long}) AND NOT pg_is_in_recovery()
             ORDER BY since LIMIT {most}
            """,
            schema=value(model.schema),
            tables=value(list(model.tables)),
            long=value(LONG_SECONDS),
            most=value(_MOST),
        ),
    )
    return [{"who": who, "state": state, "seconds": age, "locks": locks} for who, state, age, locks in found]


def lines(found: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    return [
        f"{one['who']}: {one['state']}, its transaction is open for {one['seconds']:,.0f} s"
        + (f", and holds {one['locks']}" if one["locks"] else "")
        for one in found
    ]
