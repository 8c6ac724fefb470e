# SPDX-License-Identifier: GPL-3.0-or-later
"""A database of the runbook's shape with as many users as wanted, made once and copied for each round."""

from __future__ import annotations

import contextlib
import hashlib
import os
import typing as t
from pathlib import Path

import psycopg2

from ansible_collections.emailai.migration.plugins.module_utils._postgres import ddl
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target, session
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import model as models
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import schema
from lab.postgres import SUPERUSER, Server

_LAB = Path(__file__).parents[1] / "lab"
# The runbook's own proportions: 3,420 accounts and 450 premiums of 1,250 users.
ACCOUNTS_EACH: t.Final = 2.7
PREMIUMS_EACH: t.Final = 0.36

# As Prisma's cuid(): 25 characters that begin with the time, so neighbours in the index are neighbours on the
# disk. KEYS=random gives keys as uuid() does.
_KEYS: t.Final = {
    "time": (
        "'c' || lpad(to_hex(1700000000000 + {n}::bigint * 1000), 11, '0') || substr(md5(({n})::text), 1, 13)"
    ),
    "random": "'c' || substr(md5(({n})::text), 1, 24)",
}


def key_of(number: int) -> str:
    """The key of a user, account or premium by its number from 1, as the database made it."""
    digest = hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()
    if os.environ.get("KEYS", "time") == "random":
        return f"c{digest[:24]}"
    return f"c{1700000000000 + number * 1000:011x}{digest[:13]}"


_PEOPLE = """
INSERT INTO users SELECT {key}, 'person' || n || '@example.com', 'Person Number ' || n,
       timestamp '2025-06-01' + n * interval '1 second', timestamp '2025-06-01'
  FROM generate_series(1, %(users)s) n;
-- What an account carries besides makes its row as wide as a real one, about 330 bytes.
ALTER TABLE "EmailAccount" ADD COLUMN about text;
INSERT INTO "EmailAccount" SELECT {key}, 'box' || n || '@example.com',
       {owner}, timestamp '2025-06-01', timestamp '2025-06-01', repeat('about this account ', 10)
  FROM generate_series(1, %(accounts)s) n;
INSERT INTO "Premium" SELECT {key}, {key}, 'PRO_MONTHLY', 1, NULL,
       timestamp '2025-06-01', timestamp '2025-06-01' FROM generate_series(1, %(premiums)s) n
"""


class People:
    """The template of ``users`` users, expanded but not moved; ``copy`` is a fresh database each time."""

    def __init__(self, server: Server, users: int) -> None:
        self.server, self.users = server, users
        self.accounts, self.premiums = int(users * ACCOUNTS_EACH), int(users * PREMIUMS_EACH)
        self.model = models.load("runbook", None)
        self.template = f"people_{users}"
        server.new_database(self.template, SUPERUSER)
        target = self.target(self.template)
        with connected(target) as connection, connection.cursor() as cursor:
            cursor.execute((_LAB / "schema.sql").read_text())
            key = _KEYS[os.environ.get("KEYS", "time")]
            people = _PEOPLE.format(key=key.format(n="n"), owner=key.format(n="(1 + (n - 1) %% %(users)s)"))
            cursor.execute(people, {"users": users, "accounts": self.accounts, "premiums": self.premiums})
            cursor.execute((_LAB / "keys.sql").read_text())
            cursor.execute("VACUUM (ANALYZE)")
        with session(target, "expand") as connection:
            schema.ensure(
                schema.Builder(connection, target, self.model, "", ddl.Patience()), "expanded", False
            )

    def target(self, name: str) -> Target:
        return Target(**self.server.address(SUPERUSER, name))

    @contextlib.contextmanager
    def copy(self, name: str) -> t.Iterator[Target]:
        self.server.execute(f"CREATE DATABASE {name} TEMPLATE {self.template} STRATEGY FILE_COPY")
        try:
            # Both sides of a comparison begin with a clean slate.
            self.server.execute("CHECKPOINT")
            yield self.target(name)
        finally:
            self.server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextlib.contextmanager
def connected(target: Target) -> t.Iterator[t.Any]:
    """A session of the application's kind, each statement a transaction."""
    connection = psycopg2.connect(**target.dsn(), application_name="emailai")
    connection.autocommit = True
    try:
        yield connection
    finally:
        connection.close()
