# SPDX-License-Identifier: GPL-3.0-or-later
"""A real nginx in front of the servers of the HAProxy fixture; nothing is masked here either."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import subprocess
import textwrap
import threading
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from integration.haproxy_fixture import BACKEND, AppServer, build_release, free_ports, run_module, wait_until

BINARY = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@dataclass
class Nginx:
    """A master of its own, in a folder of its own. The file of servers is what the module changes."""

    folder: Path
    port: int
    servers: list[AppServer]
    process: subprocess.Popen[bytes] | None = None

    @property
    def file(self) -> Path:
        return self.folder / "servers.conf"

    @property
    def pid_file(self) -> Path:
        return self.folder / "nginx.pid"

    @property
    def command(self) -> list[str]:
        assert BINARY is not None
        return [BINARY, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-e", "stderr"]

    def description(self, **more: t.Any) -> dict[str, t.Any]:
        return {
            "kind": "nginx",
            "file": str(self.file),
            "command": self.command,
            "pid_file": str(self.pid_file),
            **more,
        }

    def start(self) -> None:
        self.folder.mkdir(parents=True)
        self.file.write_text(
            "# who serves\n"
            + "".join(f"server 127.0.0.1:{each.port} max_fails=0; # {each.name}\n" for each in self.servers)
        )
        (self.folder / "nginx.conf").write_text(
            textwrap.dedent(f"""
        worker_processes 2;
        pid {self.pid_file};
        daemon off;
        error_log {self.folder}/error.log;
        events {{ worker_connections 256; }}
        http {{
          access_log {self.folder}/access.log;
          client_body_temp_path {self.folder}/body;
          proxy_temp_path {self.folder}/proxy;
          fastcgi_temp_path {self.folder}/fastcgi;
          uwsgi_temp_path {self.folder}/uwsgi;
          scgi_temp_path {self.folder}/scgi;
          upstream {BACKEND} {{
            include {self.file};
            keepalive 8;
          }}
          server {{
            listen 127.0.0.1:{self.port};
            location / {{
              proxy_pass http://{BACKEND};
              proxy_http_version 1.1;
              proxy_set_header Connection "";
              proxy_next_upstream off;
            }}
          }}
        }}
        """).lstrip()
        )
        with (self.folder / "output.log").open("wb") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self.pid_file.exists)
        wait_until(lambda: self.status("/page") == 200)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)

    def status(self, path: str) -> int:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        try:
            line.request("GET", path, headers={"Connection": "close"})
            reply = line.getresponse()
            reply.read()
            return reply.status
        except OSError:
            return 0
        finally:
            line.close()

    def line_of(self, name: str) -> str:
        return next(line for line in self.file.read_text().splitlines() if f"# {name}" in line)

    def is_in_traffic(self, name: str) -> bool:
        return " down" not in self.line_of(name)


@dataclass
class Visitors:
    """Users with a connection for each request: a reload closes idle ones, and a browser opens another."""

    port: int
    count: int = 6
    requests: int = 0
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def _visit(self, number: int) -> None:
        turn = 0
        while not self._stop.is_set():
            turn += 1
            path = "/slow/0.6" if number == 0 and turn % 10 == 0 else "/page"
            line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
            try:
                line.request("GET", path, headers={"Connection": "close"})
                reply = line.getresponse()
                reply.read()
                if reply.status != 200:
                    self.failures.append(str(reply.status))
            except (OSError, http.client.HTTPException) as exc:
                self.failures.append(repr(exc))
            finally:
                line.close()
            self.requests += 1
            time.sleep(0.02)

    @contextlib.contextmanager
    def visiting(self) -> t.Iterator[Visitors]:
        threads = [threading.Thread(target=self._visit, args=(number,)) for number in range(self.count)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(30)


@dataclass
class Site:
    folder: Path
    servers: list[AppServer]
    nginx: Nginx

    def member(self, name: str, state: str, check_mode: bool = False, **more: t.Any) -> dict[str, t.Any]:
        params = {
            "balancers": [self.nginx.description()],
            "backend": BACKEND,
            "member": name,
            "state": state,
            "timeout_seconds": 15,
            **more,
        }
        return run_module("lb_member", params, check_mode)


@contextlib.contextmanager
def site(folder: Path, count: int = 4) -> t.Iterator[Site]:
    """Everything up with the first version; everything down afterwards."""
    build_release(folder, "v1.9.0")
    ports = free_ports(count + 1)
    servers = [
        AppServer(f"app-{number}", folder / f"app-{number}", port)
        for number, port in enumerate(ports[1:], start=1)
    ]
    nginx = Nginx(folder / "nginx", ports[0], servers)
    try:
        for server in servers:
            server.install(folder / "sources" / "v1.9.0")
            server.restart()
        nginx.start()
        yield Site(folder, servers, nginx)
    finally:
        nginx.stop()
        for server in servers:
            server.stop()
