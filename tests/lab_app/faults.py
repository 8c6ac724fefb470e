# SPDX-License-Identifier: GPL-3.0-or-later
"""The switches that break the application on purpose; read again at each request.

``fail``: names of functions that answer 500. ``wrong``: promises that are broken silently
(``seat_limit``, ``seat_count``, ``roles``, ``organization_name``, ``rules``, ``version``). ``slow_ms``,
``error_rate``, ``cold_start_seconds``, ``crash_after_requests`` say themselves.
``fatal_lines``: each request writes a FATAL line to the error log. ``lost_connections``: the
share of requests whose first try to reach the database fails; the second succeeds.
``release``: the host's file counts only while this release runs; empty: whichever runs.
"""

from __future__ import annotations

import json
import random
import time
import typing as t
from pathlib import Path

DEFAULTS: dict[str, t.Any] = {
    "fail": [],
    "wrong": [],
    "slow_ms": 0,
    "error_rate": 0.0,
    "cold_start_seconds": 0.3,
    "crash_after_requests": 0,
    "fatal_lines": False,
    "lost_connections": 0.0,
    "release": "",
}


class Faults:
    """The release's own faults, overridden by the host's ``faults.json``."""

    def __init__(self, release: t.Mapping[str, t.Any], path: Path, version: str = "") -> None:
        self._base = dict(DEFAULTS, **release)
        self._path = path
        self._version = version
        self._seen: t.Optional[tuple[int, int]] = None
        self._now = dict(self._base)

    def now(self) -> dict[str, t.Any]:
        try:
            entry = self._path.stat()
            stamp = (entry.st_mtime_ns, entry.st_size)
            if stamp != self._seen:
                found = json.loads(self._path.read_text())
                is_meant = found.get("release") in (None, "", self._version)
                self._now = dict(self._base, **(found if is_meant else {}))
                self._seen = stamp
        except FileNotFoundError:
            self._seen, self._now = None, dict(self._base)
        except ValueError:
            pass  # half written: the next request reads it whole
        return self._now

    def is_wrong(self, promise: str) -> bool:
        return promise in self.now()["wrong"]

    def must_fail(self, function: str) -> bool:
        """Delay as told, then say whether this request is to fail."""
        now = self.now()
        if now["slow_ms"]:
            time.sleep(now["slow_ms"] / 1000)
        if function in now["fail"]:
            return True
        # The health check answers well: a release that errs for users only is the harder case.
        return function != "health" and random.random() < now["error_rate"]

    def must_lose_connection(self, function: str) -> bool:
        return function != "health" and random.random() < self.now()["lost_connections"]
