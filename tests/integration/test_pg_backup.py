# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_backup against a real server and a store that validates checksums: whole, or not at all."""

from __future__ import annotations

import base64
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
import typing as t
import zlib
from pathlib import Path

import botocore.exceptions
import psycopg2
import pytest

from ansible_collections.emailai.migration.plugins.module_utils._archive import parts, s3
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import control, lease, tables, worker
from ansible_collections.emailai.migration.plugins.module_utils._postgres import (
    connection as postgres_connection,
)
from integration.archive_world import World, execute, in_background, made, s3_options, wait_until
from integration.sampler import Sampler

# Eight megabytes that do not compress: two parts of the smallest size that S3 takes.
BULK = """
CREATE TABLE bulk AS
SELECT i, (SELECT string_agg(md5(i || ':' || j), '') FROM generate_series(1, 64) j) AS text
  FROM generate_series(1, 8000) i
"""

# The real program for the schema; for the data it stops after a while, or dies there.
DIES = 'case "$*" in *--section=data*) "$real" "$@" | head -c 13000000; kill -9 $$;; esac\nexec "$real" "$@"'
HANGS = (
    'case "$*" in *--section=data*) "$real" "$@" | head -c 13000000; exec sleep 30;; esac\nexec "$real" "$@"'
)


@pytest.fixture(params=["s3", "folder"])
def world(request: pytest.FixtureRequest, postgres: t.Any, tmp_path: Path) -> World:
    if request.param == "s3":
        return made(postgres, s3_options(request.getfixturevalue("store")), tmp_path)
    return made(postgres, {"kind": "folder", "path": str(tmp_path / "store")}, tmp_path)


