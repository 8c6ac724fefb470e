# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of schema ``emailai_migration``: what is kept, and which database it belongs to.

Every row names the database it was written in. A restored copy brings its rows
along; there they are history of another database, never state.
"""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

SCHEMA: t.Final = "emailai_migration"
VERSION: t.Final = 1

# The last right tells whether all were granted.
_READ: t.Final = "SELECT"
_WRITE: t.Final = "SELECT, INSERT, UPDATE, DELETE"

# This database and no copy of it: a restore into another server changes the
# first part, a restore into another database of this server the second.
_HERE = """
CREATE FUNCTION emailai_migration.here() RETURNS pg_catalog.text
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT (SELECT c.system_identifier::text FROM pg_control_system() c) || '/' || d.oid::text
      FROM pg_database d WHERE d.datname = current_database()
$$
"""

_TABLES: t.Final[dict[str, str]] = {
    "run": """
        id text NOT NULL, number int NOT NULL, release_before text NOT NULL, release_after text NOT NULL,
        map_digest text NOT NULL, state text NOT NULL, owner text NOT NULL, host text NOT NULL,
        started_at timestamptz NOT NULL DEFAULT now(), finished_at timestamptz,
        detail jsonb NOT NULL DEFAULT '{}', PRIMARY KEY (database, id)""",
    "phase": """
        run_id text NOT NULL, name text NOT NULL,
        state text NOT NULL CHECK (state IN ('in_progress', 'completed', 'failed')),
        started_at timestamptz NOT NULL DEFAULT now(), finished_at timestamptz, error text,
        outcome jsonb NOT NULL DEFAULT '{}', PRIMARY KEY (database, run_id, name)""",
    "event": """
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run_id text NOT NULL,
        phase text NOT NULL DEFAULT '',
        at timestamptz NOT NULL DEFAULT clock_timestamp(), kind text NOT NULL, message text NOT NULL,
        detail jsonb NOT NULL DEFAULT '{}'""",
    "lease": """
        name text NOT NULL, run_id text NOT NULL, owner text NOT NULL, host text NOT NULL, pid int NOT NULL,
        epoch bigint NOT NULL, acquired_at timestamptz NOT NULL DEFAULT now(),
        heartbeat_at timestamptz NOT NULL DEFAULT now(), expires_at timestamptz NOT NULL,
        detail jsonb NOT NULL DEFAULT '{}', PRIMARY KEY (database, name)""",
    "control": """
        wanted text NOT NULL DEFAULT 'run' CHECK (wanted IN ('run', 'pause', 'abort')),
        batch_rows int, pace double precision, changed_by text NOT NULL DEFAULT '',
        changed_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (database)""",
    "progress": """
        run_id text NOT NULL, task text NOT NULL, state text NOT NULL, done bigint NOT NULL DEFAULT 0,
        total bigint, position jsonb NOT NULL DEFAULT '{}', counters jsonb NOT NULL DEFAULT '{}',
        epoch bigint NOT NULL DEFAULT 0, reason text NOT NULL DEFAULT '', error text,
        started_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
        finished_at timestamptz, PRIMARY KEY (database, run_id, task)""",
    "ledger": """
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run_id text NOT NULL, kind text NOT NULL,
        object text NOT NULL, before jsonb, after jsonb, at timestamptz NOT NULL DEFAULT clock_timestamp()""",
    "baseline": """
        run_id text NOT NULL, name text NOT NULL, taken_at timestamptz NOT NULL DEFAULT now(),
        figures jsonb NOT NULL, PRIMARY KEY (database, run_id, name)""",
    "artifact": """
        run_id text NOT NULL, host text NOT NULL, release_before text NOT NULL, release_after text NOT NULL,
        state text NOT NULL, updated_at timestamptz NOT NULL DEFAULT now(),
        detail jsonb NOT NULL DEFAULT '{}', PRIMARY KEY (database, run_id, host)""",
    "quarantine": """
        run_id text NOT NULL, table_name text NOT NULL, row_key text NOT NULL, sqlstate text NOT NULL,
        message text NOT NULL, at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (database, run_id, table_name, row_key)""",
    "confirmation": """
        run_id text NOT NULL, item text NOT NULL, confirmed_by text NOT NULL,
        at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (database, run_id, item)""",
    "message": """
        run_id text NOT NULL, name text NOT NULL, channel text NOT NULL,
        sent_at timestamptz NOT NULL DEFAULT now(), detail jsonb NOT NULL DEFAULT '{}',
        PRIMARY KEY (database, run_id, name, channel)""",
}

# The runbook's own table: its queries must work, so its names stand as they are.
_MIGRATION_LOG = """
CREATE TABLE public.migration_log (
    id serial PRIMARY KEY,
    migration_name varchar(255) NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    status varchar(50) NOT NULL,
    error_message text
)
"""
_MIGRATION_LOG_COLUMNS: t.Final = {
    "id",
    "migration_name",
    "started_at",
    "completed_at",
    "status",
    "error_message",
}


def exist(connection: Connection) -> bool:
    """Whether this database has our schema. Reads only.

    Asks the catalog's rows: to_regclass may answer from a cache that does not
    know yet what another session has just committed.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = 'emailai_migration' AND c.relname = 'run')"
        )
        row = cursor.fetchone()
    return bool(row and row[0])


