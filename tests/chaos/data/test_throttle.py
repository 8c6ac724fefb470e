# SPDX-License-Identifier: GPL-3.0-or-later
"""What suffers slows the data step down, and the reason is shown while it lasts."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._postgres import disk
from integration.conftest import Postgres
from integration.tenancy_world import Database
from lab.ground import free_port, wait_until
from lab.postgres import throw_away

# Slow enough that there is something to read, with batches small enough that the throttle is heard.
_CONTROL = "INSERT INTO emailai_migration.control (wanted, batch_rows, changed_by) VALUES ('run', 20, 'test')"
_REASONS = "SELECT DISTINCT reason FROM emailai_migration.progress WHERE coalesce(reason, '') <> ''"


@pytest.fixture
def database(postgres: Postgres, tmp_path: Path) -> Database:
    return people(postgres, tmp_path)


def people(postgres: Postgres, folder: Path, users: int = 1500) -> Database:
    made = Database(postgres.new_database(), folder)
    made.build()
    made.fill(users=users, accounts=users, premiums=10)
    assert not made.call("org_schema")["failed"]
    made.rows(_CONTROL)
    return made


def reasons_of(
    database: Database,
    relieve: t.Callable[[], None] = lambda: None,
    worker: t.Optional[Database] = None,
    **options: t.Any,
) -> set[str]:
    """All that was shown until the work had ended; ``relieve`` is called when something was.

    ``worker`` does the work where the role of ``database`` is not to.
    """
    works = worker or database
    seen: set[str] = set()
    answer = works.call("org_migration", wait_seconds=0.2, **options)
    deadline = time.monotonic() + 60
    while not answer["failed"] and not answer["finished"] and time.monotonic() < deadline:
        shown = {reason for (reason,) in database.rows(_REASONS)}
        if shown and not seen:
            relieve()
        seen |= shown
        answer = works.call("org_migration", wait_seconds=0.2, **options)
    assert answer.get("finished"), answer
    return seen


class _Page(http.server.BaseHTTPRequestHandler):
    status = 200
    seconds = 0.0

    def do_GET(self) -> None:
        time.sleep(self.seconds)
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_words: t.Any) -> None:
        pass


@contextlib.contextmanager
def page(status: int, seconds: float) -> t.Iterator[str]:
    handler = type("Page", (_Page,), {"status": status, "seconds": seconds})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/health"
    finally:
        server.shutdown()


def test_a_well_system_slows_nothing(database: Database) -> None:
    """The control of the tests below: the application is there and rests, we ourselves are at work."""
    with page(200, 0) as url, contextlib.ExitStack() as stack:
        for _number in range(3):
            stack.enter_context(contextlib.closing(database.connect("old app")))
        stack.enter_context(at_work(database, "emailai.migration of another lane"))
        assert reasons_of(database, health_url=url) == set()


@pytest.mark.parametrize(
    ("status", "seconds", "words"),
    [
        (500, 0.0, "the application is not well: it answers 500"),
        (200, 1.2, "the application's health page takes"),
    ],
)
def test_an_application_that_suffers_is_given_way(
    database: Database, status: int, seconds: float, words: str
) -> None:
    with page(status, seconds) as url:
        found = reasons_of(database, health_url=url)
    assert found
    assert all(reason.startswith(words) for reason in found), found


def test_sessions_that_wait_for_locks_are_given_way(database: Database) -> None:
    holder = database.connect("old app")
    with holder.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(42)")

    def wait_in_line() -> None:
        with contextlib.closing(database.connect("old app")) as waiter, waiter.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(42)")

    line = [threading.Thread(target=wait_in_line) for _number in range(4)]
    for thread in line:
        thread.start()
    waiters = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    wait_until(lambda: database.one(waiters) == 4, 10, "four who wait")
    try:
        # Whoever waits has a transaction open, and an index is not finished before it ends.
        found = reasons_of(database, relieve=holder.close)
    finally:
        holder.close()
        for thread in line:
            thread.join(10)
    assert found == {"4 sessions wait for locks"}


_AT_WORK = "SELECT count(*) FROM generate_series(1, 300000)"


@contextlib.contextmanager
def at_work(database: Database, application: str = "old app") -> t.Iterator[None]:
    """A session that asks for one thing after the other."""
    over = threading.Event()

    def work() -> None:
        with contextlib.closing(database.connect(application)) as session, session.cursor() as cursor:
            session.autocommit = True
            while not over.is_set():
                cursor.execute(_AT_WORK)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)


def test_who_is_at_work_is_given_way(postgres: Postgres, tmp_path: Path) -> None:
    # A work of less than a second is over before others were seen.
    database = people(postgres, tmp_path, users=10_000)
    with contextlib.ExitStack() as stack:
        stack.enter_context(at_work(database))
        found = reasons_of(database, relieve=stack.close)
    assert found
    assert all("of others are at work on average" in reason for reason in found), found


def test_an_operator_who_sets_a_pace_has_decided_about_those_at_work(
    postgres: Postgres, tmp_path: Path
) -> None:
    database = people(postgres, tmp_path, users=10_000)
    database.rows("UPDATE emailai_migration.control SET pace = 1")
    with at_work(database):
        assert reasons_of(database) == set()


def test_what_a_role_may_not_see_slows_down(postgres: Postgres, database: Database) -> None:
    owner = database.target
    writer = postgres.new_role(f"writer_{owner.dbname}").for_database(owner.dbname)
    database.rows(f"GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA public TO {writer.user}")
    url = f"postgresql://{owner.user}:{owner.password}@{owner.host}:{owner.port}/{owner.dbname}"
    found = reasons_of(database, worker=Database(writer, Path(database.folder)), owner_url=url)
    assert found
    unread = ("oldest snapshot", "autovacuum", "work of other sessions")
    assert found <= {f"{name} cannot be read" for name in unread}


def test_an_archive_that_takes_nothing_is_given_way(tmp_path: Path) -> None:
    """What cannot be archived stays on the server's disk, and what we write is added to it."""
    settings = {"archive_mode": "on", "archive_command": "false", "wal_level": "replica"}
    server = throw_away(free_port(), settings=settings)
    try:
        database = people(Postgres(server), tmp_path)
        server.execute("SELECT pg_switch_wal()")
        failures = "SELECT failed_count FROM pg_stat_archiver"
        wait_until(lambda: database.one(failures) > 0, 30, "a file that cannot be archived")

        def mend() -> None:
            server.execute("ALTER SYSTEM SET archive_command = 'true'")
            server.execute("SELECT pg_reload_conf()")

        found = reasons_of(database, relieve=mend)
    finally:
        server.remove()
    assert found
    assert all(reason.startswith("write-ahead log cannot be archived, failed tries") for reason in found)