@pytest.fixture
def s3_world(postgres: t.Any, store: t.Any, tmp_path: Path) -> World:
    return made(postgres, s3_options(store), tmp_path)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of the smallest size that S3 takes, so that a small database already travels in several."""
    monkeypatch.setattr(parts, "FIRST_PART", 5 * parts.MIB)


def running_report(world: World) -> dict[str, t.Any]:
    """The report of the detached process, once it sends data."""

    def look() -> t.Any:
        found = list((world.folder / "work").glob("back_up-*.json"))
        report = worker.read_report(str(found[0].parent), found[0].stem) if found else None
        return report if report and report.get("progress", {}).get("bytes") else None

    report: dict[str, t.Any] = wait_until(look)
    return report


def test_four_times(world: World) -> None:
    planned = world.backup(check_mode=True)
    assert planned["changed"]
    assert planned["prediction"]["bytes"] > 0
    assert world.is_clean(), "check mode wrote something"

    first = world.backup()
    assert first["changed"]
    assert not world.sessions(), "a session outlived the module"
    objects = world.objects()
    assert not world.place().pending()

    for check_mode in (True, False):
        again = world.backup(check_mode=check_mode)
        assert not again["changed"]
        assert again["backup"]["id"] == first["backup"]["id"]
    assert world.objects() == objects

    (listed,) = world.info()
    assert listed["tables"] == 8
    assert listed["rows"] == 400 + 900 + 300 + 2 + 5 + 1
    assert not listed["proven"]
    assert sum(size for key, size in objects.items() if "dump" in key) == listed["bytes"]


def test_another_run_and_another_database_have_their_own(world: World) -> None:
    first = world.backup()["backup"]["id"]
    named = world.backup(run_id="other", backup_id="by_name")
    assert (named["changed"], named["backup"]["id"]) == (True, "by_name")
    twin = world.postgres.new_database()
    assert world.backup(run_id=world.run_id, login_db=twin.dbname)["backup"]["id"] != first
    assert {backup["id"] for backup in world.info()} >= {first, "by_name"}
    assert [backup["id"] for backup in world.info(run_id="other")] == ["by_name"]


def test_absent_removes_and_then_changes_nothing(world: World) -> None:
    identifier = world.backup()["backup"]["id"]
    outcome = [
        world.backup(check_mode=check, state="absent", backup_id=identifier)["changed"]
        for check in (True, False, True, False)
    ]
    assert outcome == [True, True, False, False]
    assert world.is_clean()


@pytest.mark.further
def test_retention_keeps_what_is_proven(s3_world: World) -> None:
    world = s3_world
    for number in range(3):
        world.backup(run_id=f"run {number}", backup_id=f"b{number}")
    refused = world.backup(state="pruned", run_id="run 2", keep_proven=1)
    assert (refused["changed"], refused["removed"]) == (False, [])
    assert "not proven" in refused["reason"]
    for number in (0, 2):
        world.restore(backup_id=f"b{number}")
    outcome = [
        world.backup(check_mode=check, state="pruned", run_id="run 2", keep_proven=1)["removed"]
        for check in (True, False, True, False)
    ]
    assert outcome == [["b1", "b0"], ["b1", "b0"], [], []]
    assert [backup["id"] for backup in world.info()] == ["b2"]


def test_many_parts_and_many_streams(
    s3_world: World, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "LARGE_TABLE", 16 * 1024)
    execute(s3_world.target, BULK)
    made_of = s3_world.backup(jobs=3)["backup"]
    assert made_of["streams"] == 5
    assert all(key.count("/") == 2 for key in s3_world.objects())
    assert s3_world.restore(jobs=3)["proof"]["passed"]


def test_writers_do_not_disturb_the_proof(world: World) -> None:
    """Digests and dump see one moment, however much is written meanwhile."""
    ended = threading.Event()

    def write() -> int:
        connection = psycopg2.connect(**world.target.dsn())
        connection.autocommit = True
        count = 0
        with connection.cursor() as cursor:
            while not ended.wait(0.002):
                cursor.execute("INSERT INTO account (user_id) VALUES ('user-1')")
                cursor.execute("UPDATE first SET second_id = second_id")
                cursor.execute("DELETE FROM event_2026 WHERE id IN (SELECT id FROM event_2026 LIMIT 1)")
                count += 1
        connection.close()
        return count

    writer, written = in_background(write)
    try:
        world.backup()
    finally:
        ended.set()
        writer.join()
    assert written[0] > 20
    assert world.restore()["proof"]["passed"]


def test_a_dump_that_is_killed_leaves_nothing(world: World, small_parts: None) -> None:
    execute(world.target, BULK)
    honest = world.client_folder
    world.program("pg_dump", DIES)
    with pytest.raises(
        MigrationError, match=r"^Cannot finish pg_dump: it was ended by SIGKILL\. Run it again\.$"
    ):
        world.backup()
    assert world.is_clean()
    assert world.info() == []
    world.client_folder = honest
    assert world.backup()["changed"]


def test_a_worker_that_is_killed_is_swept_by_the_next_run(world: World, small_parts: None) -> None:
    execute(world.target, BULK)
    honest = world.client_folder
    world.program("pg_dump", HANGS)
    caller, seen = in_background(world.backup)
    report = running_report(world)
    wait_until(lambda: world.place().pending())
    os.kill(report["pid"], signal.SIGKILL)
    caller.join(20)
    assert str(seen[0]) == (
        f"Cannot finish back_up-{world.run_id.replace('#', '-')}: its process is gone."
        " Run it again: it begins anew and cleans up."
    )
    assert world.place().pending() or world.objects()
    assert world.info() == [], "half a backup is listed"

    world.client_folder = honest
    # In the same second it would bear the same name, and clear its own place instead.
    time.sleep(1.1)
    after = world.backup()
    assert after["swept"] > 0
    assert {key.split("/")[1] for key in world.objects()} == {after["backup"]["id"]}
    assert not world.place().pending()


def test_a_worker_that_is_told_to_end_cleans_up_itself(s3_world: World, small_parts: None) -> None:
    execute(s3_world.target, BULK)
    s3_world.program("pg_dump", HANGS)
    caller, seen = in_background(s3_world.backup)
    os.kill(running_report(s3_world)["pid"], signal.SIGTERM)
    caller.join(20)
    assert str(seen[0]) == "Cannot go on with the work: it was told to end."
    assert s3_world.is_clean()


def test_a_second_caller_joins(s3_world: World) -> None:
    s3_world.program("pg_dump", '"$real" "$@" || exit 1; sleep 1')
    first, seen = in_background(s3_world.backup)
    wait_until(lambda: list((s3_world.folder / "work").glob("*.json")))
    second = s3_world.backup()
    first.join(20)
    assert second["backup"]["id"] == seen[0]["backup"]["id"]
    assert len(s3_world.info()) == 1


def test_a_caller_without_patience_can_come_back(s3_world: World) -> None:
    s3_world.program("pg_dump", '"$real" "$@" || exit 1; sleep 2')
    with pytest.raises(MigrationError, match=r"it still runs after 1 s\. Run it again to join it") as caught:
        s3_world.backup(wait_seconds=1)
    assert caught.value.facts["running"] is True
    assert caught.value.facts["line"].startswith(("starting", "dump"))
    followed = s3_world.backup(follow=True)
    assert (followed["changed"], followed["backup"]["run_id"]) == (True, s3_world.run_id)
    # Its end may fall between two looks: the answer is still that of the work.
    assert s3_world.backup(follow=True) == followed
    assert not s3_world.backup()["changed"]


def test_one_backup_at_a_time_by_the_journal(s3_world: World) -> None:
    with postgres_connection.session(s3_world.target, "test") as connection:
        tables.ensure(connection)
        held = lease.acquire(connection, "back_up", "elsewhere", "Ada", seconds=60)
        assert held is not None
        with pytest.raises(
            MigrationError, match=r"Cannot begin back_up: it is being done by Ada on .* for run elsewhere"
        ):
            s3_world.backup()
        assert s3_world.objects() == {}
        lease.release(connection, "back_up", held.epoch)
        assert s3_world.backup()["changed"]
        after = lease.read(connection, "back_up")
        assert after is not None
        assert not after.is_live
    assert s3_world.restore()["proof"]["passed"], "the journal's own tables do not compare equal"


def test_abort_ends_it(s3_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.2)
    s3_world.program("pg_dump", HANGS)
    with postgres_connection.session(s3_world.target, "test") as connection:
        tables.ensure(connection)
        caller, seen = in_background(s3_world.backup)
        running_report(s3_world)
        control.write(connection, control.Control(wanted="abort", changed_by="Grace"))
        caller.join(20)
    assert str(seen[0]) == "Cannot go on with the work: Grace asked to abort it."
    assert s3_world.is_clean()


def test_a_locked_table_is_not_waited_for_long(s3_world: World) -> None:
    blocker = psycopg2.connect(**s3_world.target.dsn())
    with blocker.cursor() as cursor:
        cursor.execute("LOCK TABLE first IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        with pytest.raises(MigrationError, match=r"another session (locks a table|holds a lock on it)"):
            s3_world.backup(lock_wait_timeout_seconds=1)
        assert time.monotonic() - began < 10
    blocker.close()
    assert s3_world.is_clean()


@pytest.mark.parametrize(
    ("options", "store_options", "sentence"),
    [
        ({"login_password": "wr0ng!"}, {}, r"Cannot reach database .*: .*password authentication failed"),
        ({"login_port": 1}, {}, "Cannot reach database .*: .*Connection refused"),
        ({"login_db": "nowhere"}, {}, 'Cannot reach database .*: .*database "nowhere" does not exist'),
        (
            {},
            {"bucket": "no-such-bucket"},
            r"Cannot use s3://no-such-bucket/migrations/: the bucket does not exist\.",
        ),
        ({}, {"secret_key": "wr0ng!"}, "Cannot use s3://.*: the keys are refused or not allowed to do this"),
        ({}, {"access_key": "nobody"}, "Cannot use s3://.*: the keys are refused or not allowed to do this"),
        (
            {},
            {"endpoint_url": "http://127.0.0.1:1"},
            r"Cannot use s3://.*Check store\.endpoint_url and the network",
        ),
        ({"client_folder": "/nowhere"}, {}, "Cannot find pg_dump and pg_restore 18: this host has none"),
        ({"work_folder": "/proc/nowhere"}, {}, "Cannot use the work folder /proc/nowhere: .*set work_folder"),
    ],
)
def test_one_sentence_for_what_is_wrong(
    s3_world: World, options: dict[str, t.Any], store_options: dict[str, t.Any], sentence: str
) -> None:
    with pytest.raises(MigrationError, match=sentence) as caught:
        s3_world.backup(store={**s3_world.store, **store_options}, **options)
    assert "wr0ng!" not in f"{caught.value}{caught.value.facts}"
    assert "\n" not in str(caught.value)
    lines = s3_world.backup(readiness=True, store={**s3_world.store, **store_options}, **options)["readiness"]
    assert any(line["state"] == "open" for line in lines) or "work_folder" in options


def test_another_major_is_refused(s3_world: World) -> None:
    s3_world.program("pg_dump", "exit 1")
    program = Path(s3_world.client_folder) / "pg_dump"
    program.write_text(
        program.read_text().replace(
            "--version ] && exec", "--version ] && echo 'pg_dump (PostgreSQL) 15.9' || exec"
        )
    )
    with pytest.raises(
        MigrationError, match=r"Cannot find pg_dump and pg_restore 18: this host has only 15\.9 in"
    ):
        s3_world.backup()


def test_a_full_disk_leaves_nothing(postgres: t.Any, tmp_path: Path) -> None:
    """A folder store on a device without room: limit the size of files a process may write."""
    world = made(postgres, {"kind": "folder", "path": str(tmp_path / "store")}, tmp_path)
    execute(world.target, BULK)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    try:
        with pytest.raises(MigrationError, match=r"Cannot write .*data-rest.*: file too large"):
            world.backup()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert world.is_clean()
    assert world.backup()["changed"]


def test_the_lab_store_validates_what_it_is_sent(s3_world: World) -> None:
    """Without this the tests of integrity would prove nothing."""
    place = s3_world.place()
    wrong = base64.b64encode((zlib.crc32(b"sent") ^ 1).to_bytes(4, "big")).decode()
    with pytest.raises(botocore.exceptions.ClientError, match="BadDigest"):
        place.client.put_object(Bucket=place.bucket, Key="x", Body=b"sent", ChecksumCRC32=wrong)
    assert place.head("x") is None


def test_a_store_that_receives_other_bytes_is_not_believed(
    s3_world: World, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes and checksum do not belong together: the store refuses, and nothing stays."""
    honest = s3.as_base64
    monkeypatch.setattr(s3, "as_base64", lambda crc32: honest(crc32 ^ 1))
    writer = s3_world.place().writer("migrations/x/data-rest.dump.zst", 1)
    writer.write(os.urandom(6 * parts.MIB))
    with pytest.raises(MigrationError, match="the store received other bytes than were sent"):
        writer.finish()
    writer.abort()
    assert s3_world.is_clean()