def ensure(connection: Connection, readers: t.Sequence[str] = (), writers: t.Sequence[str] = ()) -> bool:
    """Make what is missing, in one transaction of its own; True if anything was made or granted.

    Needs CREATE on the database and on schema public. ``readers`` and
    ``writers`` are roles that are granted the use of our tables.
    """
    made = not exist(connection) and _make(connection)
    granted = [_let(connection, role, _READ) for role in readers]
    granted += [_let(connection, role, _WRITE) for role in writers]
    connection.commit()
    return made or any(granted)


def _make(connection: Connection) -> bool:
    from psycopg2 import sql

    foreign = _foreign_log_columns(connection)
    if foreign:
        raise MigrationError(
            "keep",
            "the journal",
            f"table public.migration_log belongs to somebody else (columns: {', '.join(sorted(foreign))})",
            "Rename that table, or drop it if it is not needed",
            kind="database",
        )
    with connection.cursor() as cursor:
        # Two operators at the same second: the second waits here and finds all made.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('emailai_migration'))")
        if exist(connection):
            return False
        cursor.execute("CREATE SCHEMA IF NOT EXISTS emailai_migration")
        cursor.execute(_HERE)
        for name, columns in _TABLES.items():
            cursor.execute(
                sql.SQL(
                    "CREATE TABLE {} (database text NOT NULL DEFAULT emailai_migration.here(), {})"
                ).format(sql.Identifier(SCHEMA, name), sql.SQL(columns))
            )
        cursor.execute("CREATE INDEX event_by_run ON emailai_migration.event (run_id, id)")
        cursor.execute("CREATE INDEX ledger_by_object ON emailai_migration.ledger (kind, object)")
        cursor.execute("SELECT to_regclass('public.migration_log') IS NULL")
        row = cursor.fetchone()
        if row and row[0]:
            cursor.execute(_MIGRATION_LOG)
    return True


def _foreign_log_columns(connection: Connection) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('public.migration_log')"
            " AND attnum > 0 AND NOT attisdropped"
        )
        found = {row[0] for row in cursor.fetchall()}
    return found if found and found != _MIGRATION_LOG_COLUMNS else set()


def _let(connection: Connection, role: str, rights: str) -> bool:
    """Let a role use the journal and the runbook's log; True if it could not before.

    Tables that are not ours to grant are left as their owner has them.
    """
    from psycopg2 import sql

    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", (role,))
        row = cursor.fetchone()
        if not (row and row[0]):
            raise MigrationError(
                "let",
                f"role {role} use the journal",
                "there is no such role",
                "Create it, or correct the URL",
                kind="database",
            )
        cursor.execute(
            """
            SELECT n.nspname::text, c.relname::text
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind = 'r' AND pg_has_role(current_user, c.relowner, 'USAGE')
               AND (n.nspname = 'emailai_migration'
                    OR (n.nspname, c.relname) = ('public', 'migration_log'))
               AND NOT (has_schema_privilege(%(role)s, n.oid, 'USAGE')
                        AND has_table_privilege(%(role)s, c.oid, %(last)s))
            """,
            {"role": role, "last": rights.rpartition(" ")[2]},
        )
        missing = cursor.fetchall()
        name = sql.Identifier(role)
        for schema, table in missing:
            cursor.execute(
                sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(rights), sql.Identifier(schema, table), name)
            )
        if any(schema == SCHEMA for schema, _table in missing):
            cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA emailai_migration TO {}").format(name))
            cursor.execute(sql.SQL("GRANT EXECUTE ON FUNCTION emailai_migration.here() TO {}").format(name))
        if rights == _WRITE and ("public", "migration_log") in missing:
            cursor.execute(sql.SQL("GRANT USAGE ON SEQUENCE public.migration_log_id_seq TO {}").format(name))
    return bool(missing)
