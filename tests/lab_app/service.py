# SPDX-License-Identifier: GPL-3.0-or-later
"""One running release on one host: routes, switches, counters, the error log."""

from __future__ import annotations

import collections
import json
import os
import re
import threading
import time
import typing as t
from datetime import datetime, timezone
from pathlib import Path

from lab_app.database import Pool
from lab_app.faults import Faults
from lab_app.http import Answer, Request, Response
from lab_app.multi_tenant import MultiTenant
from lab_app.single_tenant import SingleTenant

_LOGIN_WINDOW_SECONDS = 300

# Method, path, function. The function's name is the name by which it can be broken.
_ROUTES = (
    ("GET", "/api/health", "health"),
    ("GET", "/api/metrics", "metrics"),
    ("GET", "/api/slow", "slow"),
    ("POST", "/api/signup", "signup"),
    ("POST", "/api/login", "login"),
    ("POST", "/api/logout", "logout"),
    ("GET", "/api/users/([^/]+)", "user_page"),
    ("DELETE", "/api/users/([^/]+)", "user_delete"),
    ("POST", "/api/accounts", "account_add"),
    ("GET", "/api/accounts", "account_list"),
    ("POST", "/api/accounts/relink", "account_relink"),
    ("POST", "/api/accounts/switch", "account_switch"),
    ("GET", "/api/accounts/([^/]+)", "account_page"),
    ("DELETE", "/api/accounts/([^/]+)", "account_delete"),
    ("POST", "/api/premium", "premium_buy"),
    ("GET", "/api/premium/([^/]+)", "subscription"),
    ("POST", "/api/mail/send", "mail_send"),
    ("GET", "/api/mail", "mail_read"),
    ("DELETE", "/api/mail/([^/]+)", "mail_delete"),
    ("GET", "/api/rules", "rule_list"),
    ("POST", "/api/rules", "rule_add"),
    ("POST", "/api/rules/execute", "rule_execute"),
    ("DELETE", "/api/rules/([^/]+)", "rule_delete"),
)
_ORGANIZATION_ROUTES = (
    ("POST", "/api/accounts/transfer", "account_transfer"),
    ("GET", "/api/organizations/([^/]+)", "organization_page"),
    ("GET", "/api/organizations/([^/]+)/members", "member_list"),
    ("POST", "/api/organizations/([^/]+)/invite", "member_invite"),
    ("DELETE", "/api/organizations/([^/]+)/members/([^/]+)", "member_remove"),
    ("GET", "/api/organizations/([^/]+)/billing", "billing_view"),
)


class ErrorLog:
    """Lines of time, level and message; a person greps it, and so does the gate."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("a", buffering=1)

    def write(self, level: str, message: str) -> None:
        stamp = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._stream.write(f"{stamp} {level} {' '.join(message.split())}\n")


class Service:
    """Answers requests with the functions that its release has."""

    def __init__(self, release: dict[str, t.Any], settings: dict[str, str], host: Path) -> None:
        self.version: str = release["version"]
        self.settings = settings
        self.log = ErrorLog(host / "log" / "app.log")
        self.faults = Faults(release.get("faults", {}), host / "shared" / "faults.json", self.version)
        self.pool = Pool(settings["DATABASE_URL"], release["application_name"])
        self._functions = MultiTenant(self) if release["organizations"] else SingleTenant(self)
        routes = _ROUTES + (_ORGANIZATION_ROUTES if release["organizations"] else ())
        # Fixed paths first: "relink" is a word, not an account's id.
        ordered = sorted(routes, key=lambda route: "(" in route[1])
        self._routes = [(method, re.compile(path), name) for method, path, name in ordered]
        self._identity = {"X-Release": self.version, "X-Server": settings.get("HOST_NAME", host.name)}
        self._born = time.monotonic()
        self._lock = threading.Lock()
        self._requests = 0
        self._errors = 0
        self._failed_logins: collections.deque[float] = collections.deque()

    def is_cold(self) -> bool:
        return time.monotonic() - self._born < float(self.faults.now()["cold_start_seconds"])

    def answer(self, request: Request) -> Response:
        name, arguments = self._find(request)
        self._count(name)
        try:
            response = self._call(name, request, arguments)
        except Answer as early:
            response = early.response
        except Exception as exc:
            response = Response(500, {"error": f"{name} failed"})
            self.log.write("ERROR", f"{name}: {type(exc).__name__}: {exc}")
        if response.status >= 500:
            with self._lock:
                self._errors += 1
        response.headers.update(self._identity)
        return response

    def _find(self, request: Request) -> tuple[str, tuple[str, ...]]:
        for method, path, name in self._routes:
            match = path.fullmatch(request.path)
            if match and method == request.method:
                return name, match.groups()
        return "", ()

    def _call(self, name: str, request: Request, arguments: tuple[str, ...]) -> Response:
        if not name:
            raise Answer(404, "no such page")
        if self.faults.must_fail(name):
            raise RuntimeError("broken by a switch")
        if self.faults.must_lose_connection(name):
            self.log.write("ERROR", f"{name}: {self.pool.try_in_vain()}; trying again")
        response: Response = getattr(self._functions, name)(request, *arguments)
        return response

    def _count(self, name: str) -> None:
        now = self.faults.now()
        with self._lock:
            self._requests += name not in ("health", "metrics")
            requests = self._requests
        if now["fatal_lines"]:
            self.log.write("FATAL", "unrecoverable: the switch fatal_lines is on")
        if now["crash_after_requests"] and requests >= now["crash_after_requests"]:
            self.log.write("FATAL", "crashing, as the switch crash_after_requests says")
            os._exit(70)

    def note_failed_login(self) -> None:
        self.log.write("WARN", "auth.failed: unknown address")
        with self._lock:
            self._failed_logins.append(time.monotonic())

    def metrics(self) -> dict[str, t.Any]:
        horizon = time.monotonic() - _LOGIN_WINDOW_SECONDS
        with self._lock:
            while self._failed_logins and self._failed_logins[0] < horizon:
                self._failed_logins.popleft()
            return {
                "failed_logins_5m": len(self._failed_logins),
                "requests": self._requests,
                "errors": self._errors,
                "uptime_seconds": round(time.monotonic() - self._born, 1),
            }


def read_settings(path: Path) -> dict[str, str]:
    """NAME=value lines, as a unit's EnvironmentFile has them."""
    lines = (line.strip() for line in path.read_text().splitlines())
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("'\"") for name, value in pairs}


def read_release(folder: Path) -> dict[str, t.Any]:
    entry: dict[str, t.Any] = json.loads((folder / "release.json").read_text())
    return entry
