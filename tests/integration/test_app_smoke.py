# SPDX-License-Identifier: GPL-3.0-or-later
"""app_smoke against the lab's application in both releases: every check is seen to pass and to fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
from lab_app.http import Server as Http
from lab_app.service import Service

from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target
from ansible_collections.emailai.migration.plugins.module_utils._smoke.checks import CHECKS
from integration.haproxy_fixture import ROOT, free_ports, run_module, wait_until
from integration.test_lab import _ORGANIZATIONS
from lab import database, fleet, seed
from lab.sinks import MailFolder

if t.TYPE_CHECKING:
    from integration.conftest import Postgres

# What must fail while a switch is on; more may fail with it, for what depends on it cannot be tried.
SWITCHES: dict[str, dict[str, list[str]]] = {
    "log_in": {"fail": ["login"]},
    "organization_page": {"fail": ["organization_page"]},
    "organization_name": {"wrong": ["organization_name"]},
    "accounts": {"fail": ["account_list"]},
    "organization_accounts": {"fail": ["organization_page"]},
    "account_open": {"fail": ["account_add"]},
    "switch": {"fail": ["account_switch"]},
    "mail": {"fail": ["mail_send"]},
    "members": {"fail": ["member_list"]},
    "invite": {"fail": ["member_invite"]},
    "billing_view": {"fail": ["billing_view"]},
    "roles": {"wrong": ["roles"]},
    "transfer": {"fail": ["account_transfer"]},
    "old_rules": {"wrong": ["rules"]},
    "new_rule": {"fail": ["rule_add"]},
    "rules_run": {"wrong": ["rules"]},
    "subscription": {"fail": ["subscription"]},
    "seats": {"wrong": ["seat_count"]},
    "limits": {"wrong": ["seat_limit"]},
}
# Everything but the sessions' and the subscriptions' own times: those the application writes.
_ROWS = """
SELECT md5(string_agg(r, E'\\n' ORDER BY r)) FROM (
    SELECT u::text AS r FROM public.users u
    UNION ALL SELECT a::text FROM public."EmailAccount" a
    UNION ALL SELECT l::text FROM public."Rule" l
    UNION ALL SELECT s::text FROM public."Session" s
    UNION ALL SELECT o::text FROM public."Organization" o
    UNION ALL SELECT m::text FROM public."OrganizationMember" m
    UNION ALL SELECT (id, tier, "usedSeats", "maxSeats", "organizationId")::text FROM public."Premium"
) rows
"""


@dataclass
class App:
    """One release that runs in this process, on a database of its own."""

    url: str
    folder: Path
    database: Target
    postgres: Postgres

    def break_it(self, **faults: t.Any) -> None:
        (self.folder / "shared" / "faults.json").write_text(json.dumps(faults))

    def digest(self) -> str:
        return str(self.postgres.server.execute(_ROWS, dbname=self.database.dbname)[0][0])

    def count(self, what: str) -> int:
        rows = self.postgres.server.execute(
            f"SELECT count(*) FROM public.{what}", dbname=self.database.dbname
        )
        return int(rows[0][0])

    def do(self, statement: str) -> None:
        self.postgres.server.execute(statement, dbname=self.database.dbname)

    def mails(self) -> int:
        return len(list((self.folder / "mail").glob("*.eml")))

    def smoke(self, check_mode: bool = False, **more: t.Any) -> dict[str, t.Any]:
        given = {"url": self.url, "user": seed.TEST_USER, "password": "n0t-t0ld", **more}
        found = run_module("app_smoke", given, check_mode=check_mode)
        assert "n0t-t0ld" not in json.dumps({**found, "invocation": {}})
        return found


def _states(found: dict[str, t.Any]) -> dict[str, str]:
    return {row["name"]: row["state"] for row in found["checks"]}


def _of(found: dict[str, t.Any], state: str) -> set[str]:
    return {name for name, is_so in _states(found).items() if is_so == state}


@pytest.fixture(scope="module")
def filled(postgres: Postgres) -> Target:
    for role in ("emailai_app", "emailai_writer", "emailai_reader", "emailai_owner"):
        if not postgres.server.execute(f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'"):
            postgres.new_role(role)
    target = postgres.new_database()
    database.load(postgres.server.address(dbname=target.dbname), seed.make())
    # Seats as the new release counts them.
    counted = 'UPDATE "Premium" SET "usedSeats" = 1 WHERE "organizationId" IS NOT NULL;'
    postgres.server.execute(_ORGANIZATIONS + counted, dbname=target.dbname)
    return target


def _running(version: str, folder: Path, target: Target, postgres: Postgres) -> t.Iterator[App]:
    from aiosmtpd.controller import Controller

    port, mail = free_ports(2)
    settings = {
        "DATABASE_URL": f"postgresql://{target.user}:{target.password}@{target.host}:{target.port}/{target.dbname}",
        "PORT": str(port),
        "HOST_NAME": "app-1",
        "MAIL_HOST": "127.0.0.1",
        "MAIL_PORT": str(mail),
        "MAIL_FOLDER": str(folder / "mail"),
    }
    (folder / "shared").mkdir()
    sink = Controller(MailFolder(folder / "mail"), hostname="127.0.0.1", port=mail, ready_timeout=20)
    sink.start()
    service = Service(fleet.release(version), settings, folder)
    http = Http(port, service.answer)
    threading.Thread(target=http.run, daemon=True).start()
    try:
        yield App(f"http://127.0.0.1:{port}", folder, target, postgres)
    finally:
        http.stop(5)
        service.pool.close()
        sink.stop()


@pytest.fixture(scope="module")
def new_app(filled: Target, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[App]:
    yield from _running("v2.0.0-orgs", tmp_path_factory.mktemp("new"), filled, postgres)


@pytest.fixture
def app(new_app: App) -> t.Iterator[App]:
    """Whole before each test, and as it was after it."""
    before = new_app.digest(), new_app.mails()
    yield new_app
    new_app.break_it()
    assert (new_app.digest(), new_app.mails()) == before


def test_every_check_passes_and_nothing_is_left(app: App) -> None:
    """Check, real, check again, real again: no row differs at any time, and no mail stays."""
    for check_mode in (True, False, True, False):
        before = app.digest(), app.mails()
        found = app.smoke(check_mode)
        assert (app.digest(), app.mails()) == before
        assert (found["changed"], found["swept"]) == (False, [])
        assert list(_states(found)) == list(CHECKS)
        assert set(_states(found).values()) == {"planned" if check_mode else "passed"}, found
    assert found["smoke"] == {"passed": len(CHECKS), "failed": 0, "not_applicable": 0, "reasons": {}}


def test_check_mode_asks_nothing(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    found = run_module("app_smoke", {"url": nobody, "user": seed.TEST_USER}, check_mode=True)
    assert not found.get("failed")
    assert _states(found) == dict.fromkeys(CHECKS, "planned")


@pytest.mark.parametrize("check", CHECKS)
def test_each_check_is_seen_to_fail(app: App, check: str) -> None:
    """And what was made until then goes all the same, which the fixture proves."""
    app.break_it(**SWITCHES[check])
    found = app.smoke()
    assert check in _of(found, "failed")
    assert found["failed"]
    assert f"{check} (" in found["msg"]
    assert "a critical flow is broken" in found["msg"]


def test_a_switch_breaks_no_more_than_depends_on_it(app: App) -> None:
    app.break_it(fail=["account_switch"])
    assert _of(app.smoke(), "failed") == {"switch"}
    app.break_it(wrong=["roles"])
    assert _of(app.smoke(), "failed") == {"roles"}
    app.break_it(wrong=["rules"])
    assert _of(app.smoke(), "failed") == {"old_rules", "rules_run"}


def test_what_a_visit_that_was_cut_off_has_left_goes_with_the_next(app: App) -> None:
    """While nothing can be deleted the suite fails and names what is there; mended, it removes it."""
    app.break_it(fail=["user_delete", "account_delete", "rule_delete", "mail_delete"])
    found = app.smoke()
    left = next(row["reason"] for row in found["checks"] if row["name"] == "cleaned_up")
    assert all(f"{kind} " in left for kind in ("user", "account", "rule", "mail"))
    app.break_it()
    found = app.smoke()
    assert found["changed"]
    assert {words.split()[0] for words in found["swept"]} == {"user", "account", "rule", "mail"}
    assert _of(found, "failed") == set()
    assert not app.smoke()["changed"]


def test_a_visit_that_is_killed_is_cleared_by_the_next(app: App) -> None:
    app.break_it(slow_ms=150)
    arguments = {"ANSIBLE_MODULE_ARGS": {"url": app.url, "user": seed.TEST_USER}}
    visit = subprocess.Popen(
        [sys.executable, "-m", "ansible_collections.emailai.migration.plugins.modules.app_smoke"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT / "collections")},
    )  # fmt: skip
    assert visit.stdin is not None
    visit.stdin.write(json.dumps(arguments).encode())
    visit.stdin.close()
    try:
        wait_until(lambda: app.count("users WHERE email LIKE 'emailai-smoke-%'") > 0, 60)
    finally:
        visit.kill()
        visit.wait(10)
    app.break_it()
    found = app.smoke()
    assert found["changed"]
    assert {words.split()[0] for words in found["swept"]} >= {"account", "user"}
    assert _of(found, "failed") == set()
    # What a kill does leave is a session that nobody has logged out; it ends by itself.
    app.do("""DELETE FROM public."Session" WHERE "sessionToken" NOT LIKE 'seed-%'""")


def test_a_member_between_two_removals_is_found_again(app: App) -> None:
    """He is in no organization any more: the next visit invites the same address, and takes it along."""
    app.break_it(fail=["user_delete"])
    app.smoke()
    strangers = "USING public.users u WHERE u.id = m.\"userId\" AND u.email LIKE 'emailai-smoke-%'"
    app.do(f'DELETE FROM public."OrganizationMember" m {strangers}')
    app.do('UPDATE public."Premium" SET "usedSeats" = 1 WHERE "maxSeats" = 5 AND "usedSeats" > 1')
    app.break_it()
    assert _of(app.smoke(), "failed") == set()


def test_the_old_release_passes_what_it_has(
    filled: Target, postgres: Postgres, tmp_path: Path, app: App
) -> None:
    for old in _running("v1.9.0", tmp_path, filled, postgres):
        postgres.server.execute(
            'UPDATE public."Premium" SET "userId" = substr("organizationId", 2)', dbname=filled.dbname
        )
        found = old.smoke(has_organizations=False)
        assert not found.get("failed"), found
        of_organizations = {
            "organization_page", "organization_name", "organization_accounts", "members", "invite",
            "billing_view", "roles", "transfer", "seats", "limits",
        }  # fmt: skip
        assert _of(found, "not_applicable") == of_organizations
        assert found["smoke"]["reasons"]["invite"] == "this release has no organizations"
        # A staging that was not brought to the new release yet is no reason to stop.
        status, output, outcome = _rehearse(tmp_path, {"app-s1": _server(old)})
        assert status == 0, output
        assert outcome["smoke"]["app-s1"] == found["smoke"]


def test_a_new_release_that_forgets_organizations_does_not_pass(
    filled: Target, postgres: Postgres, tmp_path: Path
) -> None:
    for old in _running("v1.9.0", tmp_path, filled, postgres):
        found = old.smoke()
        assert {"organization_page", "invite", "limits"} <= _of(found, "failed")


def test_an_application_may_lack_a_function(app: App) -> None:
    found = app.smoke(routes={"mail_send": "", "member_invite": None})
    assert {"mail", "invite", "roles", "transfer", "limits"} == _of(found, "not_applicable")
    assert _of(found, "failed") == set()


def test_nobody_there_is_a_failure_soon(tmp_path: Path) -> None:
    began = time.monotonic()
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    found = run_module("app_smoke", {"url": nobody, "user": seed.TEST_USER})
    assert found["failed"]
    assert set(_states(found).values()) == {"failed"}
    assert time.monotonic() - began < 20


def test_a_slow_server_ends_with_the_budget(app: App) -> None:
    app.break_it(slow_ms=700)
    began = time.monotonic()
    found = app.smoke(timeout_seconds=3)
    assert "the time for all checks is over" in found["msg"]
    assert time.monotonic() - began < 40


@pytest.mark.parametrize(
    ("routes", "words"),
    [
        ({"log_in": "POST /x"}, "nothing is called log_in"),
        ({"login": "/api/login"}, "Give method and path, such as POST /api/login"),
        ({"account_page": "GET /api/{box}"}, "has {box}, which is not known there"),
    ],
)
def test_a_route_that_cannot_be_meant_is_refused_before_anything(
    routes: dict[str, str], words: str, app: App
) -> None:
    found = app.smoke(routes=routes)
    assert found["failed"]
    assert words in found["msg"]


def _rehearse(
    folder: Path, servers: dict[str, dict[str, t.Any]], check_mode: bool = False
) -> tuple[int, str, dict[str, t.Any]]:
    """What role app says of staging's servers, asked from the host of prod's database."""
    nobody = {"app_url": f"http://127.0.0.1:{free_ports(1)[0]}", "app_smoke_user": seed.TEST_USER}
    inventory = {
        "all": {
            "vars": {
                "ansible_connection": "local",
                "ansible_python_interpreter": sys.executable,
                "migration_release_before": "v1.9.0",
                "migration_release_after": "v2.0.0-orgs",
                "migration_side": "prod",
            },
            "children": {
                "database": {"hosts": {"db-1": None}},
                "app": {"hosts": {"app-1": nobody, **servers}},
                "prod": {"hosts": {"db-1": None, "app-1": None}},
                "staging": {"hosts": dict.fromkeys(servers)},
            },
        }
    }
    play = {
        "name": "Play",
        "hosts": "db-1",
        "gather_facts": False,
        "tasks": [
            {
                "name": "Try",
                "ansible.builtin.include_role": {"name": "emailai.migration.app", "tasks_from": "rehearse"},
            },
            {
                "name": "Write down",
                "ansible.builtin.copy": {
                    "dest": str(folder / "outcome.json"),
                    "mode": "0600",
                    "content": "{{ journal_outcome | default({}) | to_json }}",
                },
                "check_mode": False,
            },
        ],
    }
    (folder / "inventory.json").write_text(json.dumps(inventory))
    (folder / "play.json").write_text(json.dumps([play]))
    (folder / "outcome.json").unlink(missing_ok=True)
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "ansible-playbook"),
            *("-i", str(folder / "inventory.json"), str(folder / "play.json"), "-v"),
            *(["--check"] if check_mode else []),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
    )
    outcome = folder / "outcome.json"
    output = " ".join((done.stdout + done.stderr).split())
    return done.returncode, output, json.loads(outcome.read_text()) if outcome.exists() else {}


def test_a_command_takes_the_place_of_the_suite(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    given = {"url": "http://127.0.0.1:1", "command": ["touch", str(trace)]}
    planned = run_module("app_smoke", given, check_mode=True)
    assert (_states(planned), trace.exists()) == ({"command": "planned"}, False)
    found = run_module("app_smoke", given)
    assert (_states(found), found["changed"], trace.exists()) == ({"command": "passed"}, False, True)
    assert found["smoke"] == {"passed": 1, "failed": 0, "not_applicable": 0, "reasons": {}}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"command": ["sh", "-c", "echo no login page >&2; exit 3"]},
            "it ended with 3 and said: no login page",
        ),
        ({"command": ["sleep", "60"], "timeout_seconds": 0.3}, "it did not end within 0.3 s"),
        ({"command": ["/no/such/suite"]}, "No such file"),
        ({}, "there is neither user nor command. Set one of them"),
    ],
)
def test_a_command_that_does_not_pass_is_one_sentence(more: dict[str, t.Any], words: str) -> None:
    found = run_module("app_smoke", {"url": "http://127.0.0.1:1", **more})
    assert found["failed"] is True
    assert words in found["msg"]
    assert "http://127.0.0.1:1" in found["msg"]


def _server(app: App, **more: t.Any) -> dict[str, t.Any]:
    return {"app_url": app.url, "app_smoke_user": seed.TEST_USER, "app_smoke_password": "n0t-t0ld", **more}


def test_a_rehearsal_tries_staging_and_nobody_else(app: App, tmp_path: Path) -> None:
    """A server of prod stands in the same inventory, and would not answer."""
    servers = {"app-s1": _server(app), "app-s2": _server(app, app_smoke_command=["true"])}
    status, output, outcome = _rehearse(tmp_path, servers)
    assert status == 0, output
    whole = {"passed": len(CHECKS), "failed": 0, "not_applicable": 0, "reasons": {}}
    assert outcome == {"smoke": {"app-s1": whole, "app-s2": {**whole, "passed": 1}}}
    assert "n0t-t0ld" not in output


def test_a_broken_flow_of_staging_fails_the_rehearsal_and_is_named(app: App, tmp_path: Path) -> None:
    app.break_it(fail=["member_invite"])
    status, output, outcome = _rehearse(tmp_path, {"app-s1": _server(app)})
    assert status != 0, output
    assert "a critical flow is broken" in output
    assert "invite (" in output
    assert outcome == {}


def test_a_command_of_staging_that_fails_fails_the_rehearsal(tmp_path: Path) -> None:
    server = {"app_url": "http://127.0.0.1:1", "app_smoke_command": ["false"]}
    status, output, _outcome = _rehearse(tmp_path, {"app-s1": server})
    assert status != 0, output


def test_a_staging_without_servers_is_said_to_have_none(tmp_path: Path) -> None:
    status, output, outcome = _rehearse(tmp_path, {})
    assert (status, outcome) == (0, {}), output
    assert "Staging has no app servers: no flow is tried there." in output
    status, output, outcome = _rehearse(tmp_path, {"app-s1": {"app_url": "http://127.0.0.1:1"}})
    assert (status, outcome) == (0, {}), output
    assert "has app_smoke_user or app_smoke_command: no flow is tried there." in output


def test_check_mode_of_a_rehearsal_visits_nobody(app: App, tmp_path: Path) -> None:
    before = app.digest(), app.mails()
    app.break_it(fail=["login"])
    servers = {"app-s1": _server(app), "app-s2": _server(app, app_smoke_command=["true"])}
    status, output, outcome = _rehearse(tmp_path, servers, check_mode=True)
    assert status == 0, output
    assert outcome["smoke"]["app-s1"]["passed"] == 0
    assert outcome["smoke"]["app-s2"]["passed"] == 0, "a command that was not given has passed"
    assert (app.digest(), app.mails()) == before
