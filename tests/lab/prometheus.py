# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Prometheus, and an application whose counters it reads five times a second."""

from __future__ import annotations

import http.server
import os
import shutil
import tempfile
import threading
import typing as t
from pathlib import Path

from lab.ground import free_port, is_listening, short_root
from lab.process import Process, wait_for_answer

_CONFIGURATION = """\
global:
  scrape_interval: 200ms
scrape_configs:
  - job_name: emailai
    static_configs:
      - targets: ["127.0.0.1:{port}"]
        labels: {{server: app-1}}
"""
_BOUNDS = ("0.05", "0.1", "0.5", "+Inf")


def program() -> str:
    """Where it is kept; FileNotFoundError names the package."""
    found = shutil.which("prometheus", path=f"{os.environ.get('PATH', '')}:/usr/bin:/usr/local/bin")
    if found is None:
        raise FileNotFoundError("prometheus is not installed: install the package prometheus")
    return found


class Application:
    """Serves its counters in the text format; ``serve`` counts requests by code, all within a bound."""

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self.buckets = dict.fromkeys(_BOUNDS, 0)
        application = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = application.text().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: t.Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def serve(self, requests: int, code: str = "200", within: str = "0.1") -> None:
        self.codes[code] = self.codes.get(code, 0) + requests
        for bound in _BOUNDS[_BOUNDS.index(within) :]:
            self.buckets[bound] += requests

    def text(self) -> str:
        lines = [f'http_requests_total{{code="{code}"}} {n}' for code, n in self.codes.items()]
        lines += [f'http_request_seconds_bucket{{le="{bound}"}} {n}' for bound, n in self.buckets.items()]
        return "\n".join(lines) + "\n"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Prometheus:
    def __init__(self, target_port: int) -> None:
        self.program = program()
        self.folder = Path(tempfile.mkdtemp(prefix="emailai-prom-", dir=short_root()))
        self.port = free_port()
        (self.folder / "prometheus.yml").write_text(_CONFIGURATION.format(port=target_port))
        self._process = Process(self.folder, "prometheus")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Prometheus:
        log = self.folder / "output.log"
        self._process.start(
            [
                self.program,
                f"--config.file={self.folder}/prometheus.yml",
                f"--storage.tsdb.path={self.folder}/data",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            log,
            cwd=str(self.folder),
        )
        wait_for_answer(self._process, lambda: is_listening(self.port), 20, log)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._process.end(10)
        shutil.rmtree(self.folder, ignore_errors=True)
