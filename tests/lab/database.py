# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's three PostgreSQL servers: roles, grants, schema and rows."""

from __future__ import annotations

import io
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2
from psycopg2 import sql

from lab import seed
from lab.expectation import Actual
from lab.ground import make_run_folder
from lab.layout import DATABASES, Layout
from lab.postgres import Server

# The owner may make and rename databases, because a restore is made beside the
# live one and swapped in, and may end the sessions that a swap has to end.
_OWNER_OPTIONS = "CREATEDB IN ROLE pg_signal_backend, pg_monitor"
_MONITOR_OPTIONS = "IN ROLE pg_monitor"

# Least privilege: the application and the writer may touch rows, the reader may
# look; what the owner makes later (the organization tables) is granted alike.
_GRANTS = """
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO emailai_app, emailai_writer, emailai_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO emailai_app, emailai_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO emailai_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE emailai_owner
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO emailai_writer;
ALTER DEFAULT PRIVILEGES FOR ROLE emailai_owner GRANT USAGE, SELECT ON SEQUENCES TO emailai_writer;
ALTER DEFAULT PRIVILEGES FOR ROLE emailai_owner GRANT USAGE ON SCHEMAS TO emailai_writer, emailai_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE emailai_owner GRANT SELECT ON TABLES TO emailai_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE emailai_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO emailai_app;
ALTER DEFAULT PRIVILEGES FOR ROLE emailai_owner IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO emailai_app;
"""

# A comment belongs to its object's owner; without it a restore by the owner of
# the data meets nothing that only a superuser may do.
_STATISTICS = """
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
COMMENT ON EXTENSION pg_stat_statements IS NULL;
"""


class Databases:
    """Production, its streaming replica, and staging."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        fsync = True
        self.prod = Server(layout.run / "prod", layout.port("prod"), fsync)
        self.replica = Server(
            layout.run / "replica", layout.port("replica"), fsync, {"hot_standby_feedback": "on"}
        )
        self.staging = Server(layout.run / "staging", layout.port("staging"), fsync)

    def all(self) -> dict[str, Server]:
        return {"prod": self.prod, "replica": self.replica, "staging": self.staging}

    def up(self) -> None:
        """Bring all three to life; what was torn while it was being made is made anew."""
        self.layout.secrets()  # made before two threads ask for them
        make_run_folder(self.layout.run)
        with ThreadPoolExecutor(2) as workers:
            jobs = [
                workers.submit(self._up_side, self.prod, "prod"),
                workers.submit(self._up_side, self.staging, "staging"),
            ]
            for job in jobs:
                job.result()

    def _up_side(self, server: Server, side: str) -> None:
        if not self._is_complete(server, side):
            server.remove()
            self._make_side(server, side)
        server.start()
        if side == "prod":
            self._up_replica()

    def _up_replica(self) -> None:
        if not self.replica.exists:
            self.replica.remove()
            self.prod.execute(
                "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots"
                " WHERE slot_name = 'lab_replica' AND NOT active"
            )
            self.replica.create_replica(self.prod, "lab_replica")
        self.replica.start()

    def _is_complete(self, server: Server, side: str) -> bool:
        return server.exists and _mark(server).exists()

    def _make_side(self, server: Server, side: str) -> None:
        secret = self.layout.secrets()["roles"]
        server.create(secret["postgres"])
        server.start()
        server.new_role("emailai_owner", _OWNER_OPTIONS, secret["emailai_owner"])
        server.new_role("emailai_writer", _MONITOR_OPTIONS, secret["emailai_writer"])
        server.new_role("emailai_reader", _MONITOR_OPTIONS, secret["emailai_reader"])
        server.new_role("emailai_app", "", secret["emailai_app"])
        server.execute(_STATISTICS, dbname="template1")
        name = DATABASES[side]
        server.new_database(name, "emailai_owner")
        server.execute("ALTER SCHEMA public OWNER TO emailai_owner", dbname=name)
        rows = seed.make(self.layout.profile) if side == "prod" else seed.make_staging()
        load(server.address("emailai_owner", name), rows)
        _mark(server).touch()


def _mark(server: Server) -> Path:
    """Says that roles, schema and rows were all made."""
    return server.folder / "complete"


def load(address: t.Mapping[str, t.Any], rows: seed.Seed) -> None:
    """Schema, rows, keys and grants in one transaction, as the owner of the database."""
    here = Path(__file__).parent
    connection = psycopg2.connect(**address, connect_timeout=10)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute((here / "schema.sql").read_text())
            for table, content in rows.tables().items():
                _copy(cursor, table, content)
            cursor.execute((here / "keys.sql").read_text())
            cursor.execute(_GRANTS)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    finally:
        connection.close()


def _copy(cursor: t.Any, table: str, rows: list[seed.Row]) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, seed.COLUMNS[table]))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
    text = "".join("\t".join(map(_field, row)) + "\n" for row in rows)
    cursor.copy_expert(statement, io.StringIO(text))


def _field(value: t.Any) -> str:
    """A value as COPY's text format has it."""
    if value is None:
        return "\\N"
    text = str(value)
    for plain, escaped in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(plain, escaped)
    return text


def read_actual(address: t.Mapping[str, t.Any]) -> Actual:
    """The rows that ``expectation`` speaks of, as they are now."""
    queries = (
        "SELECT id, NULL FROM public.users",
        'SELECT id, "userId" FROM public."EmailAccount"',
        'SELECT id, "userId" FROM public."Premium"',
        'SELECT id, "emailAccountId" FROM public."Rule"',
    )
    connection = psycopg2.connect(**address, connect_timeout=10)
    try:
        with connection, connection.cursor() as cursor:
            found = []
            for query in queries:
                cursor.execute(query)
                found.append(dict(cursor.fetchall()))
    finally:
        connection.close()
    users, accounts, premiums, rules = found
    return Actual(set(users), accounts, premiums, rules)
