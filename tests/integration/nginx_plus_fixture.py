# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for the API of NGINX Plus, which cannot be had: its documented paths, shapes and refusals."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import threading
import typing as t

_HREF = "https://nginx.org/en/docs/http/ngx_http_api_module.html"


class Plus:
    """One upstream with a zone. A test changes ``peers`` as the traffic and the checks would."""

    def __init__(self, names: t.Sequence[str]) -> None:
        self.writes = True
        self.ignores = False
        self.patches: list[tuple[int, dict[str, t.Any]]] = []
        self.peers = [
            {
                "id": number,
                "server": name,
                "name": name,
                "backup": False,
                "weight": 1,
                "state": "up",
                "active": 0,
                "requests": 100 + number,
                "fails": 0,
                "unavail": 0,
                "health_checks": {"checks": 9, "fails": 0, "unhealthy": 0, "last_passed": True},
            }
            for number, name in enumerate(names)
        ]
        plus = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._reply(*plus.get(self.path))

            def do_PATCH(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._reply(*plus.patch(self.path, body))

            def _reply(self, status: int, document: t.Any) -> None:
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: t.Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/api/9"

    @contextlib.contextmanager
    def running(self) -> t.Iterator[Plus]:
        thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            self.server.server_close()

    def get(self, path: str) -> tuple[int, t.Any]:
        if path == "/api/9/http/upstreams/emailai":
            return 200, {"peers": self.peers, "keepalive": 0, "zombies": 0, "zone": "emailai"}
        if path == "/api/9/http/upstreams/emailai/servers":
            return 200, [self._server(peer) for peer in self.peers]
        return self._refusal(404, "upstream not found", "UpstreamNotFound")

    def patch(self, path: str, change: dict[str, t.Any]) -> tuple[int, t.Any]:
        if not self.writes:
            return self._refusal(405, "method disabled", "MethodDisabled")
        found = re.fullmatch(r"/api/9/http/upstreams/emailai/servers/(\d+)", path)
        if found is None:
            return self._refusal(404, "upstream not found", "UpstreamNotFound")
        peers = [peer for peer in self.peers if peer["id"] == int(found.group(1))]
        if not peers:
            return self._refusal(404, "upstream server not found", "UpstreamServerNotFound")
        self.patches.append((int(found.group(1)), change))
        if not self.ignores:
            if change.get("drain"):
                peers[0]["state"] = "draining"
            elif "down" in change:
                peers[0]["state"] = "down" if change["down"] else "up"
        return 200, self._server(peers[0])

    def _server(self, peer: dict[str, t.Any]) -> dict[str, t.Any]:
        return {
            "id": peer["id"],
            "server": peer["server"],
            "weight": peer["weight"],
            "max_conns": 0,
            "max_fails": 1,
            "fail_timeout": "10s",
            "slow_start": "0s",
            "route": "",
            "backup": peer["backup"],
            "down": peer["state"] == "down",
            **({"drain": True} if peer["state"] == "draining" else {}),
        }

    def _refusal(self, status: int, text: str, code: str) -> tuple[int, t.Any]:
        error = {"status": status, "text": text, "code": code}
        return status, {"error": error, "request_id": "9b5e", "href": _HREF}
