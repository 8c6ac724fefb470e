# SPDX-License-Identifier: GPL-3.0-or-later
"""Random interleavings of the application's transactions with ours, held against a database without us.

Two sessions of the old application write, and commit or take back when they like, while batches of
the passes are begun, committed or cut off between any two statements. What was committed is done
again, in the order of the commits, in a database in which we never were: the application's rows must
be the same there, and ours those that the rule wants.
"""

from __future__ import annotations

import contextlib
import itertools
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2
import psycopg2.errors
import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from psycopg2 import sql

from ansible_collections.emailai.migration.plugins.module_utils._tenancy import identity, model, pages
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.passes import passes
from integration.conftest import Postgres
from integration.tenancy_world import Database
from integration.test_org_migration import deadlocks, wrong

USERS, ACCOUNTS, PREMIUMS = 6, 12, 5
OWN = {"users": "id, email, name", "EmailAccount": 'id, email, "userId"', "Premium": 'id, "userId"'}
# What a single-threaded test must not wait for. Two sessions of the application hold each other up as well.
PATIENCE = "SET lock_timeout = '30ms'"


class Act(t.NamedTuple):
    """One statement of the application; the numbers choose the rows it is about."""

    statement: str
    values: tuple[t.Any, ...]


numbers = st.integers(0, 7)
user = numbers.map("u{}".format)
account = st.integers(0, 15).map("a{}".format)
premium = numbers.map("p{}".format)
time_of_day = "timestamp '2025-06-02'"

acts = st.one_of(
    user.map(
        lambda u: Act(
            f"INSERT INTO users VALUES (%s, %s, 'New', {time_of_day}, {time_of_day}) ON CONFLICT DO NOTHING",
            (u, f"{u}@example.com"),
        )
    ),
    st.tuples(account, user).map(
        lambda of: Act(
            f'INSERT INTO "EmailAccount" SELECT %s, %s, id, {time_of_day}, {time_of_day}'
            " FROM users WHERE id = %s ON CONFLICT DO NOTHING",
            (of[0], f"{of[0]}@example.com", of[1]),
        )
    ),
    st.tuples(premium, user).map(
        lambda of: Act(
            f"INSERT INTO \"Premium\" SELECT %s, id, 'PRO_MONTHLY', 1, NULL, {time_of_day}, {time_of_day}"
            " FROM users WHERE id = %s ON CONFLICT DO NOTHING",
            of,
        )
    ),
    st.tuples(user, account).map(
        lambda of: Act('UPDATE "EmailAccount" SET "userId" = u.id FROM users u WHERE u.id = %s'
                       ' AND "EmailAccount".id = %s', of)
    ),
    st.tuples(user, premium).map(
        lambda of: Act('UPDATE "Premium" SET "userId" = u.id FROM users u WHERE u.id = %s'
                       ' AND "Premium".id = %s', of)
    ),
    premium.map(lambda p: Act('UPDATE "Premium" SET "userId" = NULL WHERE id = %s', (p,))),
    user.map(lambda u: Act("UPDATE users SET name = 'Renamed' WHERE id = %s", (u,))),
    user.map(lambda u: Act("DELETE FROM users WHERE id = %s", (u,))),
    account.map(lambda a: Act('DELETE FROM "EmailAccount" WHERE id = %s', (a,))),
)  # fmt: skip
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("ab"), acts),
        st.tuples(st.sampled_from("ab"), st.sampled_from(["commit", "rollback"])),
        st.tuples(st.just("batch"), st.sampled_from(["whole", "go on", "commit", "cut"])),
    ),
    min_size=20,
    max_size=60,
)
BATCH = 3
BATCHES = USERS // BATCH + ACCOUNTS // BATCH + PREMIUMS // BATCH + 1


@dataclass
class Application:
    """One session of the old application: a transaction as long as it likes."""

    database: Database
    control: t.Any
    pending: list[Act] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.connection = psycopg2.connect(**self.database.target.dsn(), application_name="old app")
        with self.connection.cursor() as cursor:
            cursor.execute(PATIENCE)
        self.connection.commit()

    def do(self, act: Act) -> None:
        if self._try(lambda cursor: cursor.execute(*act)):
            self.pending.append(act)

    def commit(self) -> None:
        # Deferred triggers run now, so it may fail like any other statement.
        if self._try(lambda _cursor: self.connection.commit()):
            with self.control.cursor() as cursor:
                for act in self.pending:
                    cursor.execute(*act)
        self.pending = []

    def rollback(self) -> None:
        self.connection.rollback()
        self.pending = []

    def _try(self, what: t.Callable[[t.Any], object]) -> bool:
        try:
            with self.connection.cursor() as cursor:
                what(cursor)
        except psycopg2.errors.LockNotAvailable:
            self.rollback()
            return False
        except psycopg2.Error as exc:
            self.errors.append(str(exc))
            self.rollback()
            return False
        return True


