# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a server how it is, once or until it is well."""

from __future__ import annotations

import http.client
import time
import typing as t
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._platform import health

_REQUEST_SECONDS: t.Final = 5.0
_BODY_BYTES: t.Final = 65536
_AT_ONCE: t.Final = 16


@dataclass(frozen=True)
class Patience:
    """How often, how long, and how many good answers are enough."""

    consecutive: int
    interval_seconds: float
    timeout_seconds: float
    validate_certs: bool = True


def _plain() -> urllib.request.OpenerDirector:
    """Opens what is not encrypted and asks for no login, by the proxy of the environment if there is one."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _opened(url: str, seconds: float, validate_certs: bool) -> t.Any:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "http" and "@" not in parts.netloc:
        # Ansible's own reads all authorities of this machine first, 20 ms for each question.
        wanted = urllib.request.Request(url, headers={"Cache-Control": "no-cache"})
        return _plain().open(wanted, timeout=seconds)
    # Loading it takes a third of a module's start, and the data engine rarely asks.
    from ansible.module_utils.urls import open_url

    return open_url(url, timeout=seconds, follow_redirects="none", force=True, validate_certs=validate_certs)


def _ask(url: str, seconds: float, validate_certs: bool) -> health.Answer:
    """One question. A redirect is no answer: a login page is not a healthy application."""
    try:
        reply = _opened(url, seconds, validate_certs)
    except urllib.error.HTTPError as exc:
        reply = exc
    except (OSError, ValueError, http.client.HTTPException) as exc:
        return health.Answer(failure=str(getattr(exc, "reason", exc)) or type(exc).__name__)
    try:
        with reply:
            body = reply.read(_BODY_BYTES)
    except (OSError, http.client.HTTPException) as exc:
        return health.Answer(failure=f"the answer broke off: {exc}")
    return health.read(int(reply.code), body, str(reply.headers.get("X-Release") or ""))


def ask(url: str, seconds: float) -> health.Answer:
    """One question to a server that can be trusted by its certificate, if it has one."""
    return _ask(url, seconds, validate_certs=True)


def fault_of(url: str, seconds: float) -> str:
    """Why one question is not answered well within the time; '' when it is."""
    return health.fault(ask(url, seconds), "")


def watch(url: str, expected_version: str, patience: Patience) -> dict[str, t.Any]:
    """Ask until enough answers in a row were good, or the time is over."""
    started = time.monotonic()
    deadline = started + patience.timeout_seconds
    streak = health.Streak()
    while True:
        left = deadline - time.monotonic()
        answer = _ask(url, max(0.1, min(_REQUEST_SECONDS, left)), patience.validate_certs)
        streak = streak.then(answer, expected_version)
        outcome = health.outcome(streak, patience.consecutive)
        if outcome == health.HEALTHY or time.monotonic() + patience.interval_seconds >= deadline:
            break
        time.sleep(patience.interval_seconds)
    is_healthy = outcome == health.HEALTHY
    return {
        "url": url,
        "outcome": outcome,
        "version": streak.last.version if streak.last else "",
        "status": streak.last.status if streak.last else None,
        "answers": streak.answers,
        "reason": "" if is_healthy else health.reason(streak, patience.consecutive, expected_version),
        "seconds": round(time.monotonic() - started, 3),
    }


def watch_all(urls: t.Sequence[str], expected_version: str, patience: Patience) -> list[dict[str, t.Any]]:
    """All at the same time, answered in the order in which they were named."""
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        return list(pool.map(lambda url: watch(url, expected_version, patience), urls))
