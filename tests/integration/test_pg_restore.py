# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_restore against real servers: a proof that finds a single changed value, and a swap with a way back."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
import typing as t
from pathlib import Path

import psycopg2
import pytest

from ansible_collections.emailai.migration.plugins.module_utils._archive import (
    catalog,
    content,
    databases,
    digests,
    manifest,
)
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres import (
    connection as postgres_connection,
)
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import child_environment
from integration.archive_world import World, execute, in_background, made, s3_options, wait_until


@pytest.fixture
def world(postgres: t.Any, tmp_path: Path) -> World:
    return made(postgres, {"kind": "folder", "path": str(tmp_path / "store")}, tmp_path)


@pytest.fixture
def s3_world(postgres: t.Any, store: t.Any, tmp_path: Path) -> World:
    return made(postgres, s3_options(store), tmp_path)


def copies(world: World) -> set[str]:
    """Databases that were made from this world's."""
    return {name for name in world.databases() if name.startswith(f"{world.target.dbname}__")}


def stored_path(world: World, name: str) -> Path:
    (found,) = [key for key in world.objects() if key.endswith(name)]
    return Path(world.store["path"]) / found


def properties(world: World, dbname: str) -> tuple[t.Any, ...]:
    """What stays with the live name: owner, rights, settings, and whether it can be reached."""
    query = """
        SELECT d.datdba::regrole::text, ARRAY(SELECT a::text FROM unnest(d.datacl) a ORDER BY 1), s.setconfig,
               d.datallowconn
          FROM pg_database d JOIN pg_db_role_setting s ON s.setdatabase = d.oid WHERE d.datname = %s
    """
    (found,) = execute(world.postgres.superuser, query, (dbname,))
    return found


def read_content(world: World, dbname: str) -> content.Content:
    target = world.target.for_database(dbname)
    with postgres_connection.session(target, "test") as connection:
        catalog.pin(connection, 10)
        found = catalog.read_description(connection)
        names = list(catalog.table_sizes(connection))
    found["tables"] = digests.Readers(target, "test").read(names, 2)
    return found


def test_proven_four_times(s3_world: World) -> None:
    world = s3_world
    planned = world.restore(check_mode=True)
    assert planned["changed"], "making the backup was a plan too"
    world.backup()
    before = world.objects()
    assert world.restore(check_mode=True)["changed"]
    assert world.objects() == before
    first = world.restore()
    assert first["changed"]
    assert first["backup"]["proven"]
    assert first["outcome"]["proven"] is True
    assert first["proof"]["differences"] == []
    assert not copies(world), "the copy is still there"
    assert set(first["proof"]["seconds"]) == {"data", "indexes", "compare"}, "statistics for nobody"
    assert not world.sessions()
    for check_mode in (True, False):
        assert not world.restore(check_mode=check_mode)["changed"]
    assert not world.backup()["changed"]
    assert world.backup()["backup"]["proven"]
    (listed,) = world.info()
    assert len(listed["proof_list"]) == 1


def test_restored_four_times_and_dropped_four_times(world: World) -> None:
    world.backup()
    copy = f"{world.target.dbname}__copy"
    options = {"state": "restored", "database": copy}
    assert [world.restore(c, **options)["changed"] for c in (True, False, True, False)] == [
        True,
        True,
        False,
        False,
    ]
    difference = content.compare(
        read_content(world, world.target.dbname), read_content(world, copy), True, True
    )
    assert difference == []
    known = "SELECT count(*) > 0 FROM pg_stats WHERE schemaname = 'public'"
    assert execute(world.target.for_database(copy), known) == [(True,)], (
        "a copy to work with has no statistics"
    )
    # What the rehearsal did to its copy stays when it is resumed.
    execute(world.target.for_database(copy), "DROP TABLE empty")
    assert not world.restore(**options)["changed"]
    options["state"] = "absent"
    assert [world.restore(c, **options)["changed"] for c in (True, False, True, False)] == [
        True,
        True,
        False,
        False,
    ]