class Worker:
    """The passes one after the other, and again from the first, a few rows at a time."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.works = passes(model.load("runbook", None), 0)
        self.committed: tuple[int, str | None] = (0, None)
        self.errors: list[str] = []
        self._connect()

    def _connect(self) -> None:
        self.connection = psycopg2.connect(**self.database.target.dsn(), application_name="batch")
        self.at, self.last = self.committed

    def go_on(self) -> None:
        """The next batch; one that was not committed becomes part of the same transaction."""
        try:
            with self.connection.cursor() as cursor:
                # A batch waits for nobody, so it need not be told to; here a wait becomes an error.
                cursor.execute("SET LOCAL lock_timeout = '30ms'")
            page = None
            while page is None:
                work = self.works[self.at]
                page = work.page(self.connection, pages.WHOLE, self.last, BATCH)
                if page is None:
                    self.at, self.last = (self.at + 1) % len(self.works), None
            changed = work.apply(self.connection, page)
            event(f"{work.name} {'changed' if changed else 'found nothing to do'}")
            self.last = page.end
        except psycopg2.Error as exc:
            self.errors.append(f"{work.name}: {exc}")
            self.cut()

    def commit(self) -> None:
        self.connection.commit()
        self.committed = (self.at, self.last)

    def whole(self) -> None:
        self.go_on()
        self.commit()

    def cut(self) -> None:
        """Its process is gone: what was not committed never was, and the next begins where the last ended."""
        self.connection.close()
        self._connect()


class Ground:
    """Two databases to copy: with our tables and triggers and nothing moved, and without us."""

    def __init__(self, postgres: Postgres, folder: Path) -> None:
        self.postgres, self.folder, self.numbers = postgres, folder, itertools.count(1)
        self.with_us, self.without_us = (Database(postgres.new_database(), folder / n) for n in ("a", "b"))
        for database in (self.with_us, self.without_us):
            database.build()
        assert not self.with_us.call("org_schema")["failed"]
        assert self.with_us.call("org_migration", grace_seconds=0)["finished"]
        for database in (self.with_us, self.without_us):
            # Rows from before the triggers.
            database.rows(
                f"""
                SET session_replication_role = replica;
                INSERT INTO users SELECT 'u' || n, 'u' || n || '@example.com', 'Person', {time_of_day},
                       {time_of_day} FROM generate_series(0, {USERS - 1}) n;
                INSERT INTO "EmailAccount" SELECT 'a' || n, 'a' || n || '@example.com', 'u' || n % {USERS},
                       {time_of_day}, {time_of_day} FROM generate_series(0, {ACCOUNTS - 1}) n;
                INSERT INTO "Premium" SELECT 'p' || n, 'u' || n, 'PRO_MONTHLY', 1, NULL, {time_of_day},
                       {time_of_day} FROM generate_series(0, {PREMIUMS - 1}) n;
                """
            )

    @contextlib.contextmanager
    def copies(self) -> t.Iterator[tuple[Database, Database]]:
        number = next(self.numbers)
        made = [self._copy(pattern, number) for pattern in (self.with_us, self.without_us)]
        try:
            yield made[0], made[1]
        finally:
            for database in made:
                self._do("DROP DATABASE {} WITH (FORCE)", database.target.dbname)

    def _copy(self, pattern: Database, number: int) -> Database:
        name = f"{pattern.target.dbname}_{number}"
        self._do("CREATE DATABASE {} TEMPLATE {}", name, pattern.target.dbname)
        return Database(pattern.target.for_database(name), self.folder / name)

    def _do(self, statement: str, *names: str) -> None:
        self.postgres.server.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@pytest.fixture(scope="module")
def ground(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(postgres, tmp_path_factory.mktemp("interleavings"))


def own_rows(database: Database) -> dict[str, list[t.Any]]:
    return {
        table: database.rows(f'SELECT {columns} FROM "{table}" ORDER BY id') for table, columns in OWN.items()
    }


def astray(database: Database) -> list[t.Any]:
    """Linked to an organization that is not the owner's; the sweep that would correct it has not come yet."""
    found = []
    for table in ("EmailAccount", "Premium"):
        linked = database.rows(
            f'SELECT id, "userId", "organizationId" FROM "{table}"'
            ' WHERE "organizationId" IS NOT NULL AND "userId" IS NOT NULL'
        )
        found += [one for one in linked if one[2] != identity.organization_id(one[1])]
    return found


def play(ground: Ground, ahead: int, script: t.Sequence[tuple[str, t.Any]]) -> None:
    """So many batches, then the script, then the data step as an operator runs it."""
    with contextlib.ExitStack() as stack:
        database, control = stack.enter_context(ground.copies())
        beside = stack.enter_context(contextlib.closing(control.connect()))
        sessions = {name: Application(database, beside) for name in "ab"}
        worker = Worker(database)
        for _batch in range(ahead):
            worker.whole()
        for who, what in script:
            if who == "batch":
                getattr(worker, what.replace(" ", "_"))()
            elif what in ("commit", "rollback"):
                getattr(sessions[who], what)()
            else:
                sessions[who].do(what)
        worker.cut()
        for session in sessions.values():
            session.commit()
            session.connection.close()
        worker.connection.close()
        assert [session.errors for session in sessions.values()] == [[], []]
        assert worker.errors == []
        assert astray(database) == []
        done = database.call("org_migration", grace_seconds=0)
        assert done["finished"], done
        assert not done["failed"], done
        assert own_rows(database) == own_rows(control)
        assert wrong(database) == []
        assert deadlocks(database) == 0
        again = database.call("org_migration", state="swept", grace_seconds=0)
        assert not again["changed"], again


def test_nothing_is_lost_in_any_order(ground: Ground) -> None:
    @settings(
        max_examples=40,
        deadline=None,
        derandomize=True,
        database=None,
        # A shorter script is hardly worth the minutes that looking for it takes.
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, BATCHES), steps)
    def in_any_order(ahead: int, script: list[tuple[str, t.Any]]) -> None:
        play(ground, ahead, script)

    in_any_order()
