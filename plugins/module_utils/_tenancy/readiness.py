# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a database can be migrated: one line for each thing that is required. Reads only."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import session
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    cause_of,
    compose,
    driver_error,
    row,
    rows,
    value,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import before, rights, schema

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target
    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Model

Line = t.Dict[str, str]

OLDEST_VERSION: t.Final = 140000
LONG_TRANSACTION_SECONDS: t.Final = 300


def line(item: str, required: str, found: str, read_by: str, state: str) -> Line:
    return {
        "item": item,
        "kind": "database",
        "required": required,
        "found": found,
        "read_by": read_by,
        "state": state,
    }


def read(target: Target, model: Model, part: str) -> tuple[list[Line], before.Known]:
    """``part``: owner (all lines), or writer or reader (reached, and what their steps need)."""
    reached = f"database reachable as {part}"
    try:
        with session(target, "readiness", autocommit=True) as connection:
            lines = [line(reached, "a session", target.label, "a connection", "met")]
            if part != rights.OWNER:
                return [*lines, _asked(connection, model, part, _rights)], {}
            questions: list[t.Callable[..., Line]] = [
                _version,
                _map,
                _rights,
                _prisma,
                _long_transactions,
                _prepared,
            ]
            lines += [_asked(connection, model, part, question) for question in questions]
            found, known = _known(connection, model)
            return [*lines, found], known
    except MigrationError as exc:
        return [line(reached, "a session", str(exc), "a connection", "open")], {}


def _asked(connection: Connection, model: Model, part: str, question: t.Callable[..., Line]) -> Line:
    try:
        return question(connection, model, part)
    except driver_error() as exc:
        item = question.__name__.strip("_").replace("_", " ")
        return line(item, "an answer", f"it cannot be read: {cause_of(exc)}", "the catalog", "open")


def _version(connection: Connection, _model: Model, _part: str) -> Line:
    number, name = row(
        connection,
        compose("SELECT current_setting('server_version_num')::int, current_setting('server_version')"),
    )
    state = "met" if number >= OLDEST_VERSION else "open"
    return line(
        "server version", f"PostgreSQL {OLDEST_VERSION // 10000} or later", name, "server_version", state
    )


def _map(connection: Connection, model: Model, _part: str) -> Line:
    differences = schema.compared(connection, model, with_indexes=True).differences
    found = "; ".join(differences) or f"{len(model.tables)} tables in schema {model.schema}"
    return line("model map fits", "no difference", found, "the catalog", "open" if differences else "met")


def _rights(connection: Connection, model: Model, part: str) -> Line:
    missing = rights.missing(connection, model, part)
    return line(
        f"rights of the {part}",
        rights.required(model, part),
        f"missing: {', '.join(missing)}" if missing else "all",
        "has_*_privilege",
        "open" if missing else "met",
    )


def _prisma(connection: Connection, model: Model, _part: str) -> Line:
    item, required = "no failed Prisma migration", "no row unfinished and not rolled back"
    there = row(
        connection,
        compose(
            "SELECT to_regclass(format('%I._prisma_migrations', {s}::text)) IS NOT NULL",
            s=value(model.schema),
        ),
    )[0]
    if not there:
        return line(item, required, "no table _prisma_migrations", "the catalog", "met")
    failed = rows(
        connection,
        compose(
            "SELECT migration_name FROM {table} WHERE finished_at IS NULL AND rolled_back_at IS NULL",
            table=model.at("_prisma_migrations"),
        ),
    )
    names = ", ".join(str(name) for (name,) in failed)
    return line(item, required, names or "none", "_prisma_migrations", "open" if failed else "met")


def _long_transactions(connection: Connection, _model: Model, _part: str) -> Line:
    item = "no long transaction"
    required = f"none open for more than {LONG_TRANSACTION_SECONDS} s"
    sees_all = row(connection, compose("SELECT pg_has_role('pg_read_all_stats', 'USAGE')"))[0]
    found = rows(
        connection,
        compose(
            "SELECT pid, usename, application_name, extract(epoch FROM clock_timestamp() - xact_start)::int"
            " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
            " AND xact_start < clock_timestamp() - make_interval(secs => {seconds}) ORDER BY"
            " xact_start LIMIT 5",
            seconds=value(LONG_TRANSACTION_SECONDS),
        ),
    )
    names = "; ".join(f"pid {pid} ({user} {name}) for {age} s" for pid, user, name, age in found)
    if not found and not sees_all:
        return line(
            item,
            required,
            "this role does not see other roles' transactions; GRANT pg_read_all_stats to it",
            "pg_stat_activity",
            "not_watched",
        )
    return line(item, required, names or "none", "pg_stat_activity", "open" if found else "met")


def _prepared(connection: Connection, _model: Model, _part: str) -> Line:
    found = rows(
        connection, compose("SELECT gid FROM pg_prepared_xacts WHERE database = current_database() LIMIT 5")
    )
    names = ", ".join(str(gid) for (gid,) in found)
    return line(
        "no prepared transaction", "none", names or "none", "pg_prepared_xacts", "open" if found else "met"
    )


def _known(connection: Connection, model: Model) -> tuple[Line, before.Known]:
    item, required = "faults from before", "listed, so that they are not taken for ours"
    try:
        known = before.read(connection, model)
    except driver_error() as exc:
        return line(item, required, f"it cannot be read: {cause_of(exc)}", "the data", "open"), {}
    counted = ", ".join(f"{len(ids)} {name.replace('_', ' ')}" for name, ids in known.items())
    return line(item, required, counted, "the data and the catalog", "met"), known
