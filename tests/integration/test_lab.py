# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab itself: it comes up whole, heals, tells the truth about failures, and goes without a trace."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import typing as t
import urllib.error
import urllib.request
from pathlib import Path

import psycopg2
import pytest
from botocore.exceptions import ClientError

from lab import load, seed
from lab.client import Answer, Client
from lab.database import read_actual
from lab.expectation import differences, doubtful, expected_state
from lab.fleet import build, release
from lab.ground import free_base, is_listening, wait_until
from lab.layout import APPS, BUCKET, DATABASES, RELEASE_AFTER, RELEASE_BEFORE, Layout
from lab.process import all_recorded, started_at
from lab.whole import Lab

# What the migration will make, in short: enough for the new release to work on.
_ORGANIZATIONS = """
CREATE TYPE "OrganizationRole" AS ENUM ('OWNER', 'ADMIN', 'MEMBER', 'VIEWER');
CREATE TABLE "Organization" (
    id text PRIMARY KEY, name text NOT NULL, slug text NOT NULL UNIQUE,
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, "updatedAt" timestamp(3) NOT NULL);
CREATE TABLE "OrganizationMember" (
    id text PRIMARY KEY, "userId" text NOT NULL REFERENCES users ON DELETE CASCADE,
    "organizationId" text NOT NULL REFERENCES "Organization", role "OrganizationRole" NOT NULL,
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, "updatedAt" timestamp(3) NOT NULL,
    UNIQUE ("userId", "organizationId"));
ALTER TABLE "EmailAccount" ADD "organizationId" text REFERENCES "Organization";
ALTER TABLE "Premium" ADD "organizationId" text REFERENCES "Organization";
INSERT INTO "Organization" SELECT 'o' || id, 'Organization of ' || email, id, now(), now() FROM users;
INSERT INTO "OrganizationMember" SELECT 'm' || id, id, 'o' || id, 'OWNER', now(), now() FROM users;
UPDATE "EmailAccount" SET "organizationId" = 'o' || "userId";
UPDATE "Premium" SET "organizationId" = 'o' || "userId";
"""


def _make(folder: Path, profile: str = "clean") -> Lab:
    # As deep as a clone may be: nothing of the lab may depend on a short path.
    return Lab(Layout(folder / ("a-rather-deep-folder/" * 6) / "lab", free_base(), profile))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Lab]:
    one = _make(tmp_path_factory.mktemp("lab"))
    try:
        one.up()
        yield one
    finally:
        one.down()


def _value(lab: Lab, query: str, side: str = "prod") -> t.Any:
    server = lab.databases.all()[side]
    return server.execute(query, dbname=DATABASES["staging" if side == "staging" else "prod"])[0][0]


def _counts(lab: Lab) -> tuple[int, int, int]:
    tables = ("users", '"EmailAccount"', '"Premium"')
    users, accounts, premiums = (_value(lab, f"SELECT count(*) FROM public.{table}") for table in tables)
    return users, accounts, premiums


def _ask(
    lab: Lab, method: str, path: str, body: t.Any = None, token: str = "", part: str = "front"
) -> Answer:
    client = Client(lab.layout.port(part))
    try:
        return client.call(method, path, body, token)
    finally:
        client.close()


def _lost(lab: Lab) -> list[str]:
    """What acknowledged writes ask for and the database does not have."""
    state = expected_state(load.acknowledged(lab.layout), seed.make(lab.layout.profile))
    actual = read_actual(lab.databases.prod.address("postgres", DATABASES["prod"]))
    return differences(state, actual, doubtful(load.failures(lab.layout)))


# -- up, and up again ---------------------------------------------------------


def test_the_numbers_are_exact(lab: Lab) -> None:
    assert _counts(lab) == (1250, 3420, 450)
    assert _value(lab, "SELECT count(*) FROM public.users", "staging") == 25
    applied = "SELECT count(*) FROM public._prisma_migrations WHERE finished_at IS NOT NULL"
    assert _value(lab, applied) == 1


def test_everything_runs_and_up_again_starts_nothing(lab: Lab) -> None:
    before = lab.status()
    assert lab.missing() == []
    lab.up()
    assert lab.status() == before


def test_the_replica_follows(lab: Lab) -> None:
    assert _value(lab, "SELECT pg_is_in_recovery()", "replica") is True
    assert _value(lab, "SELECT state FROM pg_stat_replication") == "streaming"


