# SPDX-License-Identifier: GPL-3.0-or-later
"""A small but awkward database, a store, and the three modules called as Ansible calls them."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
import typing as t
from pathlib import Path
from unittest import mock

import psycopg2
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.emailai.migration.plugins.module_utils._archive.store import open_store
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target
from ansible_collections.emailai.migration.plugins.modules import pg_backup, pg_backup_info, pg_restore

_NUMBERS = itertools.count(1)

# One of each thing that a dump treats in a way of its own.
SCHEMA = """
CREATE EXTENSION pg_stat_statements;
CREATE TYPE tier AS ENUM ('BASIC', 'PRO');
CREATE DOMAIN address AS text CHECK (VALUE LIKE '%@%');
CREATE TABLE "User" (
    id text PRIMARY KEY, email address UNIQUE NOT NULL, "createdAt" timestamptz NOT NULL DEFAULT now(),
    tier tier, score double precision, note varchar(80), raw bytea, detail jsonb,
    shout text GENERATED ALWAYS AS (upper(note)) STORED,
    CHECK (note IN ('a', 'b', 'c') OR note IS NULL OR length(note) <> 1));
CREATE TABLE account (id bigserial PRIMARY KEY, user_id text NOT NULL REFERENCES "User" (id), price money);
CREATE TABLE event (id int GENERATED ALWAYS AS IDENTITY, at date NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE event_2025 PARTITION OF event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE event_2026 PARTITION OF event FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE first (id int PRIMARY KEY, second_id int);
CREATE TABLE second (id int PRIMARY KEY, first_id int REFERENCES first (id));
ALTER TABLE first ADD FOREIGN KEY (second_id) REFERENCES second (id) DEFERRABLE;
CREATE TABLE "odd ""name%" (" column'" int);
CREATE TABLE empty ();
CREATE INDEX account_user ON account (user_id) WHERE user_id <> '';
CREATE VIEW rich AS SELECT u.id FROM "User" u WHERE EXISTS (SELECT FROM account a WHERE a.user_id = u.id);
CREATE MATERIALIZED VIEW tally AS SELECT count(*) AS n FROM account;
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.note := upper(NEW.note); RETURN NEW; END $$;
INSERT INTO "User" (id, email, tier, score, note, raw, detail)
SELECT 'user-' || i, 'u' || i || '@example.com', (ARRAY['BASIC', 'PRO', NULL])[1 + i % 3]::tier, i / 7.0,
       CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN '' || 'a' ELSE 'note ' || i END, decode(md5(i::text), 'hex'),
       jsonb_build_object('n', i) FROM generate_series(1, 400) i;
INSERT INTO account (user_id, price)
SELECT 'user-' || (1 + i % 400), i::numeric::money FROM generate_series(1, 900) i;
INSERT INTO event (at, what) SELECT date '2025-06-01' + i, 'e' FROM generate_series(1, 300) i;
INSERT INTO first VALUES (1, NULL); INSERT INTO second VALUES (1, 1); UPDATE first SET second_id = 1;
INSERT INTO "odd ""name%" SELECT generate_series(1, 5);
INSERT INTO empty DEFAULT VALUES;
REFRESH MATERIALIZED VIEW tally;
CREATE TRIGGER louder BEFORE UPDATE ON "User" FOR EACH ROW EXECUTE FUNCTION shout();
SELECT lo_from_bytea(0, decode(repeat('ab', 5000), 'hex'));
"""


def fill(target: Target, statements: str = SCHEMA) -> None:
    execute(target, statements)


def execute(target: Target, statement: str, values: t.Any = None) -> list[tuple[t.Any, ...]]:
    connection = psycopg2.connect(**target.dsn())
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def connection_options(target: Target) -> dict[str, t.Any]:
    return {
        "login_host": target.host,
        "login_port": target.port,
        "login_user": target.user,
        "login_password": target.password,
        "login_db": target.dbname,
    }


class World:
    """One database, one store, one folder; every option that a test does not name is the module's default."""

    def __init__(self, postgres: t.Any, target: Target, store: dict[str, t.Any], folder: Path) -> None:
        self.client_folder = str(postgres.bin)
        self.postgres = postgres
        self.target = target
        self.store = store
        self.folder = folder
        self.run_id = f"run#{next(_NUMBERS)}"

    def backup(self, check_mode: bool = False, **options: t.Any) -> dict[str, t.Any]:
        return self._call(pg_backup, check_mode, {"run_id": self.run_id, **options})

    def restore(self, check_mode: bool = False, **options: t.Any) -> dict[str, t.Any]:
        return self._call(pg_restore, check_mode, {"run_id": self.run_id, **options})

    def info(self, **options: t.Any) -> list[dict[str, t.Any]]:
        backups: list[dict[str, t.Any]] = self.shelf(**options)["backups"]
        return backups

    def shelf(self, **options: t.Any) -> dict[str, t.Any]:
        return pg_backup_info.run(_validated(pg_backup_info, {"store": self.store, **options}))

    def place(self) -> t.Any:
        return open_store({"prefix": "migrations/", **self.store})

    def objects(self) -> dict[str, int]:
        """Everything that is in the store under the prefix, and its size."""
        place = self.place()
        return {entry.key: entry.size for entry in place.entries(place.prefix)}

    def is_clean(self) -> bool:
        """Nothing of a backup is left: no object, no pending upload, no session."""
        ends = time.monotonic() + 5
        while self.sessions() and time.monotonic() < ends:
            time.sleep(0.05)
        return not self.objects() and not self.place().pending() and not self.sessions()

    def databases(self) -> set[str]:
        found = execute(self.postgres.superuser, "SELECT datname FROM pg_database")
        return {name for (name,) in found}

    def sessions(self) -> list[str]:
        query = (
            "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'emailai.migration%'"
        )
        return [name for (name,) in execute(self.postgres.superuser, query)]

    def program(self, name: str, script: str) -> None:
        """Put a shell script in the place of a client program; ``$real`` in it is the real one."""
        folder = self.folder / "programs"
        folder.mkdir(exist_ok=True)
        for other in ("pg_dump", "pg_restore", "psql", "createdb"):
            if not (folder / other).exists():
                (folder / other).symlink_to(Path(self.client_folder) / other)
        real = (folder / name).resolve()
        (folder / name).unlink()
        (folder / name).write_text(
            f'#!/bin/sh\nreal={real}\n[ "$1" = --version ] && exec "$real" --version\n{script}\n'
        )
        (folder / name).chmod(0o755)
        self.client_folder = str(folder)

    def _call(self, module: t.Any, check_mode: bool, options: dict[str, t.Any]) -> dict[str, t.Any]:
        given = {
            **connection_options(self.target),
            "store": self.store,
            "client_folder": self.client_folder,
            "work_folder": str(self.folder / "work"),
            "wait_seconds": 60,
            **options,
        }
        params = _validated(module, {name: value for name, value in given.items() if value is not None})
        result: dict[str, t.Any] = module.run(params, check_mode)
        return result


def _validated(module: t.Any, options: dict[str, t.Any]) -> dict[str, t.Any]:
    result = ArgumentSpecValidator(_spec(module)).validate(options)
    assert not result.error_messages, result.error_messages
    params: dict[str, t.Any] = result.validated_parameters
    return params


def _spec(module: t.Any) -> dict[str, t.Any]:
    """The argument spec that main() hands to AnsibleModule."""
    caught: dict[str, t.Any] = {}

    class Stop(Exception):
        pass

    def catch(argument_spec: dict[str, t.Any], **_options: t.Any) -> t.NoReturn:
        caught.update(argument_spec)
        raise Stop

    with mock.patch.object(module, "AnsibleModule", catch), contextlib.suppress(Stop):
        module.main()
    return caught


def s3_options(store: t.Any) -> dict[str, t.Any]:
    return {
        "kind": "s3",
        "bucket": store.new_bucket(),
        "endpoint_url": store.endpoint_url,
        "access_key": store.access_key,
        "secret_key": store.secret_key,
    }


def made(postgres: t.Any, options: dict[str, t.Any], folder: Path) -> World:
    """A world with a new database in it."""
    target = postgres.new_database()
    fill(target)
    if options["kind"] == "folder":
        Path(options["path"]).mkdir()
    return World(postgres, target, options, folder)


def wait_until(question: t.Callable[[], t.Any], seconds: float = 30) -> t.Any:
    """The first answer that is true."""
    deadline = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def in_background(work: t.Callable[[], t.Any]) -> tuple[threading.Thread, list[t.Any]]:
    """A thread that does the work, and a list into which its result or its error comes."""
    seen: list[t.Any] = []

    def run() -> None:
        try:
            seen.append(work())
        except MigrationError as exc:
            seen.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, seen
