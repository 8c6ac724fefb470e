# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases as things of a server: made, marked as ours, dropped, swapped by name."""

from __future__ import annotations

import json
import time
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._archive.catalog import rows
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

# A database's comment carries what we did with it: it stays when the database is
# renamed, is seen from any other database, and needs no superuser to be written.
_SIGNATURE: t.Final = "emailai.migration "

_QUIET_WITHIN_SECONDS: t.Final = 10
# Who has a database open besides us. Autovacuum is of no role; the server ends it by itself before a rename.
_STAYS: t.Final = "a.pid <> pg_backend_pid() AND a.usesysid IS NOT NULL"
# How long the sessions of a database may take to end before a swap is given up.
PATIENCE_SECONDS: t.Final = 10


class Mark(t.NamedTuple):
    """``state``: loading, restored, proven, swapped (live) or before (was live). ``note``: its comment."""

    backup: str
    state: str
    other: str = ""
    note: t.Optional[str] = None


class Database(t.NamedTuple):
    name: str
    owner: str
    allows_connections: bool
    comment: t.Optional[str]

    @property
    def mark(self) -> t.Optional[Mark]:
        if not self.comment or not self.comment.startswith(_SIGNATURE):
            return None
        try:
            return Mark(**json.loads(self.comment[len(_SIGNATURE) :]))
        except (ValueError, TypeError):
            return None


def find(connection: Connection, name: str) -> Database | None:
    found = rows(
        connection,
        "SELECT datname, datdba::regrole::text, datallowconn, shobj_description(oid, 'pg_database')"
        " FROM pg_database WHERE datname = %s",
        (name,),
    )
    return Database(*found[0]) if found else None


def create(connection: Connection, name: str, server: t.Mapping[str, t.Any], mark: Mark) -> None:
    """An empty database like the one the backup was made of; ``connection`` is in autocommit."""
    from psycopg2 import sql

    words = [sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name))]
    options = {"ENCODING": server["encoding"], "LC_COLLATE": server["collate"], "LC_CTYPE": server["ctype"]}
    locale = server.get("locale")
    if server.get("locale_provider") == "i" and locale:
        options.update(LOCALE_PROVIDER="icu", ICU_LOCALE=locale)
    if server.get("locale_provider") == "b" and locale:
        options.update(LOCALE_PROVIDER="builtin", BUILTIN_LOCALE=locale)
    words += [sql.SQL("{} = {}").format(sql.SQL(key), sql.Literal(value)) for key, value in options.items()]
    _run(connection, sql.SQL(" ").join(words), "make", name)
    put_mark(connection, name, mark)


def put_mark(connection: Connection, name: str, mark: Mark) -> None:
    put_comment(connection, name, _SIGNATURE + json.dumps(mark._asdict()))


def put_comment(connection: Connection, name: str, comment: str | None) -> None:
    from psycopg2 import sql

    _run(
        connection,
        sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(comment)),
        "mark",
        name,
    )


def drop(connection: Connection, name: str) -> None:
    from psycopg2 import sql

    _run(
        connection,
        sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)),
        "drop",
        name,
    )


def ensure_unused(connection: Connection, name: str) -> None:
    """Somebody else may be filling it at this moment; what a dead process left ends within seconds."""
    deadline = time.monotonic() + _QUIET_WITHIN_SECONDS
    while True:
        busy = rows(
            connection,
            "SELECT application_name FROM pg_stat_activity"
            " WHERE datname = %s AND backend_type = 'client backend'",
            (name,),
        )
        if not busy:
            return
        if time.monotonic() > deadline:
            raise MigrationError(
                "use",
                f"database {name}",
                f"{busy[0][0] or 'somebody'} is connected to it",
                "Wait for its end",
            )
        time.sleep(0.1)


def copy_properties(connection: Connection, source: str, copy: str) -> None:
    """Owner, rights, connection limit and settings of one database for another."""
    from psycopg2 import sql

    name = sql.Identifier(copy)
    (owner, limit, acl) = rows(
        connection,
        "SELECT datdba::regrole::text, datconnlimit, datacl IS NOT NULL FROM pg_database WHERE datname = %s",
        (source,),
    )[0]
    _run(connection, sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, sql.SQL(owner)), "prepare", copy)
    _run(
        connection,
        sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(name, sql.Literal(limit)),
        "prepare",
        copy,
    )
    if acl:
        _copy_rights(connection, source, name, copy)
    _copy_settings(connection, source, name, copy)


def _copy_rights(connection: Connection, source: str, name: t.Any, copy: str) -> None:
    from psycopg2 import sql

    _run(connection, sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name), "prepare", copy)
    granted = rows(
        connection,
        "SELECT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END, g.privilege_type,"
        " g.is_grantable FROM pg_database d, aclexplode(d.datacl) g WHERE d.datname = %s",
        (source,),
    )
    for role, right, is_grantable in granted:
        statement = sql.SQL("GRANT {} ON DATABASE {} TO {}").format(sql.SQL(right), name, sql.SQL(role))
        tail = sql.SQL(" WITH GRANT OPTION" if is_grantable else "")
        _run(connection, statement + tail, "prepare", copy)


