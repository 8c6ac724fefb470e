# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet to roll releases out to: real HAProxy, servers of one process each, a database with the journal."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target
from ansible_collections.emailai.migration.plugins.modules import migration_journal
from bench import spans
from bench.users import Load
from integration import haproxy_fixture
from integration.call_module import login, options
from integration.haproxy_fixture import RESTART, ROOT, AppServer, Fleet, wait_until
from integration.tenancy_world import Database
from lab.balancer import LOG_FORMAT
from lab.ground import free_port
from lab.postgres import SUPERUSER, Server, throw_away

# As quick as an application can be, so that what is measured is the rollout. It notes when it was started and
# when it was ready. A release whose name ends in -bad is healthy, and answers one request in five wrongly.
APP = """
import asyncio, json, pathlib, sys, time

port, shared = int(sys.argv[1]), pathlib.Path(sys.argv[2])
version = (pathlib.Path(__file__).resolve().parent / "VERSION").read_text()
is_bad = version.endswith("-bad")
count = 0


class Handler(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.data = transport, b""

    def data_received(self, data):
        self.data += data
        while True:
            head, end, rest = self.data.partition(b"\\r\\n\\r\\n")
            size = 16 if head.startswith(b"POST") else 0
            if not end or len(rest) < size:
                return
            self.data = rest[size:]
            self.answer(head.split(b" ", 2)[1])

    def answer(self, path):
        global count
        status, pause = b"200 OK", 0
        if path == b"/page":
            count += 1
            if is_bad and count % 5 == 0:
                status = b"500 Internal Server Error"
        elif path.startswith(b"/slow/"):
            pause = float(path[6:])
        body = json.dumps({"status": "ok", "version": version}).encode()
        words = b"HTTP/1.1 %s\\r\\nContent-Length: %d\\r\\nX-Release: %s\\r\\n\\r\\n" % (
            status, len(body), version.encode())
        if pause:
            asyncio.get_running_loop().call_later(pause, self.transport.write, words + body)
        else:
            self.transport.write(words + body)


async def main():
    server = await asyncio.get_running_loop().create_server(Handler, "127.0.0.1", port, backlog=256)
    asked = shared / "asked"
    with (shared / "starts").open("a") as starts:
        starts.write("%s %s\\n" % (asked.read_text() if asked.exists() else 0, time.time()))
    await server.serve_forever()


asyncio.run(main())
"""
_ASKED = """
import pathlib, sys, time

(pathlib.Path(sys.argv[1]) / "shared" / "asked").write_text(str(time.time()))
"""

STAGING = "(2/6) Bring the new release to every server"
ROLLOUT = "(3/6) Roll the new release out"
WAY_BACK = "(5/6) Take a failed release back"
DRAIN = "Take this server out of traffic"
SMOKE = "Try it before users come back"
SOAK = "Watch the members"
FINAL_SOAK = "Watch the whole fleet"
_SOAK_SECONDS = 2
_CONNECTIONS = 40
# The balancer is spoken to from the controller, unless a rollout asks for a machine of its own for it.
_BALANCER = "{{ bench_balancer_interpreter | default(ansible_playbook_python) }}"


@dataclass
class Run:
    """One command, its events, and what it used of the processor."""

    code: int
    output: str
    events: list[spans.Event]
    seconds: float
    cpu_seconds: float
    starts: list[spans.Interval] = field(default_factory=list)

    @property
    def tasks(self) -> list[spans.Span]:
        return spans.spans(self.events, "task")

    @property
    def batches(self) -> list[spans.Span]:
        """The plays that grow with the fleet: the release is brought everywhere, then taken up by batches."""
        return [play for play in spans.spans(self.events, "play") if play.name in (STAGING, ROLLOUT)]

    def of_batches(self, name: str) -> list[spans.Span]:
        return [task for task in spans.within(self.tasks, self.batches) if task.name == name]

    def overhead(self) -> float:
        """Seconds of the rollout in which no application started, no suite ran and nobody watched."""
        needed = [*self.starts]
        needed += [(task.began, task.ended) for name in (SMOKE, SOAK) for task in self.of_batches(name)]
        return spans.overhead(self.batches, needed)

    def drains(self) -> float:
        """Seconds of all drains: the modules, and what Ansible needs to come to them."""
        return sum(task.seconds for task in self.of_batches(DRAIN))

    def must_succeed(self) -> Run:
        if self.code:
            raise RuntimeError(f"the rollout failed:\n{self.output[-4000:]}")
        return self


