# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a database is and holds: the facts of a manifest. SQL only, no policy.

All of it is meant for a session whose search_path is pg_catalog, as ours are:
then pg_get_constraintdef and its kin name every object in full.
"""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._archive.content import Content, digest_of
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

# Beyond what every session of ours sets: what would change how a value is shown,
# or let a policy hide a row, or end a session that has to stay for hours.
_PINNED: t.Final = {
    "lc_monetary": "C",
    "xmloption": "content",
    "row_security": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "quote_all_identifiers": "off",
    # A digest is one long expression a table: to compile it takes longer than most tables take.
    "jit": "off",
}

# lock_not_available
_LOCKED: t.Final = "55P03"

_NOT_OURS = """
    n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname NOT LIKE 'pg\\_temp\\_%'
    AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = {catalog}::regclass AND e.objid = {oid}
                       AND e.deptype = 'e')
"""
OUR_RELATION = _NOT_OURS.format(catalog="'pg_class'", oid="c.oid")

# What stands in which table is the table's digest; foreign tables, views and
# materialized views hold nothing that a dump carries.
_TABLES = f"""
SELECT format('%I.%I', n.nspname, c.relname), pg_table_size(c.oid)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND {OUR_RELATION}
 ORDER BY 2 DESC, 1
"""

_SEQUENCES = f"""
SELECT format('%I.%I', n.nspname, c.relname), s.seqincrement, s.seqcycle, pg_sequence_last_value(c.oid)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_sequence s ON s.seqrelid = c.oid
 WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND {OUR_RELATION}
"""

_LARGE_OBJECTS = """
SELECT count(*),
       sum(hashtextextended(loid::text || ':' || pageno || ':' || encode(data, 'hex') COLLATE "C", 0))
  FROM pg_largeobject