def test_statistics_of_statements_are_kept(lab: Lab) -> None:
    assert _value(lab, "SELECT count(*) FROM public.pg_stat_statements") > 0


def test_all_servers_answer_with_the_old_release(lab: Lab) -> None:
    assert lab.balancer.states() == dict.fromkeys(APPS, "UP")
    seen = {_ask(lab, "GET", "/api/health").headers["x-server"] for _turn in range(8)}
    assert seen == set(APPS)
    answer = _ask(lab, "GET", "/api/health")
    assert (answer.content, answer.headers["x-release"]) == (
        {"status": "ok", "version": RELEASE_BEFORE},
        RELEASE_BEFORE,
    )


def test_another_range_of_ports_or_profile_is_refused(lab: Lab) -> None:
    with pytest.raises(RuntimeError, match="LAB_PORT_BASE"):
        Lab(Layout(lab.layout.folder, lab.layout.port_base + 30)).up()


def test_the_store_refuses_wrong_keys_and_unknown_buckets(lab: Lab) -> None:
    lab.store.client().head_bucket(Bucket=BUCKET)
    for client, bucket in (
        (lab.store.client(secret_key="wrong"), BUCKET),
        (lab.store.client(), "no-such-bucket"),
    ):
        with pytest.raises(ClientError):
            client.put_object(Bucket=bucket, Key="migrations/x", Body=b"x")


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("emailai_reader", "UPDATE public.users SET name = name"),
        ("emailai_writer", "ALTER TABLE public.users ADD x int"),
        ("emailai_app", "CREATE TABLE public.x ()"),
        ("emailai_app", 'TRUNCATE public."Rule"'),
        ("emailai_owner", "COPY public.users TO PROGRAM 'cat'"),
    ],
)
def test_each_role_may_do_no_more_than_its_work(lab: Lab, role: str, statement: str) -> None:
    secret = lab.layout.secrets()["roles"][role]
    address = {**lab.databases.prod.address(), "user": role, "password": secret, "dbname": DATABASES["prod"]}
    connection = psycopg2.connect(**address)
    try:
        with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(statement)
    finally:
        connection.close()


def test_a_wrong_password_is_refused(lab: Lab) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(**{**lab.databases.prod.address(), "password": "wrong"})


def test_webhooks_and_mails_arrive(lab: Lab) -> None:
    address = f"http://127.0.0.1:{lab.layout.port('webhook')}/chat"
    request = urllib.request.Request(address, data=b'{"text": "hello"}', headers={"Authorization": "secret"})
    urllib.request.urlopen(request, timeout=5).close()
    line = json.loads(lab.layout.webhooks.read_text().splitlines()[-1])
    assert (line["path"], line["body"]) == ("/chat", {"text": "hello"})
    assert "secret" not in json.dumps(line)


# -- the balancer --------------------------------------------------------------


def test_the_access_log_has_the_declared_format(lab: Lab) -> None:
    _ask(lab, "GET", "/api/users/nobody")
    wait_until(
        lambda: "path=/api/users/nobody" in lab.layout.access_log.read_text(), 5, "the line in the log"
    )
    line = next(
        line for line in lab.layout.access_log.read_text().splitlines() if "path=/api/users/nobody" in line
    )
    words = dict(word.split("=", 1) for word in line.split())
    assert (words["status"], words["method"], words["release"]) == ("404", "GET", RELEASE_BEFORE)
    assert words["server"] in APPS
    assert abs(int(words["ts"]) / 1000 - time.time()) < 60
    assert 0 <= int(words["ms"]) < 5000


def test_the_maintenance_page_spares_the_health_page(lab: Lab) -> None:
    name = lab.balancer.map
    lab.balancer.ask(f"set map {name} page <h1>Back\\ soon</h1>")
    lab.balancer.ask(f"set map {name} state shown")
    try:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{lab.layout.public_url}/api/users/x", timeout=5)
        assert refused.value.code == 503
        assert refused.value.read() == b"<h1>Back soon</h1>"
        assert _ask(lab, "GET", "/api/health").status == 200
    finally:
        lab.balancer.ask(f"set map {name} state hidden")
    assert _ask(lab, "GET", "/api/users/x").status == 404