def test_an_object_that_is_there_is_not_replaced(world: World) -> None:
    place = world.place()
    place.put("migrations/x/manifest.json", b"first")
    with pytest.raises(MigrationError, match=r"(already there|file exists)"):
        place.put("migrations/x/manifest.json", b"second")
    assert b"".join(place.read("migrations/x/manifest.json")) == b"first"


def test_secrets_are_nowhere(s3_world: World, small_parts: None) -> None:
    """Every process of ours is looked at while it runs: neither arguments nor environment hold a secret."""
    execute(s3_world.target, BULK)
    secrets = [s3_world.target.password.encode(), str(s3_world.store["secret_key"]).encode()]
    with Sampler(secrets) as sampler:
        answers = [s3_world.backup(), s3_world.restore()]
    assert sampler.dumps > 0, "the sampler never saw pg_dump"
    assert sampler.hits == 0
    texts = [
        repr(answers).encode(),
        *(path.read_bytes() for path in s3_world.folder.rglob("*") if path.is_file()),
    ]
    place = s3_world.place()
    texts += [b"".join(place.read(key)) for key in s3_world.objects() if key.endswith(".json")]
    assert not any(secret in text for text in texts for secret in secrets)


@pytest.mark.parametrize("where", ["environment", "arguments"])
def test_the_sampler_sees_what_others_do(where: str) -> None:
    """The control: a client that is given its password as most are given it."""
    secret = "s3cret-of-the-control"
    command = [sys.executable, "-c", "import time; time.sleep(1)"]
    options: dict[str, t.Any] = {"env": {"PGPASSWORD": secret}} if where == "environment" else {}
    with Sampler([secret.encode()]) as sampler:
        subprocess.run([*command, *([] if options else [f"--password={secret}"])], check=True, **options)
    assert sampler.hits > 0


def test_readiness_of_an_ordinary_owner(s3_world: World) -> None:
    postgres = s3_world.postgres
    owner = postgres.new_role(f"owner_{s3_world.target.dbname}", "CREATEDB")
    mine = postgres.new_database(owner.user)
    options = {"login_user": owner.user, "login_password": owner.password}
    found = s3_world.backup(readiness=True, login_db=mine.dbname, **options)
    states = {line["item"]: line["state"] for line in found["readiness"]}
    # Without the right to read the server's settings its disk is not watched, which is said.
    assert states.pop("backup: free disk") == "not_watched"
    assert set(states.values()) == {"met"}, found["readiness"]
    line = next(line for line in found["readiness"] if line["item"] == "backup: free disk")
    assert re.fullmatch(r"\d+ MB free", line["required"])
    watched = s3_world.backup(
        readiness=True, login_db=mine.dbname, data_folder=str(s3_world.folder), **options
    )
    assert {line["state"] for line in watched["readiness"]} == {"met"}
    theirs = s3_world.backup(readiness=True, **options)
    rights = next(line for line in theirs["readiness"] if line["item"] == "backup: rights")
    assert (rights["state"], "cannot be read whole" in rights["found"]) == ("open", True)