def test_a_disk_that_fills_is_given_way(postgres: Postgres, database: Database) -> None:
    """No disk is filled for it: the server is told that its write-ahead log may take more than there is."""

    def set_limit(statement: str) -> None:
        postgres.server.execute(statement)
        postgres.server.execute("SELECT pg_reload_conf()")
        wait_until(lambda: ("TB" in statement) == ("TB" in database.one("SHOW max_wal_size")), 10, "settings")

    set_limit("ALTER SYSTEM SET max_wal_size = '1000TB'")
    try:
        found = reasons_of(database, relieve=lambda: set_limit("ALTER SYSTEM RESET max_wal_size"))
    finally:
        set_limit("ALTER SYSTEM RESET max_wal_size")
    assert found
    assert all(
        reason.endswith("GiB of disk are free, twice max_wal_size is 2048000.0 GiB") for reason in found
    )


def test_free_space_that_a_person_read_is_less_what_was_written_since(database: Database) -> None:
    written = 32 * 1024 * 1024
    room = disk.Room(given=1024**3)

    def left(connection: t.Any) -> float:
        (signal,) = room.read(connection)
        assert signal.value
        # The value is the limit, twice the server's own default of 1 GiB, in percent of what is left.
        return 100 * 2 * 1024**3 / signal.value

    with contextlib.closing(database.connect()) as connection:
        assert left(connection) == pytest.approx(1024**3)
        database.rows("CREATE TABLE heap AS SELECT repeat(md5(n::text), 30) FROM generate_series(1, 40000) n")
        assert left(connection) < 1024**3 - written
    found = reasons_of(database, disk_free_bytes=1024**3)
    assert found
    assert all(reason.endswith("GiB of disk are free, twice max_wal_size is 2.0 GiB") for reason in found)


def test_a_disk_that_may_not_be_looked_at(
    postgres: Postgres, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence of a server on this host slows down; one elsewhere has no disk to look at."""
    poor = postgres.new_role(f"poor_{database.target.dbname}").for_database(database.target.dbname)
    with contextlib.closing(Database(poor, Path(database.folder)).connect()) as connection:
        for room in (disk.Room(), disk.Room(given=2**50)):
            assert [signal.value for signal in room.read(connection)] == [None]
    with contextlib.closing(database.connect()) as connection:
        assert [bool(signal.value) for signal in disk.Room().read(connection)] == [True]
        monkeypatch.setattr(disk, "_runs_here", lambda _pid: False)
        assert disk.Room().read(connection) == []