def test_a_reload_keeps_serving(lab: Lab) -> None:
    def worker() -> str:
        return next(line for line in lab.balancer.ask("show info").splitlines() if line.startswith("Pid:"))

    before = worker()
    os.kill(lab.balancer.process.pid, signal.SIGUSR2)
    wait_until(lambda: worker() != before, 10, "the new worker")
    lab.balancer.wait_until_all_up()
    assert _ask(lab, "GET", "/api/health").status == 200


# -- the application -------------------------------------------------------------


def test_the_old_release_does_its_work(lab: Lab) -> None:
    user = _ask(lab, "POST", "/api/signup", {"email": "one@test.example.com", "name": "One"}).content["id"]
    other = _ask(lab, "POST", "/api/signup", {"email": "two@test.example.com"}).content["id"]
    token = _ask(lab, "POST", "/api/login", {"email": "one@test.example.com"}).content["token"]
    account = _ask(lab, "POST", "/api/accounts", {"userId": user, "email": "box@test.example.com"}).content[
        "id"
    ]
    assert _ask(lab, "POST", "/api/accounts/switch", {"id": account}, token).status == 200
    rule = {"emailAccountId": account, "name": "N", "instructions": "Archive if it has 'receipt'"}
    assert _ask(lab, "POST", "/api/rules", rule).status == 201
    question = {"emailAccountId": account, "subject": "Your Receipt"}
    assert _ask(lab, "POST", "/api/rules/execute", question).content == {"matched": ["N"]}
    letter = {"accountId": account, "to": "friend@example.com", "subject": "Hello"}
    key = _ask(lab, "POST", "/api/mail/send", letter).content["messageId"]
    messages = _ask(lab, "GET", f"/api/mail?accountId={account}").content["messages"]
    assert [message["message_id"] for message in messages] == [key]
    assert _ask(lab, "POST", "/api/premium", {"userId": user, "tier": "PRO_MONTHLY"}).status == 201
    assert _ask(lab, "GET", f"/api/premium/{user}").content["usedSeats"] == 1
    assert _ask(lab, "POST", "/api/accounts/relink", {"id": account, "userId": other}).status == 200
    assert _ask(lab, "GET", f"/api/accounts/{account}").content["userId"] == other
    assert _ask(lab, "DELETE", f"/api/accounts/{account}").status == 200
    assert _ask(lab, "DELETE", f"/api/users/{user}").status == 200
    assert _ask(lab, "DELETE", f"/api/users/{user}").status == 404
    assert _ask(lab, "POST", "/api/login", {"email": "one@test.example.com"}).status == 401


def test_switches_break_and_mend_a_running_server(lab: Lab) -> None:
    lab.fleet.set_faults("app-2", fail=["user_page"])
    assert _ask(lab, "GET", "/api/users/x", part="app-2").status == 500
    lab.fleet.set_faults("app-2")
    assert _ask(lab, "GET", "/api/users/x", part="app-2").status == 404


def test_a_bad_release_errs_for_users_and_looks_healthy(lab: Lab) -> None:
    build(lab.layout.artifacts, release("v1.9.1-bad", {"error_rate": 0.5}))
    lab.fleet.unpack("app-3", "v1.9.1-bad")
    lab.fleet.service("app-3").restart()
    try:
        wait_until(lab.fleet.service("app-3").is_healthy, 10, "the bad release's health")
        statuses = [_ask(lab, "GET", "/api/users/x", part="app-3").status for _turn in range(60)]
        assert 5 < statuses.count(500) < 55
    finally:
        lab.fleet.unpack("app-3", RELEASE_BEFORE)
        lab.fleet.service("app-3").restart()
        lab.balancer.wait_until_all_up()


def test_stopping_a_server_finishes_what_it_has_begun(lab: Lab) -> None:
    client = Client(lab.layout.port("app-4"))
    service = lab.fleet.service("app-4")
    pid = os.fork()
    if pid == 0:
        time.sleep(0.3)
        service.ask_to_stop()
        os._exit(0)
    try:
        answer = client.call("GET", "/api/slow?ms=1200")
        assert (answer.status, answer.headers["connection"]) == (200, "close")
    finally:
        os.waitpid(pid, 0)
        client.close()
        service.restart()
        lab.balancer.wait_until_all_up()


# -- users ------------------------------------------------------------------------


