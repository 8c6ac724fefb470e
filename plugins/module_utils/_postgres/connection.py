# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How to reach a PostgreSQL database, and how to do so without showing the password."""

from __future__ import annotations

import contextlib
import os
import tempfile
import typing as t
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs, unquote, urlsplit

try:
    import psycopg2
    import psycopg2.extensions

    DRIVER_ERROR: t.Optional[str] = None
except ImportError as exc:
    DRIVER_ERROR = str(exc)

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres import pooler

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

# community.postgresql's words, plus the URL that the application itself uses.
CONNECTION_OPTIONS: dict[str, dict[str, t.Any]] = {
    "login_host": {"type": "str"},
    "login_port": {"type": "int"},
    "login_user": {"type": "str"},
    "login_password": {"type": "str", "no_log": True},
    "login_db": {"type": "str"},
    "login_url": {"type": "str", "no_log": True},
    "ssl_mode": {
        "type": "str",
        "choices": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
    },
    "ca_cert": {"type": "path"},
}

# Every session of ours starts from the same settings, whatever the role's or
# the database's own defaults are: names are always qualified, times are UTC,
# and nothing of ours waits for a lock longer than it said.
_SETTINGS = {
    "search_path": "pg_catalog",
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "client_encoding": "UTF8",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "5min",
}


@dataclass(frozen=True)
class Target:
    """One database and the role to reach it with. ``schema`` is Prisma's ``?schema=``."""

    host: str = ""
    port: int = 5432
    user: str = ""
    dbname: str = ""
    password: str = field(default="", repr=False)
    ssl_mode: str = ""
    ca_cert: str = ""
    schema: str = ""

    def for_database(self, name: str) -> Target:
        return replace(self, dbname=name)

    @property
    def label(self) -> str:
        """What may be shown to a person."""
        return f"{self.user}@{self.host or 'local socket'}:{self.port}/{self.dbname}"

    def dsn(self) -> dict[str, t.Any]:
        """Keyword arguments for libpq; empty ones are left to its own defaults."""
        parts = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "dbname": self.dbname,
            "password": self.password,
            "sslmode": self.ssl_mode,
            "sslrootcert": self.ca_cert,
        }
        return {name: value for name, value in parts.items() if value}


def parse_url(url: str) -> Target:
    """Read a connection URL as Prisma or libpq writes it; unknown parameters are ignored.

    libpq itself refuses Prisma's ``schema``, ``pgbouncer`` and ``connection_limit``.
    """
    refusal = ("read", "the connection URL", "it is not postgresql://user:password@host:port/database")
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    except ValueError:
        # The parser's own message repeats the text, password included.
        raise MigrationError(*refusal) from None
    if parts.scheme not in ("postgres", "postgresql") or not parts.path.strip("/"):
        raise MigrationError(*refusal)
    return Target(
        host=query.get("host", unquote(parts.hostname or "")),
        port=port,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        dbname=unquote(parts.path.lstrip("/")),
        ssl_mode=query.get("sslmode", ""),
        ca_cert=query.get("sslrootcert", ""),
        schema=query.get("schema", ""),
    )


def target_from(params: t.Mapping[str, t.Any]) -> Target:
    """The target that a module's connection options describe; single options win over the URL."""
    target = parse_url(params["login_url"]) if params.get("login_url") else Target()
    given = {
        "host": params.get("login_host"),
        "port": params.get("login_port"),
        "user": params.get("login_user"),
        "password": params.get("login_password"),
        "dbname": params.get("login_db"),
        "ssl_mode": params.get("ssl_mode"),
        "ca_cert": params.get("ca_cert"),
    }
    target = replace(target, **{name: value for name, value in given.items() if value})
    if not target.dbname:
        raise MigrationError("reach", "the database", "no database is named", "Set login_db or login_url")
    return target


def owner_of(target: Target, url: str | None) -> Target:
    """The same database through the role of ``url``; ``target`` itself without one."""
    return parse_url(url).for_database(target.dbname) if url else target


def connect(target: Target, purpose: str, autocommit: bool = False, timeout_seconds: int = 10) -> Connection:
    """Open a session with our settings; ``purpose`` is what the server's views show of us.

    Raises MigrationError with fact ``kind`` = ``database``. The caller closes it.
    """
    if DRIVER_ERROR is not None:
        raise MigrationError(
            "reach",
            "the database",
            f"psycopg2 cannot be imported ({DRIVER_ERROR})",
            "Install psycopg2-binary, or the distribution's python3-psycopg2, on this host",
        )
    try:
        connection = _settled(lambda: _open(target, purpose, timeout_seconds))
    except psycopg2.OperationalError as exc:
        cause = " ".join(str(exc).split())
        if target.password:
            cause = cause.replace(target.password, "********")
        raise MigrationError(
            "reach",
            f"database {target.label}",
            cause,
            "Check the server, the address, the role and its password",
            kind="database",
        ) from None
    connection.autocommit = autocommit
    return connection


def _settled(opened: t.Callable[[], Connection]) -> Connection:
    connection = opened()
    try:
        pooler.settle(connection, _SETTINGS, opened)
    except BaseException:
        connection.close()
        raise
    return connection


def _open(target: Target, purpose: str, timeout_seconds: int) -> Connection:
    settings = " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in _SETTINGS.items())
    options = {
        **target.dsn(),
        "application_name": f"emailai.migration {purpose}"[:63],
        "connect_timeout": timeout_seconds,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
    }
    try:
        connection: Connection = psycopg2.connect(**options, options=settings)
    except psycopg2.OperationalError as exc:
        if "unsupported startup parameter" not in str(exc):
            raise
        # A pooler that passes no settings on; whether they may be set later is for pooler.settle to say.
        connection = psycopg2.connect(**options)
    return connection


@contextlib.contextmanager
def session(target: Target, purpose: str, autocommit: bool = False) -> t.Iterator[Connection]:
    """A connection that is closed however the block ends; commits are the block's own."""
    connection = connect(target, purpose, autocommit)
    try:
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def child_environment(target: Target) -> t.Iterator[dict[str, str]]:
    """Environment for a PostgreSQL client program; the password travels in a 0600 passfile.

    Neither argv nor the environment of the child ever holds the password.
    """
    keep = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ
    }
    with tempfile.TemporaryDirectory(prefix="emailai-migration-") as folder:
        environment = dict(keep, PGCONNECT_TIMEOUT="10", PGAPPNAME="emailai.migration")
        names = {
            "PGHOST": target.host,
            "PGPORT": str(target.port),
            "PGUSER": target.user,
            "PGDATABASE": target.dbname,
            "PGSSLMODE": target.ssl_mode,
            "PGSSLROOTCERT": target.ca_cert,
        }
        environment.update({name: value for name, value in names.items() if value})
        if target.password:
            path = os.path.join(folder, "passfile")
            descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as handle:
                handle.write(_passfile_line(target))
            environment["PGPASSFILE"] = path
        yield environment


def _passfile_line(target: Target) -> str:
    """One line of libpq's password file. The database is a wildcard: one server, one role.

    https://www.postgresql.org/docs/current/libpq-pgpass.html
    """

    def escape(text: str) -> str:
        return text.replace("\\", "\\\\").replace(":", "\\:")

    return f"{escape(target.host) or '*'}:{target.port}:*:{escape(target.user)}:{escape(target.password)}\n"
