# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's service command: ``python -m lab.service HOST_FOLDER start|stop|restart|status``."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from lab.process import Process

# Longer than the application's own patience with requests in flight.
_PATIENCE_SECONDS = 35


class Service:
    """What systemd is on a real host: it runs whatever ``current`` points at."""

    def __init__(self, host: Path) -> None:
        self.host = host
        # One folder of pids for the whole lab: its end must find every process.
        self.process = Process(host.parents[1] / "pids", host.name)
        self.log = host / "log" / "service.log"

    def start(self) -> None:
        if self.process.is_alive():
            return
        release = (self.host / "current").resolve(strict=True)
        environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "PYTHONPATH": str(release)}
        # The release folder stays as it was unpacked: no compiled files in it.
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.process.start(
            [sys.executable, "-m", "lab_app", self.host], self.log, cwd=release, env=environment
        )
        time.sleep(0.05)
        if not self.process.is_alive():
            raise RuntimeError(f"{self.host.name} ended at once; see {self.log}")

    def ask_to_stop(self) -> None:
        self.process.send(signal.SIGTERM)

    def stop(self) -> None:
        """End it after the requests in flight."""
        self.process.end(_PATIENCE_SECONDS)

    def restart(self) -> None:
        self.stop()
        self.start()

    def status(self) -> dict[str, object]:
        """Is it running, as which pid, and what does it say of itself?"""
        health = self._health()
        return {
            "name": self.host.name,
            "running": self.process.is_alive(),
            "pid": self.process.pid,
            "health": health,
        }

    def is_healthy(self) -> bool:
        return self.process.is_alive() and self._health().get("status") == "ok"

    def _health(self) -> dict[str, object]:
        port = next(
            line.split("=", 1)[1] for line in (self.host / "shared" / "env").read_text().splitlines()
            if line.startswith("PORT=")
        )  # fmt: skip
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=3) as answer:
                content: dict[str, object] = json.load(answer)
                return content
        except (urllib.error.URLError, OSError, ValueError) as exc:
            return {"status": str(exc)}


def main() -> int:
    host, verb = Path(sys.argv[1]), (sys.argv[2] if len(sys.argv) > 2 else "")
    service = Service(host)
    if verb == "status":
        found = service.status()
        print(json.dumps(found))
        return 0 if found["running"] else 3
    verbs = {"start": service.start, "stop": service.stop, "restart": service.restart}
    if verb not in verbs:
        print("service start|stop|restart|status", file=sys.stderr)
        return 2
    verbs[verb]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