def test_users_meet_no_failure_and_nothing_is_lost(lab: Lab) -> None:
    load.start(lab.layout, {"LAB_LOAD_RATE": "120"})
    time.sleep(5)
    load.stop(lab.layout)
    report = load.report(lab.layout)
    assert report["requests"] > 300
    assert (report["failed"], report["running"]) == (0, False)
    assert report["by_release_counts"] == {RELEASE_BEFORE: report["requests"]}
    assert 0 <= report["p95_ms"] < 2000
    assert load.acknowledged(lab.layout)
    assert _lost(lab) == []


def test_control_a_server_killed_without_draining_shows_failures(lab: Lab) -> None:
    load.start(lab.layout, {"LAB_LOAD_RATE": "200"})
    time.sleep(1.5)
    lab.fleet.service("app-1").process.kill()
    time.sleep(2.5)
    load.stop(lab.layout)
    lab.up()
    assert load.report(lab.layout)["failed"] > 0
    assert load.failures(lab.layout)
    assert _lost(lab) == []


def test_a_lost_write_would_be_noticed(lab: Lab) -> None:
    event = next(event for event in reversed(load.acknowledged(lab.layout)) if event["op"] == "rule_add")
    if f"rule {event['id']} is lost" in _lost(lab):
        pytest.fail("the rule was lost before this test took it away")
    lab.databases.prod.execute('DELETE FROM public."Rule" WHERE id = %s', DATABASES["prod"], (event["id"],))
    assert _lost(lab) == [f"rule {event['id']} is lost"]


# -- healing ------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["store", "haproxy", "app-2", "smtp", "webhook"])
def test_a_dead_part_is_started_again(lab: Lab, part: str) -> None:
    process = next(process for process in all_recorded(lab.layout.pids) if process.name == part)
    process.kill()
    assert lab.missing() == [part]
    before = _counts(lab)
    lab.up()
    assert lab.missing() == []
    assert _counts(lab) == before


@pytest.mark.parametrize("side", ["prod", "replica", "staging"])
def test_a_dead_database_is_started_again_with_its_rows(lab: Lab, side: str) -> None:
    before = _counts(lab)
    pid = lab.databases.all()[side].pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: started_at(pid) is None, 10, "the death of the postmaster")
    assert lab.missing() == [f"postgres-{side}"]
    lab.up()
    assert lab.missing() == []
    assert _counts(lab) == before


@pytest.mark.further
def test_a_store_that_was_killed_keeps_its_objects(lab: Lab) -> None:
    client = lab.store.client()
    client.put_object(Bucket=BUCKET, Key="migrations/kept", Body=b"kept")
    lab.store.process.kill()
    lab.up()
    assert client.get_object(Bucket=BUCKET, Key="migrations/kept")["Body"].read() == b"kept"


# -- the new release; it changes the schema, so it comes near the end ----------------


