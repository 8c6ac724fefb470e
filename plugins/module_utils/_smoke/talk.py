# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to one server within one budget of time. What it answers is for the checks to judge."""

from __future__ import annotations

import http.client
import json
import time
import typing as t
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from ansible.module_utils.urls import make_context

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._smoke.visit import Content, Reply

_BODY_BYTES: t.Final = 1_000_000
_REQUEST_SECONDS: t.Final = 10.0
_CLEANING_SECONDS: t.Final = 10.0


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer: a page for people where data was asked for."""

    def redirect_request(self, *_answer: t.Any) -> None:
        return None


class Talk:
    """One server by its own address. No message repeats more of a request than its host."""

    def __init__(self, url: str, seconds: float, validate_certs: bool = True, ca_cert: str = "") -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not self._host:
            raise _failure("its url is no address of http or https", "Give it as https://host:port")
        self._url = url.rstrip("/")
        self._deadline = time.monotonic() + seconds
        handlers: list[t.Any] = [_Stay()]
        if parts.scheme == "https":
            # Read once: the authorities of a machine take longer than a request.
            context = make_context(cafile=ca_cert or None, validate_certs=validate_certs)
            handlers.append(urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)

    def extend(self) -> None:
        """To clean up there is always some time, however long the checks took."""
        self._deadline = max(self._deadline, time.monotonic() + _CLEANING_SECONDS)

    def ask(self, method: str, path: str, body: t.Optional[Content], token: str) -> Reply:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise _failure("the time for all checks is over", "Raise timeout_seconds if it is only slow")
        headers = {"Accept": "application/json", "User-Agent": "emailai.migration"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self._url + path, data=data, headers=headers, method=method)
        try:
            with self._opener.open(request, timeout=min(_REQUEST_SECONDS, left)) as answer:
                return Reply(int(answer.status), _object(answer.read(_BODY_BYTES)))
        except urllib.error.HTTPError as exc:
            exc.close()
            return Reply(int(exc.code))
        except (OSError, ValueError, http.client.HTTPException) as exc:
            reason = getattr(exc, "reason", exc)
            said = "it did not answer in time" if isinstance(reason, TimeoutError) else type(reason).__name__
            raise _failure(f"{self._host}: {said}") from None


def _object(body: bytes) -> Content:
    try:
        found = json.loads(body.decode("utf-8"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _failure(cause: str, cure: str = "") -> MigrationError:
    return MigrationError("ask", "the server", cause, cure, kind="smoke")