def _copy_settings(connection: Connection, source: str, name: t.Any, copy: str) -> None:
    from psycopg2 import sql

    settings = rows(
        connection,
        "SELECT CASE s.setrole WHEN 0 THEN NULL ELSE s.setrole::regrole::text END, split_part(c, '=', 1),"
        " substr(c, strpos(c, '=') + 1)"
        " FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase,"
        " unnest(s.setconfig) c WHERE d.datname = %s",
        (source,),
    )
    for role, setting, value in settings:
        who = sql.SQL("ALTER DATABASE {}").format(name)
        if role is not None:
            who = sql.SQL("ALTER ROLE {} IN DATABASE {}").format(sql.SQL(role), name)
        # Written as a literal, a list such as search_path would become one name;
        # taken over from the session it stays what it is.
        statement = sql.SQL("BEGIN; SELECT set_config({}, {}, true); {} SET {} FROM CURRENT; COMMIT").format(
            sql.Literal(setting), sql.Literal(value), who, sql.Identifier(*setting.split("."))
        )
        try:
            _run(connection, statement, "prepare", copy)
        except MigrationError:
            _give_up(connection)
            raise


def ensure_endable(connection: Connection, name: str) -> None:
    """Refuse while a session is there that our role may not end: its database could never be renamed.

    Whose sessions a role may end: those of roles that it has the privileges of; with pg_signal_backend
    those of all but superusers. (PostgreSQL, Server Signaling Functions)
    """
    held = rows(
        connection,
        f"""
        SELECT r.rolname, r.rolsuper, count(*)
          FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid, pg_roles me
         WHERE me.rolname = current_user AND NOT me.rolsuper AND a.datname = %s AND {_STAYS}
           AND (r.rolsuper
                OR NOT (pg_has_role(r.oid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE')))
         GROUP BY 1, 2 ORDER BY 1
        """,
        (name,),
    )
    if not held:
        return
    cure = "Grant pg_signal_backend to our role"
    if any(is_super for _role, is_super, _sessions in held):
        cure = "End them: only a superuser may end the sessions of superusers"
    who = ", ".join(f"{sessions} of {role}" for role, _is_super, sessions in held)
    raise MigrationError(
        "empty",
        f"database {name}",
        f"it has sessions that our role may not end, {who}",
        cure,
        kind="database",
    )


def swap(
    connection: Connection,
    live: str,
    staged: str,
    aside: str,
    comments: t.Mapping[str, str | None],
    patience_seconds: float = PATIENCE_SECONDS,
) -> float:
    """Give ``staged`` the name ``live`` and what had it the name ``aside``; returns the outage in seconds.

    ``comments`` are written by the names of before the swap. Both renames, the
    comments and the opening of the old database are one transaction: whatever
    happens, exactly one complete database stands under the name.
    """
    from psycopg2 import sql

    for name in (live, staged):
        ensure_endable(connection, name)
    began = time.monotonic()
    _allow(connection, live, False)
    try:
        _empty(connection, live, patience_seconds)
        _empty(connection, staged, patience_seconds)
        steps = [
            sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(comment))
            for name, comment in comments.items()
        ]
        steps += [
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(live), sql.Identifier(aside)),
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(staged), sql.Identifier(live)),
            sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS true").format(sql.Identifier(aside)),
            sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS true").format(sql.Identifier(live)),
        ]
        _run(connection, sql.SQL("; ").join([sql.SQL("BEGIN"), *steps, sql.SQL("COMMIT")]), "swap", live)
    except BaseException:
        _give_up(connection)
        _allow(connection, live, True)
        raise
    return time.monotonic() - began


def mark_text(mark: Mark) -> str:
    return _SIGNATURE + json.dumps(mark._asdict())


def _give_up(connection: Connection) -> None:
    """End a transaction that was begun by hand; in autocommit the driver's own rollback does nothing."""
    with connection.cursor() as cursor:
        cursor.execute("ROLLBACK")


def _allow(connection: Connection, name: str, allowed: bool) -> None:
    from psycopg2 import sql

    statement = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}").format(
        sql.Identifier(name), sql.SQL("true" if allowed else "false")
    )
    _run(connection, statement, "close" if not allowed else "open", name)


def _empty(connection: Connection, name: str, patience_seconds: float) -> None:
    """End every session in a database; a client that comes back is refused or ended again."""
    deadline = time.monotonic() + patience_seconds
    while True:
        busy = rows(
            connection,
            f"SELECT pid, usename, application_name FROM pg_stat_activity a WHERE datname = %s AND {_STAYS}",
            (name,),
        )
        if not busy:
            return
        if time.monotonic() > deadline:
            raise MigrationError(
                "empty",
                f"database {name}",
                f"{len(busy)} sessions do not end, one of role {busy[0][1]}",
                "End them, then run it again",
                kind="database",
            )
        for pid, user, _name in busy:
            try:
                rows(connection, "SELECT pg_terminate_backend(%s)", (pid,))
            except Exception as exc:
                raise MigrationError(
                    "empty",
                    f"database {name}",
                    f"a session of role {user} may not be ended by us ({' '.join(str(exc).split())})",
                    "Grant pg_signal_backend to our role",
                    kind="database",
                ) from None
        time.sleep(0.02)


def _run(connection: Connection, statement: t.Any, act: str, name: str) -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    except Exception as exc:
        if getattr(exc, "pgcode", None) is None:
            raise
        cure = "Free space there" if "No space left" in str(exc) else ""
        cause = " ".join(str(exc).split("\n", 1)[0].split())
        raise MigrationError(act, f"database {name}", cause, cure, kind="database") from None