def test_the_new_release_keeps_organizations(lab: Lab) -> None:
    secret = lab.layout.secrets()["roles"]["emailai_owner"]
    address = {
        **lab.databases.prod.address(),
        "user": "emailai_owner",
        "password": secret,
        "dbname": DATABASES["prod"],
    }
    connection = psycopg2.connect(**address)
    with connection, connection.cursor() as cursor:
        cursor.execute(_ORGANIZATIONS)
    connection.close()
    lab.fleet.unpack("app-1", RELEASE_AFTER)
    lab.fleet.service("app-1").restart()
    wait_until(lab.fleet.service("app-1").is_healthy, 10, "the new release's health")
    _check_organization(lab)
    _check_three_ways_to_sign_up(lab)
    marks = _value(lab, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'emailai-orgs'")
    assert marks > 0


def _check_organization(lab: Lab) -> None:
    def ask(method: str, path: str, body: t.Any = None, token: str = "") -> Answer:
        return _ask(lab, method, path, body, token, part="app-1")

    entry = ask("POST", "/api/login", {"email": seed.TEST_USER}).content
    token, page = entry["token"], f"/api/organizations/{entry['organizationId']}"
    assert entry["redirect"] == page.removeprefix("/api")
    found = ask("GET", page, token=token).content
    assert found["name"] == f"Organization of {seed.TEST_USER}"
    assert [member["role"] for member in found["members"]] == ["OWNER"]
    assert ask("GET", page).status == 401
    guest = ask(
        "POST", f"{page}/invite", {"email": "guest@test.example.com", "role": "MEMBER"}, token
    ).content["userId"]
    guests_token = ask("POST", "/api/login", {"email": "guest@test.example.com"}).content["token"]
    billing = ask("GET", f"{page}/billing", token=token).content
    assert (billing["usedSeats"], billing["members"], billing["maxSeats"]) == (2, 2, 5)
    assert ask("GET", f"{page}/billing", token=guests_token).status == 403
    account = found["accounts"][0]["id"]
    assert ask("POST", "/api/accounts/transfer", {"id": account, "userId": guest}, guests_token).status == 403
    assert ask("POST", "/api/accounts/transfer", {"id": account, "userId": guest}, token).status == 200
    statuses = [
        ask("POST", f"{page}/invite", {"email": f"more{n}@test.example.com"}, token).status for n in range(4)
    ]
    assert statuses == [201, 201, 201, 402]
    assert ask("DELETE", f"{page}/members/{guest}", token=token).status == 200
    assert ask("GET", f"{page}/billing", token=token).content["usedSeats"] == 4


def _check_three_ways_to_sign_up(lab: Lab) -> None:
    owner = _ask(lab, "POST", "/api/signup", {"email": "s0@test.example.com"}, part="app-1").content
    for number, mode in enumerate(("single", "two_transactions", "invitation"), 1):
        body = {
            "email": f"s{number}@test.example.com",
            "mode": mode,
            "organizationId": owner["organizationId"],
        }
        made = _ask(lab, "POST", "/api/signup", body, part="app-1").content
        assert (made["organizationId"] == owner["organizationId"]) is (mode == "invitation")
        account = {"userId": made["id"], "email": f"box{number}@test.example.com"}
        key = _ask(lab, "POST", "/api/accounts", account, part="app-1").content["id"]
        link = f"""SELECT "organizationId" FROM public."EmailAccount" WHERE id = '{key}'"""
        assert _value(lab, link) == made["organizationId"]


@pytest.mark.further
def test_reset_makes_everything_new(lab: Lab) -> None:
    secrets = lab.layout.secrets()
    lab.reset()
    assert _counts(lab) == (1250, 3420, 450)
    assert lab.layout.secrets() == secrets
    assert lab.store.client().list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
    assert load.acknowledged(lab.layout) == []
    assert {lab.fleet.service(name).status()["running"] for name in APPS} == {True}
    assert _ask(lab, "GET", "/api/health").headers["x-release"] == RELEASE_BEFORE


# -- a second lab, beside the first ---------------------------------------------------


@pytest.mark.further
def test_a_nasty_lab_beside_it_comes_and_goes_without_a_trace(lab: Lab, tmp_path: Path) -> None:
    other = _make(tmp_path, "nasty")
    run = other.layout.run
    try:
        other.up()
        assert _counts(other) == (1250, 3420, 450)
        assert _value(other, 'SELECT count(*) FROM public."Premium" WHERE "userId" IS NULL') == 30
        longest = 'SELECT max(count) FROM (SELECT count(*) FROM public."EmailAccount" GROUP BY "userId") AS x'
        assert _value(other, longest) == 15
        assert _value(other, "SELECT max(length(name)) FROM public.users") == 1500
        pids = [entry["pid"] for entry in other.status().values() if entry["running"]]
        assert len(pids) == 11
    finally:
        other.down()
    assert [pid for pid in pids if started_at(pid) is not None] == []
    assert [port for port in other.layout.all_ports if is_listening(port)] == []
    assert not other.layout.folder.exists()
    assert not run.exists()
    assert not list(Path("/tmp").glob(f"seaweedfs-*-{other.layout.port_base + 6}.sock"))
    assert lab.missing() == []
    other.down()


@pytest.mark.further
def test_a_lab_that_was_torn_while_it_was_made_is_healed(tmp_path: Path) -> None:
    torn = _make(tmp_path)
    try:
        # As after a kill in the middle: a data folder without rows, a host without a release.
        torn.layout.secrets()
        torn.layout.run.mkdir(mode=0o711)
        torn.databases.prod.create("half")
        (torn.layout.host("app-1") / "releases" / f".{RELEASE_BEFORE}.draft").mkdir(parents=True)
        torn.up()
        assert _counts(torn) == (1250, 3420, 450)
        assert torn.missing() == []
    finally:
        torn.down()


def test_a_port_of_somebody_else_is_named(tmp_path: Path) -> None:
    refused = _make(tmp_path)
    port = refused.layout.port("front")
    with socket.create_server(("127.0.0.1", port)), pytest.raises(RuntimeError, match=str(port)):
        refused.up()
    refused.down()
    assert not refused.layout.folder.exists()