"""

# kind -> query for (name, definition).
_SCHEMA: t.Final[dict[str, str]] = {
    "column": f"""
        SELECT format('%I.%I.%I', n.nspname, c.relname, a.attname),
               concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
                         a.attgenerated, pg_get_expr(d.adbin, d.adrelid), l.collname)
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
          LEFT JOIN pg_collation l ON l.oid = a.attcollation
         WHERE c.relkind IN ('r', 'p', 'f', 'c') AND {OUR_RELATION}""",
    "relation": f"""
        SELECT format('%I.%I', n.nspname, c.relname),
               concat_ws(' ', c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity,
                         c.relreplident, pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid),
                         array_to_string(c.reloptions, ','), ARRAY(
                             SELECT i.inhparent::regclass::text FROM pg_inherits i WHERE i.inhrelid = c.oid
                              ORDER BY i.inhseqno))
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'f', 'S') AND {OUR_RELATION}""",
    "view": f"""
        SELECT format('%I.%I', n.nspname, c.relname), pg_get_viewdef(c.oid)
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('v', 'm') AND {OUR_RELATION}""",
    "constraint": f"""
        SELECT format('%I.%I.%I', n.nspname, coalesce(c.relname, y.typname), o.conname),
               concat_ws(' ', pg_get_constraintdef(o.oid), o.convalidated)
          FROM pg_constraint o JOIN pg_namespace n ON n.oid = o.connamespace
          LEFT JOIN pg_class c ON c.oid = o.conrelid LEFT JOIN pg_type y ON y.oid = o.contypid
         WHERE o.contype NOT IN ('n', 't') AND {_NOT_OURS.format(catalog="'pg_class'", oid="o.conrelid")}
               AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_type'::regclass
                                  AND e.objid = o.contypid AND e.deptype = 'e')""",
    "index": f"""
        SELECT format('%I.%I', n.nspname, c.relname),
               concat_ws(' ', pg_get_indexdef(c.oid), i.indisvalid, i.indisreplident)
          FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass
                              AND e.objid = i.indrelid AND e.deptype = 'e') AND {OUR_RELATION}""",
    "trigger": f"""
        SELECT format('%I.%I.%I', n.nspname, c.relname, g.tgname),
               concat_ws(' ', pg_get_triggerdef(g.oid), g.tgenabled)
          FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT g.tgisinternal AND {OUR_RELATION}""",
    "policy": f"""
        SELECT format('%I.%I.%I', n.nspname, c.relname, p.polname),
               concat_ws(' ', p.polcmd, p.polpermissive, pg_get_expr(p.polqual, p.polrelid),
                         pg_get_expr(p.polwithcheck, p.polrelid))
          FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE {OUR_RELATION}""",
    "function": f"""
        SELECT format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
               CASE WHEN p.prokind = 'a' THEN 'aggregate' ELSE pg_get_functiondef(p.oid) END
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE {_NOT_OURS.format(catalog="'pg_proc'", oid="p.oid")}""",
    "type": f"""
        SELECT format('%I.%I', n.nspname, y.typname),
               concat_ws(' ', y.typtype, format_type(nullif(y.typbasetype, 0), y.typtypmod), y.typnotnull,
                         y.typdefault, (SELECT string_agg(u.enumlabel, ',' ORDER BY u.enumsortorder)
                                          FROM pg_enum u WHERE u.enumtypid = y.oid))
          FROM pg_type y JOIN pg_namespace n ON n.oid = y.typnamespace
         WHERE y.typtype IN ('e', 'd', 'r') AND {_NOT_OURS.format(catalog="'pg_type'", oid="y.oid")}""",
    "event trigger": """
        SELECT format('%I', v.evtname), concat_ws(' ', v.evtevent, v.evtenabled, v.evtfoid::regproc,
               array_to_string(v.evttags, ','))
          FROM pg_event_trigger v
         WHERE NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_event_trigger'::regclass
                              AND e.objid = v.oid AND e.deptype = 'e')""",
    "rule": f"""
        SELECT format('%I.%I.%I', n.nspname, c.relname, r.rulename),
               concat_ws(' ', pg_get_ruledef(r.oid), r.ev_enabled)
          FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE r.rulename <> '_RETURN' AND {OUR_RELATION}""",
    "statistics": f"""
        SELECT format('%I.%I', n.nspname, x.stxname), pg_get_statisticsobjdef(x.oid)
          FROM pg_statistic_ext x JOIN pg_namespace n ON n.oid = x.stxnamespace
         WHERE {_NOT_OURS.format(catalog="'pg_statistic_ext'", oid="x.oid")}""",
}

# Who owns what and who may do what with it. An empty list of rights and the
# list that spells out the defaults mean the same.
_GRANTS = f"""
SELECT format('%I.%I', n.nspname, c.relname),
       concat_ws(' ', c.relowner::regrole, array_to_string(ARRAY(
           SELECT g::text FROM unnest(coalesce(c.relacl, acldefault(
               CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) g ORDER BY 1), ','))
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND {OUR_RELATION}
UNION ALL
SELECT format('schema %I', n.nspname),
       concat_ws(' ', n.nspowner::regrole, array_to_string(ARRAY(
           SELECT g::text FROM unnest(coalesce(n.nspacl, acldefault('n', n.nspowner))) g ORDER BY 1), ','))
  FROM pg_namespace n
 WHERE {_NOT_OURS.format(catalog="'pg_namespace'", oid="n.oid")}
"""

_ROLES = f"""
SELECT DISTINCT r::regrole::text FROM (
    SELECT c.relowner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {OUR_RELATION}
    UNION SELECT n.nspowner FROM pg_namespace n
           WHERE n.nspname <> 'public' AND {_NOT_OURS.format(catalog="'pg_namespace'", oid="n.oid")}
    UNION SELECT p.proowner FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
           WHERE {_NOT_OURS.format(catalog="'pg_proc'", oid="p.oid")}
) o (r)
"""
_GRANTEES = f"""
SELECT DISTINCT g.grantee::regrole::text
  FROM (SELECT c.relacl FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {OUR_RELATION}
        UNION ALL
        SELECT n.nspacl FROM pg_namespace n WHERE {_NOT_OURS.format(catalog="'pg_namespace'", oid="n.oid")}
        UNION ALL
        SELECT p.proacl FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE {_NOT_OURS.format(catalog="'pg_proc'", oid="p.oid")}
        UNION ALL SELECT d.defaclacl FROM pg_default_acl d) a (acl), aclexplode(a.acl) g
 WHERE g.grantee <> 0
"""

_SERVER = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000,
       pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, to_jsonb(d), pg_database_size(d.oid)
  FROM pg_database d WHERE d.datname = current_database()
"""


class Server(t.NamedTuple):
    version: str
    major: int
    encoding: str
    collate: str
    ctype: str
    row: dict[str, t.Any]
    database_bytes: int

    def facts(self) -> dict[str, t.Any]:
        """What another server needs to make the same kind of database."""
        locale = self.row.get("datlocale") or self.row.get("daticulocale")
        provider = self.row.get("datlocprovider", "c")
        return {
            "version": self.version,
            "major": self.major,
            "encoding": self.encoding,
            "collate": self.collate,
            "ctype": self.ctype,
            "locale_provider": provider,
            "locale": locale,
        }


def rows(
    connection: Connection,
    query: t.Any,
    values: t.Sequence[t.Any] | None = None,
    thing: str = "the catalog",
) -> list[tuple[t.Any, ...]]:
    try:
        with connection.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchall()
    except Exception as exc:
        if not hasattr(exc, "pgcode"):
            raise
        code = exc.pgcode or ""
        cause = "another session holds a lock on it" if code == _LOCKED else " ".join(str(exc).split())
        raise MigrationError("read", thing, cause, "", kind="database", sqlstate=code) from None


def read_server(connection: Connection) -> Server:
    return Server(*rows(connection, _SERVER)[0])


def identity(connection: Connection) -> str:
    """This database and no copy of it; without the right to ask for the system's part, the oid alone."""
    allowed = rows(connection, "SELECT has_function_privilege('pg_catalog.pg_control_system()', 'execute')")[
        0
    ][0]
    system = (
        rows(connection, "SELECT system_identifier::text FROM pg_control_system()")[0][0] if allowed else "?"
    )
    oid = rows(connection, "SELECT oid::text FROM pg_database WHERE datname = current_database()")[0][0]
    return f"{system}/{oid}"


def table_sizes(connection: Connection) -> dict[str, int]:
    """Quoted, qualified names, the largest first."""
    return dict(rows(connection, _TABLES))


def pin(connection: Connection, lock_wait_seconds: int) -> None:
    with connection.cursor() as cursor:
        for name, value in dict(_PINNED, lock_timeout=f"{lock_wait_seconds}s").items():
            cursor.execute("SELECT set_config(%s, %s, false)", (name, value))
        cursor.execute("SELECT set_config('transaction_timeout', '0', false) FROM pg_settings"
                       " WHERE name = 'transaction_timeout'")  # fmt: skip


def begin(connection: Connection, snapshot: str = "") -> None:
    """A read-only transaction that sees one moment: its own, or that of ``snapshot``."""
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        if snapshot:
            cursor.execute("SET TRANSACTION SNAPSHOT %s", (snapshot,))


def read_description(connection: Connection) -> Content:
    """Everything about the content but the tables' digests; within the caller's transaction."""
    described: dict[str, dict[str, str]] = {}
    for kind, query in _SCHEMA.items():
        described[kind] = {name: digest_of(definition or "") for name, definition in rows(connection, query)}
    sequences = {
        name: {"increment": increment, "cycles": cycles, "value": value}
        for name, increment, cycles, value in rows(connection, _SEQUENCES)
    }
    return {
        "tables": {},
        "sequences": sequences,
        "schema": described,
        "grants": {name: digest_of(rights) for name, rights in rows(connection, _GRANTS)},
        "extensions": dict(rows(connection, "SELECT extname, extversion FROM pg_extension")),
        "large_objects": _large_objects(connection),
        "owners": sorted(name for (name,) in rows(connection, _ROLES)),
        "grantees": sorted(name for (name,) in rows(connection, _GRANTEES)),
    }


def _large_objects(connection: Connection) -> dict[str, t.Any]:
    count = rows(connection, "SELECT count(*) FROM pg_largeobject_metadata")[0][0]
    readable = rows(connection, "SELECT has_table_privilege('pg_largeobject', 'SELECT')")[0][0]
    if not count or not readable:
        # Only a superuser may read the pages of all of them at once.
        return {"count": count, "pages": None, "digest": None}
    pages, total = rows(connection, _LARGE_OBJECTS)[0]
    return {"count": count, "pages": pages, "digest": str(total or 0)}
