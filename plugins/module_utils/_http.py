# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One request and its JSON or its lines. An address may hold a secret: messages repeat its host alone."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import json
import math
import socket
import time
import typing as t
from dataclasses import dataclass
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from ansible.module_utils.urls import open_url

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

_BODY_BYTES: t.Final = 1_000_000
_CHUNK_BYTES: t.Final = 65536
_STREAM_BYTES: t.Final = 16_000_000


class _BrokenError(ValueError):
    """An answer that cannot be read to its end; any other ValueError may repeat the address."""


@dataclass(frozen=True)
class Manner:
    """What the answer is wanted for, as a sentence names it, and how patient and trusting we are."""

    act: str
    thing: str
    kind: str
    seconds: float = 15.0
    validate_certs: bool = True
    ca_cert: str = ""
    # Finds in the body of a refusal what the server says about it.
    words: t.Callable[[bytes], str] = lambda body: ""

    def error(self, cause: str, cure: str = "", **facts: t.Any) -> MigrationError:
        return MigrationError(self.act, self.thing, cause, cure, kind=self.kind, **facts)


def request(
    manner: Manner,
    url: str,
    document: t.Optional[t.Mapping[str, t.Any]] = None,
    method: str = "",
    headers: t.Optional[t.Mapping[str, str]] = None,
) -> t.Any:
    """Send ``document``, if any; returns the answer's JSON, or its text. Anything but 2xx is an error."""
    given = dict(headers or {})
    if document is not None:
        given["Content-Type"] = "application/json"
    deadline = time.monotonic() + manner.seconds
    data = None if document is None else json.dumps(document).encode()
    verb = method or ("GET" if document is None else "POST")
    with _opened(manner, url, data, verb, given) as answer:
        text = _read(answer, deadline).decode("utf-8", "replace")
    try:
        return json.loads(text)
    except ValueError:
        return text


def lines(manner: Manner, url: str, headers: t.Optional[t.Mapping[str, str]] = None) -> t.Iterator[str]:
    """The lines of an answer that may have no end, for as long as we are patient; silence is no failure."""
    deadline = time.monotonic() + manner.seconds
    left = _STREAM_BYTES
    rest = b""
    with _opened(manner, url, None, "GET", dict(headers or {})) as answer:
        while left > 0 and time.monotonic() < deadline:
            _wait_no_longer(answer, deadline)
            try:
                chunk = answer.read1(_CHUNK_BYTES)
            except (TimeoutError, socket.timeout):
                return
            if not chunk:
                return
            left -= len(chunk)
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line.decode("utf-8", "replace") for line in whole)


@contextlib.contextmanager
def _opened(
    manner: Manner, url: str, data: t.Optional[bytes], method: str, headers: t.Mapping[str, str]
) -> t.Iterator[t.Any]:
    """A good answer while it is read; whatever goes wrong before its end is one sentence."""
    host = host_of(url)
    try:
        with open_url(
            url,
            data=data,
            headers=headers,
            method=method,
            timeout=manner.seconds,
            validate_certs=manner.validate_certs,
            ca_path=manner.ca_cert or None,
            http_agent="emailai.migration",
            # A redirected POST would arrive as a GET, and elsewhere; so would a key.
            follow_redirects="none",
            # Unpacked on the way, a cut answer could not be told from a whole one.
            decompress=False,
        ) as answer:
            yield answer
    except HTTPError as exc:
        raise _refusal(manner, host, exc) from None
    except (OSError, ValueError, http.client.HTTPException) as exc:
        raise _failure(manner, host, exc) from None


def host_of(url: str) -> str:
    """All of an address that may be shown."""
    try:
        return urlsplit(url).hostname or "an address without host"
    except ValueError:
        return "an address without host"


def _wait_no_longer(answer: t.Any, deadline: float) -> None:
    """Leave the next read only what is left: its own time-out is that of the whole answer."""
    sock = getattr(getattr(answer.fp, "raw", None), "_sock", None)
    if sock is not None:
        # Zero would not wait at all, and that is another error.
        sock.settimeout(max(0.001, deadline - time.monotonic()))


def _read(answer: t.Any, deadline: float) -> bytes:
    """The whole body. The time-out of a socket begins anew with each byte, the deadline does not."""
    chunks: list[bytes] = []
    while True:
        _wait_no_longer(answer, deadline)
        chunk = answer.read1(_CHUNK_BYTES)
        if not chunk:
            break
        chunks.append(chunk)
        if sum(map(len, chunks)) > _BODY_BYTES:
            raise _BrokenError("its answer has no end")
        if time.monotonic() > deadline:
            raise TimeoutError
    if answer.length:
        raise _BrokenError("its answer broke off")
    return b"".join(chunks)


def _refusal(manner: Manner, host: str, exc: HTTPError) -> MigrationError:
    try:
        said = manner.words(exc.read(_CHUNK_BYTES))
    except (OSError, ValueError, http.client.HTTPException):
        said = ""
    facts: dict[str, t.Any] = {"status": exc.code}
    wait = _wait_of(exc.headers, time.time()) if exc.code in (420, 429, 503) else None
    if wait is not None:
        facts["wait_seconds"] = wait
    cure = _CURES.get(exc.code, "Give the address that it redirects to" if 300 <= exc.code < 400 else "")
    return manner.error(f"{host} answers {exc.code}" + (f", {said}" if said else ""), cure, **facts)


def _failure(manner: Manner, host: str, exc: Exception) -> MigrationError:
    reason = exc.reason if isinstance(exc, URLError) else exc
    if isinstance(reason, TimeoutError):
        return manner.error(f"{host} did not answer within {manner.seconds:g} s")
    if isinstance(reason, FileNotFoundError) and manner.ca_cert:
        return manner.error(f"{host} cannot be verified: the file of ca_cert is not there")
    if isinstance(reason, http.client.IncompleteRead):
        return manner.error(f"{host} cannot be read: its answer broke off")
    if "certificate" in str(reason).lower():
        return manner.error(
            f"{host} shows a certificate that cannot be verified", "Name its authority in ca_cert"
        )
    if isinstance(exc, _BrokenError):
        return manner.error(f"{host} cannot be read: {exc}")
    if isinstance(exc, URLError):
        return manner.error(f"{host} cannot be reached: {reason}")
    return manner.error(f"{host} cannot be reached: {type(exc).__name__}")


def _wait_of(headers: t.Any, now: float) -> t.Optional[float]:
    """For how many seconds a server asks not to be asked again; None if it does not say.

    Retry-After is a number of seconds or a date; the others say when the next
    period begins, Datadog in seconds from now, Sentry as a time.
    """
    for name in ("Retry-After", "X-RateLimit-Reset", "X-Sentry-Rate-Limit-Reset"):
        value = str(headers.get(name) or "").strip()
        try:
            number = float(value)
        except ValueError:
            moment = email.utils.parsedate_tz(value) if value else None
            if moment is None:
                continue
            number = float(email.utils.mktime_tz(moment))
        if math.isfinite(number) and number >= 0:
            # No server sends us away for years: such a number is a time.
            return max(0.0, number - now) if number > 1e8 else number
    return None


_CURES: t.Final = {
    401: "Check the key",
    403: "Check the key and its rights",
    404: "Check the address",
    410: "The address has been withdrawn: make a new one",
    420: "Too many requests: wait a minute and run it again",
    429: "Too many requests: wait a minute and run it again",
}