def test_what_is_not_ours_is_not_touched(world: World) -> None:
    world.backup()
    other = world.postgres.new_database()
    for state, sentence in (
        ("restored", "it exists and was not made by us"),
        ("absent", "it is not a copy that we made"),
    ):
        with pytest.raises(MigrationError, match=sentence):
            world.restore(state=state, database=other.dbname)
    with pytest.raises(MigrationError, match="it exists and is not a copy that we made"):
        world.restore(state="proven", database=other.dbname)
    assert other.dbname in world.databases()


def test_a_copy_of_another_backup_is_replaced_only_if_told(world: World) -> None:
    first, second = (world.backup(run_id=run)["backup"]["id"] for run in ("one", "two"))
    options = {"state": "restored", "database": f"{world.target.dbname}__copy"}
    if first == second:
        pytest.fail("two runs share a backup")
    world.restore(backup_id=first, **options)
    with pytest.raises(MigrationError, match=f"it holds backup {first}"):
        world.restore(backup_id=second, **options)
    assert world.restore(backup_id=second, replace=True, **options)["changed"]


@pytest.mark.parametrize("name", ["schema.dump.zst", "data-rest.dump.zst"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_a_damaged_object_is_refused(world: World, name: str, damage: str) -> None:
    world.backup()
    path = stored_path(world, name)
    data = path.read_bytes()
    middle = len(data) // 2
    if damage == "gone":
        path.unlink()
    else:
        flipped = data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]
        path.write_bytes(data[:middle] if damage == "cut" else flipped)
    with pytest.raises(
        MigrationError, match=f"^Cannot use object {name}: it is damaged: .*Use another backup"
    ):
        world.restore()
    assert not copies(world)
    assert not world.info()[0]["proven"]


def test_a_store_that_changed_an_object_is_seen_before_anything_is_made(s3_world: World) -> None:
    s3_world.backup()
    place = s3_world.place()
    (key,) = [key for key in s3_world.objects() if key.endswith("data-rest.dump.zst")]
    data = bytearray(b"".join(place.read(key)))
    data[len(data) // 2] ^= 1
    place.client.put_object(Bucket=place.bucket, Key=key, Body=bytes(data), ChecksumAlgorithm="CRC32")
    with pytest.raises(MigrationError, match="it is damaged: the store's checksum is not the manifest's"):
        s3_world.restore(check_mode=True)


MUTATIONS = {
    "value": (
        """UPDATE "User" SET score = score + 1e-9 WHERE id = 'user-7'""",
        'table public."User" has the same number',
    ),
    "null": (
        """UPDATE "User" SET note = '' WHERE id = 'user-4'""",
        'table public."User" has the same number',
    ),
    "swap": (
        "UPDATE account SET user_id = CASE id WHEN 1 THEN 'user-3' ELSE 'user-2' END WHERE id IN (1, 2)",
        "table public.account has the same number",
    ),
    "row": (
        "DELETE FROM event_2025 WHERE id = (SELECT min(id) FROM event_2025)",
        "table public.event_2025 has",
    ),
    "table": ('DROP TABLE "odd ""name%"', 'table public."odd ""name%" is missing'),
    "index": ("DROP INDEX account_user", "index public.account_user is missing"),
    "default": ("ALTER TABLE account ALTER price SET DEFAULT 0", "column public.account.price differs"),
    "trigger": ('ALTER TABLE "User" DISABLE TRIGGER louder', 'trigger public."User".louder differs'),
    "sequence": (
        "SELECT setval('account_id_seq', 3)",
        "sequence public.account_id_seq stands at 3, behind 900",
    ),
    "grant": ("GRANT SELECT ON account TO PUBLIC", "grants of public.account differs"),
    "large_object": (
        "SELECT lo_put((SELECT min(oid) FROM pg_largeobject_metadata), 1, 'x')",
        "another content",
    ),
}


def test_the_proof_finds_each_difference(world: World) -> None:
    """Something goes wrong between the last restored row and the comparison: for each kind, once."""
    world.backup()
    honest = world.client_folder
    for name, (statement, expected) in MUTATIONS.items():
        script = world.folder / f"{name}.sql"
        script.write_text(f"SET session_replication_role = replica;\n{statement};\n")
        world.client_folder = honest
        program = world.folder / "programs" / "pg_restore"
        program.unlink(missing_ok=True)
        world.program(
            "pg_restore",
            f'"$real" "$@" || exit $?\ncase "$*" in *post-data*) ;; *) exit 0;; esac\n'
            f'for last; do case "$last" in dbname=*) name="$last";; esac; done\n'
            f'exec {honest}/psql -qX -v ON_ERROR_STOP=1 -d "$name" -f {script} -o /dev/null',
        )
        with pytest.raises(MigrationError, match="the restored database differs") as caught:
            world.restore()
        differences = caught.value.facts["differences"]
        assert len([line for line in differences if expected in line]) == 1, (name, differences)
    assert not world.info()[0]["proven"]
    assert not copies(world)


def test_a_restore_that_is_killed_is_taken_up_again(world: World) -> None:
    world.backup()
    honest = world.client_folder
    world.program("pg_restore", 'case "$*" in *post-data*) sleep 20;; esac\nexec "$real" "$@"')
    caller, seen = in_background(world.restore)
    wait_until(lambda: copies(world))
    (report,) = (world.folder / "work").glob("proven-*.json")
    os.kill(json.loads(report.read_text())["pid"], signal.SIGKILL)
    caller.join(20)
    assert "its process is gone" in str(seen[0])
    assert copies(world), "the torn copy was expected to be there"
    assert not world.info()[0]["proven"]
    world.client_folder = honest
    assert world.restore()["proof"]["passed"]
    assert not copies(world)


def test_an_ordinary_owner_can_do_all_of_it(s3_world: World) -> None:
    """CREATEDB and ownership are enough; what only a superuser may create is left out, and that is said."""
    world = s3_world
    role = f"owner_{world.target.dbname}"
    owner = world.postgres.new_role(role, "CREATEDB IN ROLE pg_signal_backend")
    app = world.postgres.new_role(f"app_{world.target.dbname}", "")
    mine = world.postgres.new_database(role)
    execute(world.postgres.target(world.target.user, mine.dbname), "CREATE EXTENSION pg_stat_statements")
    execute(mine, f"CREATE TABLE t AS SELECT 1 AS a; GRANT SELECT ON t TO {app.user}")
    execute(mine, f"ALTER DATABASE {mine.dbname} SET search_path = public, pg_temp")
    execute(mine, f"REVOKE CONNECT ON DATABASE {mine.dbname} FROM PUBLIC")
    execute(mine, f"GRANT CONNECT ON DATABASE {mine.dbname} TO {app.user}")
    execute(mine, f"COMMENT ON DATABASE {mine.dbname} IS 'the live one'")
    world.target = mine
    options = {"login_user": owner.user, "login_password": owner.password}
    world.backup(**options)
    needs = world.backup(readiness=True, **options)["needs"]
    lines = {
        line["item"]: line for line in world.restore(readiness=True, needs=needs, **options)["readiness"]
    }
    assert "pg_stat_statements is left out" in lines["proof: extensions"]["found"]
    assert {line["state"] for line in lines.values()} == {"met", "not_watched"}
    proof = world.restore(**options)["proof"]
    assert proof["passed"]
    assert "owners and rights are kept; extension pg_stat_statements is left out" in proof["terms"]

    client = psycopg2.connect(**world.postgres.target(app.user, mine.dbname).dsn())
    sentence = (
        f"Cannot empty database {mine.dbname}: it has sessions that our role may not end, 1 of"
        f" {world.postgres.superuser.user}. End them: only a superuser may end the sessions of superusers"
    )
    administrator = world.postgres.target(world.postgres.superuser.user, mine.dbname)
    with postgres_connection.session(administrator, "a look"):
        for check in (True, False):
            # Said before anybody is sent away.
            with pytest.raises(MigrationError, match=sentence):
                world.restore(state="swapped", confirmed_by="Ada", check_mode=check, **options)
        with client.cursor() as cursor:
            cursor.execute("SELECT 1")
    swapped = world.restore(state="swapped", confirmed_by="Ada", **options)
    with pytest.raises(psycopg2.OperationalError), client.cursor() as cursor:
        cursor.execute("SELECT 1")
    facts, old = properties(world, mine.dbname), properties(world, swapped["before"])
    assert facts == old
    assert facts[2] == ["search_path=public, pg_temp"]
    app_session = world.postgres.target(app.user, mine.dbname)
    assert execute(app_session, "SELECT a FROM t") == [(1,)]
    execute(world.postgres.superuser, f"REVOKE pg_signal_backend FROM {owner.user}")
    client = psycopg2.connect(**app_session.dsn())
    for check in (True, False):
        with pytest.raises(MigrationError, match=f"1 of {app.user}. Grant pg_signal_backend to our role"):
            world.restore(state="swapped_back", check_mode=check, **options)
    client.close()
    world.restore(state="swapped_back", **options)
    with postgres_connection.session(world.postgres.superuser, "test") as connection:
        live = databases.find(connection, mine.dbname)
    assert live is not None
    assert live.comment == "the live one"


def test_rights_are_left_out_where_roles_are_missing(postgres: t.Any, world: World) -> None:
    ghost = postgres.new_role(f"ghost_{world.target.dbname}")
    execute(world.target, f"GRANT SELECT ON account TO {ghost.user}")
    world.backup()
    execute(world.target, f"REVOKE ALL ON account FROM {ghost.user}; DROP ROLE {ghost.user}")
    proof = world.restore()["proof"]
    assert proof["passed"]
    assert f"left out, because role {ghost.user} does not exist here" in proof["terms"]
    with pytest.raises(MigrationError, match="owners and rights cannot be kept"):
        world.restore(state="swapped", confirmed_by="Ada")


class Client(threading.Thread):
    """Writes and reads through the live name all the time, coming back whenever it is thrown out."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.dsn = world.target.dsn()
        self.ended = threading.Event()
        self.good: list[float] = []
        self.bad = 0
        self.wrong: list[t.Any] = []

    def run(self) -> None:
        while not self.ended.is_set():
            try:
                self.stay()
            except psycopg2.Error:
                self.bad += 1
                time.sleep(0.005)

    def stay(self) -> None:
        connection = psycopg2.connect(**self.dsn, connect_timeout=2)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                while not self.ended.is_set():
                    cursor.execute("INSERT INTO account (user_id) VALUES ('user-1')")
                    cursor.execute('SELECT count(*) FROM "User"')
                    row = cursor.fetchone()
                    if row != (400,):
                        self.wrong.append(row)
                    self.good.append(time.monotonic())
                    time.sleep(0.005)
        finally:
            connection.close()

    @property
    def outage(self) -> float:
        return max(after - before for before, after in zip(self.good, self.good[1:], strict=False))


def test_swapped_under_a_client_and_back(world: World) -> None:
    world.backup()
    live = world.target.dbname
    execute(world.target, "CREATE TABLE later AS SELECT generate_series(1, 3) AS i")
    with pytest.raises(
        MigrationError, match=r"every write since .* will be lost and nobody has confirmed that"
    ):
        world.restore(state="swapped", confirmed_by="")

    client = Client(world)
    client.start()
    try:
        wait_until(lambda: len(client.good) > 5)
        planned = world.restore(check_mode=True, state="swapped", confirmed_by="Ada")
        swapped = world.restore(state="swapped", confirmed_by="Ada")
        seen = len(client.good)
        wait_until(lambda: len(client.good) > seen + 20)
        back = world.restore(state="swapped_back")
        seen = len(client.good)
        wait_until(lambda: len(client.good) > seen + 20)
    finally:
        client.ended.set()
        client.join()

    # What is foreseen is what comes: the same tables, and an outage of the same size.
    assert planned["changed"]
    assert planned["lost"]["tables"].keys() == swapped["lost"]["tables"].keys()
    foreseen = planned["prediction"]
    assert (foreseen["predicted_from"], foreseen["sessions"]) == ("size", 1)
    assert 0 < foreseen["outage_seconds"] < 2
    assert f"could not be reached for about {foreseen['outage_seconds']} s" in planned["text"]
    assert re.search(r"Writes since \S+, 0 min \d+ s ago, would be lost: \d+ rows added", planned["text"])
    assert f"{live} could not be reached for {swapped['outage_seconds']} s." in swapped["text"]

    assert client.bad > 0, "the client never noticed: nothing was swapped"
    assert client.wrong == []
    assert client.outage < 2
    assert swapped["outage_seconds"] < 2
    assert back["outage_seconds"] < 2
    assert swapped["confirmed_by"] == "Ada"
    lost = swapped["lost"]
    assert lost["tables"]["public.later"] == {"rows_then": 0, "rows_now": 3}
    assert lost["rows_added"] >= 3 + lost["tables"]["public.account"]["rows_now"] - 900 > 3
    assert "rows added" in swapped["text"]
    # After the way back the live one is the old one, with what was written before the swap.
    assert execute(world.target, "SELECT count(*) FROM later") == [(3,)]
    assert copies(world) == {back["restored"]}
    assert live in world.databases()


def test_an_autovacuum_at_work_does_not_hold_up_the_swap(world: World, postgres: t.Any) -> None:
    """It has the live database open and is of no role that we could end; the server ends it."""
    world.backup()
    # So slow that it is at work for as long as anybody could wait for it.
    slow = "autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1"
    execute(world.target, f"ALTER TABLE account SET (autovacuum_vacuum_threshold = 1, {slow})")
    for _round in range(5):
        execute(world.target, "UPDATE account SET user_id = user_id")
    at_work = (
        "SELECT count(*) FROM pg_stat_activity"
        f" WHERE backend_type = 'autovacuum worker' AND datname = '{world.target.dbname}'"
    )
    execute(world.target, "ALTER SYSTEM SET autovacuum_naptime = '1s'")
    execute(world.target, "SELECT pg_reload_conf()")
    try:
        wait_until(lambda: execute(world.target, at_work) == [(1,)], 60)
        swapped = world.restore(state="swapped", confirmed_by="Ada")
    finally:
        execute(world.target, "ALTER SYSTEM RESET autovacuum_naptime")
        execute(world.target, "SELECT pg_reload_conf()")
    assert swapped["outage_seconds"] < 2
    assert world.target.dbname in world.databases()
    # Else it was over before, and nothing was tried.
    assert "terminating autovacuum process" in postgres.server.log.read_text()


def test_a_table_that_cannot_be_read_is_in_nobodys_way(world: World) -> None:
    """The last resort is for a database that is broken: what counts the loss must not stand in its way."""
    world.backup()
    execute(world.target, "INSERT INTO account (user_id) VALUES ('user-1')")
    # Written past the server's memory, so that it has to be read from the disk.
    execute(world.target, "CREATE TABLE torn AS SELECT generate_series(1, 9) AS i")
    execute(world.target, "VACUUM FULL torn")
    execute(world.target, "CHECKPOINT")
    ((path,),) = execute(
        world.target, "SELECT current_setting('data_directory') || '/' || pg_relation_filepath('torn')"
    )
    with open(path, "r+b") as handle:
        handle.write(os.urandom(4096))
    with pytest.raises(psycopg2.Error, match="invalid page"):
        execute(world.target, "SELECT * FROM torn")
    for check_mode in (True, False):
        answer = world.restore(check_mode=check_mode, state="swapped", confirmed_by="Ada")
        assert answer["lost"]["unreadable"] == ["public.torn"]
        assert answer["lost"]["tables"]["public.account"] == {"rows_then": 900, "rows_now": 901}
        assert "Tables that cannot be read, and are not counted: public.torn." in answer["text"]
    assert execute(world.target, "SELECT to_regclass('torn')::text") == [(None,)]


def test_the_minutes_of_a_swap_are_those_of_its_proof(world: World) -> None:
    world.backup()
    took = sum(world.restore()["proof"]["seconds"].values())
    foreseen = world.restore(check_mode=True, state="swapped")["prediction"]
    assert (foreseen["predicted_from"], foreseen["minutes"]) == ("proof", round(took / 60, 2))


def test_swapped_four_times_and_back_four_times(world: World) -> None:
    world.backup()
    options = {"state": "swapped", "confirmed_by": "Ada"}
    assert [world.restore(c, **options)["changed"] for c in (True, False, True, False)] == [
        True,
        True,
        False,
        False,
    ]
    options = {"state": "swapped_back"}
    assert [world.restore(c, **options)["changed"] for c in (True, False, True, False)] == [
        True,
        True,
        False,
        False,
    ]
    # The restored database is still there and proven: swapping again needs no second restore.
    again = world.restore(state="swapped", confirmed_by="Ada")
    assert (again["changed"], again["seconds"]) == (True, {})


def test_a_swap_that_fails_leaves_the_live_one_open(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.backup()
    live = world.target.dbname
    aside = f"{live}__before_{world.info()[0]['id'].rpartition('_')[2].lower()}"
    world.postgres.server.new_database(aside)
    with pytest.raises(
        MigrationError, match=f'Cannot swap database {live}: database "{aside}" already exists'
    ):
        world.restore(state="swapped", confirmed_by="Ada")
    assert execute(world.target, 'SELECT count(*) FROM "User"') == [(400,)]
    execute(world.postgres.superuser, f"DROP DATABASE {aside}")
    assert world.restore(state="swapped", confirmed_by="Ada")["changed"]


def test_a_swap_that_was_cut_off_is_finished_by_the_next_call(world: World) -> None:
    """The process died after it had closed the live database and before it had renamed anything."""
    world.backup()
    execute(world.postgres.superuser, f"ALTER DATABASE {world.target.dbname} ALLOW_CONNECTIONS false")
    swapped = world.restore(state="swapped", confirmed_by="Ada")
    assert swapped["changed"]
    assert "could not be counted" in swapped["text"]
    assert execute(world.target, 'SELECT count(*) FROM "User"') == [(400,)]


@pytest.mark.parametrize("kind", ["s3", "folder"])
def test_the_commands_in_the_manifest_restore_it_by_hand(
    postgres: t.Any, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    """Word for word, in a shell, with nothing of this collection; the object store's client is a stand-in."""
    options = {"kind": "folder", "path": str(tmp_path / "store")}
    if kind == "s3":
        options = s3_options(request.getfixturevalue("store"))
    world = made(postgres, options, tmp_path)
    commands = world.backup()["backup"]["restore_by_hand"]
    folder = tmp_path / "by hand"
    folder.mkdir()
    programs = tmp_path / "bin"
    programs.mkdir()
    place = world.place()

    def stand_in_for_aws() -> None:
        for key in world.objects():
            (folder / key.rpartition("/")[2]).write_bytes(b"".join(place.read(key)))

    if kind == "s3":
        assert commands[1].startswith(f"aws s3 cp --endpoint-url {options['endpoint_url']} --recursive s3://")
        stand_in_for_aws()
        (programs / "aws").write_text("#!/bin/sh\nexit 0\n")
        (programs / "aws").chmod(0o755)
    with child_environment(world.target.for_database("postgres")) as environment:
        environment["PATH"] = f"{programs}:{world.client_folder}:/usr/bin:/bin"
        done = subprocess.run(
            ["sh", "-ec", "\n".join(commands)],
            cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "900"
    by_hand = read_content(world, f"{world.target.dbname}__by_hand")
    assert content.compare(read_content(world, world.target.dbname), by_hand, False, True) == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"login_password": "wr0ng!"}, "Cannot reach database .*: .*password authentication failed"),
        ({"backup_id": "nothing"}, "Cannot find backup nothing: .* holds no manifest of it"),
        ({"run_id": "another"}, "Cannot find backup of run another"),
        ({"run_id": None}, "Cannot choose a backup: neither its name nor its run is given"),
        ({"client_folder": "/nowhere"}, "Cannot find pg_dump and pg_restore 18"),
        ({"state": "restored"}, "Cannot choose a database: none is named"),
        (
            {"state": "swapped", "database": "nowhere"},
            "Cannot swap database nowhere: there is none of this name",
        ),
        ({"state": "swapped_back", "database": "nowhere"}, "Cannot swap back database nowhere"),
    ],
)
def test_one_sentence_for_what_is_wrong(world: World, options: dict[str, t.Any], sentence: str) -> None:
    world.backup()
    with pytest.raises(MigrationError, match=sentence) as caught:
        world.restore(**options)
    assert "wr0ng!" not in f"{caught.value}{caught.value.facts}"


def test_an_older_server_is_refused(world: World) -> None:
    world.backup()
    path = stored_path(world, "manifest.json")
    text = path.read_text()
    newer = dict(manifest.parse(text.encode(), "x")["server"], major=19)
    path.write_bytes(manifest.dump(dict(manifest.parse(text.encode(), "x"), server=newer)))
    with pytest.raises(MigrationError, match="it comes from PostgreSQL 19 and this server is 18"):
        world.restore(client_folder=None)