class World:
    """Fleet, database and inventory; each rollout goes from the release that serves to the next one."""

    def __init__(self, folder: Path, fleet: Fleet, server: Server, versions: t.Sequence[str]) -> None:
        self.folder, self.fleet, self.server = folder, fleet, server
        self.current = versions[0]
        self._next = iter(versions[1:])
        self._database = Target(**server.address(SUPERUSER, "mail"))
        self._write_inventory()

    # -- what is there ---------------------------------------------------------

    def load(self, rate: float, slow: int = 0) -> Load:
        return Load(self.fleet.haproxy.port, _CONNECTIONS, rate, slow, self.folder / "users.json")

    def servers_on(self) -> set[str]:
        return {server.current for server in self.fleet.servers}

    def _starts(self) -> list[spans.Interval]:
        found = []
        for server in self.fleet.servers:
            for line in (server.folder / "shared" / "starts").read_text().splitlines():
                asked, ready = line.split()
                found.append((float(asked), float(ready)))
        return found

    # -- rollouts ----------------------------------------------------------------

    def next_release(self) -> str:
        return next(self._next)

    def roll_out(self, release: str, apart: bool = False, **more: t.Any) -> Run:
        """playbooks/deploy.yml as an operator calls it, in a run whose data is verified."""
        pair = {"release_before": self.current, "release_after": release}
        opened = self._journal(**pair, state="opened", phase="verify", requires=[], seize=True)
        self._journal(**pair, state="closed", phase="verify", epoch=opened["epoch"], is_last=True)
        artifact, digest = self.fleet.artifacts[release]
        known = {
            "migration_release_before": self.current,
            "migration_release_after": release,
            "app_artifact": str(artifact),
            "app_artifact_sha256": digest,
            **({"bench_balancer_interpreter": os.path.realpath(sys.executable)} if apart else {}),
            **more,
        }
        run = self._play(known)
        self._journal(**pair, state="controlled", wanted="abort", confirmed_by="bench")
        if run.code == 0:
            self.current = release
        return run

    def _journal(self, **given: t.Any) -> dict[str, t.Any]:
        return migration_journal.run(options("migration_journal", **login(self._database), **given), False)

    def _play(self, known: dict[str, t.Any]) -> Run:
        path = self.folder / "events.jsonl"
        path.unlink(missing_ok=True)
        began, used = time.time(), _seconds_of_children()
        done = subprocess.run(
            [
                str(Path(sys.executable).parent / "ansible-playbook"), "playbooks/deploy.yml",
                "-i", str(self.folder / "hosts.yml"), "-l", "prod", "-e", json.dumps(known),
            ],
            cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
            env={
                **os.environ,
                "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callback"),
                "ANSIBLE_CALLBACKS_ENABLED": "emailai.migration.timeline,stopwatch",
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
                "ANSIBLE_NOCOLOR": "1",
                "STOPWATCH": str(path),
            },
        )  # fmt: skip
        return Run(
            code=done.returncode,
            output=done.stdout + done.stderr,
            events=spans.read(path.read_text().splitlines()) if path.exists() else [],
            seconds=time.time() - began,
            cpu_seconds=_seconds_of_children() - used,
            starts=[start for start in self._starts() if start[0] >= began],
        )

    # -- the same by hand ----------------------------------------------------------

    def by_hand(self, release: str, must_drain: bool = True) -> list[float]:
        """The bare steps without Ansible; the seconds of each server but its application's start."""
        found = [self._exchange(server, release, must_drain) for server in self.fleet.servers]
        self.current = release
        return found

    def _exchange(self, server: AppServer, release: str, must_drain: bool) -> float:
        began = time.time()
        self._put(server, release)
        if must_drain:
            self._drain(server)
        link = server.folder / "draft"
        link.symlink_to(f"releases/{release}")
        link.replace(server.folder / "current")
        server.restart()
        _wait_for_health(server, release)
        if must_drain:
            wait_until(lambda: self._is_well(server.name))
            self._order(server, "ready")
        ended = time.time()
        return ended - began - spans.union(start for start in self._starts() if start[0] >= began)

    def _put(self, server: AppServer, release: str) -> None:
        folder = server.folder / "releases" / release
        folder.mkdir(exist_ok=True)
        artifact, _digest = self.fleet.artifacts[release]
        subprocess.run(["tar", "-xzf", artifact, "-C", folder], check=True)

    def _order(self, server: AppServer, state: str) -> None:
        self.fleet.haproxy.ask(f"set server {haproxy_fixture.BACKEND}/{server.name} state {state}")

    def _drain(self, server: AppServer) -> None:
        """Three looks in a row, as the role has them."""
        self._order(server, "drain")
        quiet = 0
        while quiet < 3:
            quiet = quiet + 1 if self.fleet.haproxy.states()[server.name][1] == "0" else 0
            if quiet < 3:
                time.sleep(0.1)

    def _is_well(self, name: str) -> bool:
        """Whether the balancer's own checks call it healthy in full."""
        rows = self.fleet.haproxy.ask(f"show servers state {haproxy_fixture.BACKEND}").splitlines()
        names = next(line for line in rows if line.startswith("#")).lstrip("# ").split()
        for line in rows:
            row = dict(zip(names, line.split(), strict=False))
            if row.get("srv_name") == name:
                return (row["srv_op_state"], row["srv_check_health"]) == ("2", "3")
        return False

    # -- the ground ------------------------------------------------------------------

    def _write_inventory(self) -> None:
        # Another name of the interpreter than the controller's own: a server of the fleet is another machine,
        # and its modules are packed, handed over and started as they would be there.
        hosts = {
            server.name: {
                "app_url": server.url,
                "app_folder": str(server.folder),
                "app_restart_command": server.restart_command,
                "ansible_python_interpreter": os.path.realpath(sys.executable),
            }
            for server in self.fleet.servers
        }
        url = self.server.url(SUPERUSER, "mail")
        sides = {"prod": {"hosts": {**dict.fromkeys(hosts), "lb-1": None, "db-1": None}}}
        common = {
            "ansible_connection": "local",
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            "migration_side": "prod",
            "migration_owner_url": url,
            "migration_reader_url": url,
            "migration_writer_url": url,
            "app_public_url": f"http://127.0.0.1:{self.fleet.haproxy.port}",
            "app_smoke_command": ["true"],
            "app_soak_seconds": _SOAK_SECONDS,
            "app_final_soak_seconds": _SOAK_SECONDS,
            "app_health_timeout_seconds": 30,
            "balancer_balancers": [{"socket": self.fleet.haproxy.socket}],
            "balancer_drain_timeout_seconds": 30,
            "balancer_readmit_timeout_seconds": 30,
            "balancer_lease_folder": str(self.folder / "leases"),
            "gate_providers": [
                {"kind": "haproxy", "socket": self.fleet.haproxy.socket, "backend": haproxy_fixture.BACKEND},
                {"kind": "access_log", "path": str(self.fleet.haproxy.folder / "haproxy.log")},
            ],
            # Slow users are slow on purpose; what a busy machine adds is not what is measured here.
            "gate_limits": {"p95_ms": 5000, "slower_floor_ms": 2000},
            "gate_compared_with": {"seconds": 60, "requests": 10000, "error_percent": 0.0, "p95_ms": 400},
            "gate_window_seconds": 1,
            "gate_poll_seconds": 0.25,
            "gate_minimum_requests": 20,
        }
        inventory = {
            "all": {
                "vars": common,
                "children": {
                    **sides,
                    "app": {"hosts": hosts},
                    "balancer": {"hosts": {"lb-1": {"ansible_python_interpreter": _BALANCER}}},
                    "database": {"hosts": {"db-1": None}},
                },
            }
        }
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(inventory))


def _wait_for_health(server: AppServer, release: str) -> None:
    """Three good answers in a row, as far apart as the role has them by default."""
    good = 0
    while good < 3:
        try:
            line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=2)
            line.request("GET", "/api/health")
            good = good + 1 if json.load(line.getresponse())["version"] == release else 0
            line.close()
        except OSError:
            good = 0
            time.sleep(0.02)
            continue
        if good < 3:
            time.sleep(0.25)


def _seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextlib.contextmanager
def world(hosts: int, versions: t.Sequence[str]) -> t.Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="emailai-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        server = throw_away(free_port())
        stack.callback(server.remove)
        _fill(server, folder)
        fleet = stack.enter_context(haproxy_fixture.fleet(folder, hosts, versions, APP, LOG_FORMAT))
        for each in fleet.servers:
            (each.folder / "shared" / "restart.py").write_text(_ASKED + RESTART)
        yield World(folder, fleet, server, versions)


def _fill(server: Server, folder: Path) -> None:
    """A small database whose data is moved already: a rollout verifies it after each batch."""
    server.new_database("mail")
    database = Database(Target(**server.address(SUPERUSER, "mail")), folder / "work")
    database.build()
    database.fill()
    for module, state in (("org_schema", "expanded"), ("org_migration", "moved")):
        answer = database.call(module, state=state)
        if answer["failed"]:
            raise RuntimeError(f"{module}: {answer}")
