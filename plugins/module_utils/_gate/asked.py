# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A source that is asked over HTTP: what for, when, and how long it is left alone after a failure."""

from __future__ import annotations

import abc
import base64
import json
import time
import typing as t
from urllib.parse import urlsplit

from ansible_collections.emailai.migration.plugins.module_utils import _http
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._gate.figures import (
    ERRORS,
    P95,
    REQUESTS,
    Figures,
    NoDataError,
    Told,
)
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import (
    WHOLE,
    Look,
    Position,
    Reading,
)

# The options that hold secrets; ``url`` may.
SECRETS: t.Final = ("token", "api_key", "application_key", "login_password", "url", "login_url")
_HERE: t.Final = ("127.0.0.1", "::1", "localhost")
# A source that failed is not asked at every look: the others wait for its time-out.
_PAUSE_SECONDS: t.Final = 15.0
# By how much the watch may have begun earlier on the controller than on the host that asks.
_LATE_SECONDS: t.Final = 3.0


class Line:
    """How to reach a source: address, key, trust, patience. One look has one budget of time."""

    def __init__(self, description: t.Mapping[str, t.Any], default_url: str = "") -> None:
        self.name = str(description.get("name") or description["kind"])
        self.url = str(description.get("url") or default_url).rstrip("/")
        self.headers = {str(k): str(v) for k, v in (description.get("headers") or {}).items()}
        self.seconds = float(description.get("timeout_seconds") or 10)
        self.validate_certs = description.get("validate_certs") is not False
        self.ca_cert = str(description.get("ca_cert") or "")
        self.secrets = [str(description[name]) for name in SECRETS if description.get(name)]
        self.deadline = 0.0
        keys = [name for name in ("token", "api_key", "login_password") if description.get(name)]
        self._refuse_what_is_unsafe(bool(keys))

    def _refuse_what_is_unsafe(self, has_key: bool) -> None:
        try:
            parts = urlsplit(self.url)
            scheme, host = parts.scheme, parts.hostname
        except ValueError:
            scheme, host = "", None
        if scheme not in ("http", "https") or not host:
            raise self.refused("its url is no address of http or https", "Give it as https://host/path")
        if has_key and scheme == "http" and host not in _HERE:
            raise self.refused("its key would travel in the clear", "Give its url as https")

    def authorize(self, description: t.Mapping[str, t.Any]) -> None:
        """A token, or a name and a password."""
        token = description.get("token")
        if token:
            header = str(description.get("token_header") or "Authorization")
            self.headers[header] = f"Bearer {token}" if header.lower() == "authorization" else str(token)
        elif description.get("login_user"):
            pair = f"{description['login_user']}:{description.get('login_password') or ''}"
            packed = base64.b64encode(pair.encode()).decode()
            self.headers["Authorization"] = f"Basic {packed}"
            self.secrets.append(packed)

    def begin(self) -> None:
        self.deadline = time.monotonic() + self.seconds

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    def ask(self, path: str, document: t.Mapping[str, t.Any] | None = None) -> t.Any:
        """A JSON object; waits as long as the source asks to, if that is within the budget."""
        answer = self.send("", path, document)
        if not isinstance(answer, (dict, list)):
            raise self.refusal(
                f"{_http.host_of(self.url)} does not answer with JSON",
                "Check the address: a page for people is no source",
            )
        return answer

    def send(self, method: str, path: str, document: t.Mapping[str, t.Any] | None = None) -> t.Any:
        """Whatever a good answer holds, be it nothing."""
        while True:
            try:
                return _http.request(self._manner(self.left), self.url + path, document, method, self.headers)
            except MigrationError as exc:
                wait = exc.facts.get("wait_seconds")
                if wait is None or wait >= self.left:
                    raise
                time.sleep(wait)

    def listen(self, path: str, seconds: float) -> t.Iterator[str]:
        """The lines of an answer that may have no end."""
        return _http.lines(self._manner(seconds), self.url + path, self.headers)

    def _manner(self, seconds: float) -> _http.Manner:
        patience = max(0.1, seconds)
        return _http.Manner("ask", self.name, "gate", patience, self.validate_certs, self.ca_cert, _words)

    def without_secrets(self, text: str) -> str:
        """A server may repeat in its answer what it was sent."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    def refusal(self, cause: str, cure: str = "") -> MigrationError:
        return MigrationError("ask", self.name, cause, cure, kind="gate")

    def refused(self, cause: str, cure: str) -> MigrationError:
        return MigrationError("use", f"the gate's provider {self.name}", cause, cure, kind="gate")


class Asked(abc.ABC):
    """Asks for each window once, as soon as it is closed and its figures are in.

    Before the first one is, the time before the watch is asked for instead and not counted: a
    source that does not answer is known from the first look on.
    """

    measures: tuple[str, ...] = ()
    lag_seconds: float = 0.0
    requests_of: str = ""
    # Whether it can be asked about the past; if not, it counts from one look to the next.
    is_of_a_stretch: bool = True

    def __init__(self, description: t.Mapping[str, t.Any], default_url: str = "") -> None:
        self.line = Line(description, default_url)
        self.label = str(description.get("server_label") or "")
        self.names = {str(k): str(v) for k, v in (description.get("names") or {}).items()}
        self.errors_may_be_absent = bool(description.get("errors_may_be_absent"))
        lag = description.get("lag_seconds")
        self.lag_seconds = self.lag_seconds if lag is None else float(lag)

    @abc.abstractmethod
    def told(self, since: float, until: float) -> Told:
        """What the source tells of this stretch of time."""

    def observe(self, reading: Reading, position: Position | None, look: Look) -> None:
        place = dict(position or {})
        reading.position = place
        reading.requests_of = self.requests_of
        reading.lag_seconds = self.lag_seconds + _LATE_SECONDS * self.is_of_a_stretch
        if look.now < float(place.get("not_before") or 0):
            reading.error = str(place.get("error") or "")
            return
        self.line.begin()
        try:
            self.read(reading, place, look)
        except MigrationError as exc:
            # What was read before it stands: each window is asked for by itself.
            reading.error = self.line.without_secrets(str(exc))
            pause = min(_PAUSE_SECONDS, look.window_seconds / 4)
            place["not_before"] = look.now + max(pause, float(exc.facts.get("wait_seconds") or 0))
            place["error"] = reading.error
        else:
            place.pop("not_before", None)
            place.pop("error", None)

    def read(self, reading: Reading, place: Position, look: Look) -> None:
        closed = look.slot(look.now - self.lag_seconds)
        slot = int(place.get("next", 0))
        if slot >= closed:
            if slot == 0 and not place.get("answers"):
                until = look.now - self.lag_seconds
                figures = self.told(until - look.window_seconds, until).figures()
                reading.figures["requests_before"] = sum(told.requests for told in figures.values())
                place["answers"] = True
            return
        silence: NoDataError | None = None
        # A window is begun only with time enough to be answered.
        while slot < closed and self.line.left > self.line.seconds / 2:
            since = look.since + slot * look.window_seconds
            try:
                figures = self.told(since, since + look.window_seconds).figures()
            except NoDataError as exc:
                # Told once a later window is; until then it may still come in.
                silence = exc
                slot += 1
                continue
            if silence is not None:
                reading.notes.append(f"{self.line.name} told nothing of a window before window {slot + 1}")
                silence = None
            self.count(reading, slot, figures)
            slot += 1
            place["next"] = slot
        if silence is not None:
            raise silence
        if slot < closed:
            # The next look goes on at once; a judgement on what was read so far would be one on less.
            reading.error = (
                f"{self.line.name} has told {slot} of {closed} windows in time; raise timeout_seconds"
            )

    def count(self, reading: Reading, slot: int, figures: t.Mapping[str, Figures]) -> None:
        for server, told in figures.items():
            reading.tally(slot, server).take(told.requests, told.errors or 0, told.p95_ms)

    def server(self, label: t.Any) -> str:
        """The balancer's name for what the source calls so."""
        return self.names.get(str(label), str(label)) if self.label else WHOLE


class AskedByQueries(Asked):
    """The user says how requests, errors and response times are called there."""

    def __init__(self, description: t.Mapping[str, t.Any], default_url: str = "") -> None:
        super().__init__(description, default_url)
        given = ((name, description.get(name)) for name in (REQUESTS, ERRORS, P95))
        self.queries = {name: str(query) for name, query in given if query}
        self.measures = tuple(name for name in (ERRORS, P95) if name in self.queries)
        if not self.measures:
            raise self.line.refused("it measures nothing", "Set errors, p95 or both")
        unit = description.get("duration")
        if P95 in self.queries and not unit:
            raise self.line.refused("the unit of its p95 is not known", "Set duration to ms or s")
        self._milliseconds = 1000.0 if unit == "s" else 1.0

    def factor(self, measure: str) -> float:
        return self._milliseconds if measure == P95 else 1.0


def _words(body: bytes) -> str:
    """What a monitoring service says of a request that it refuses; a page says nothing that helps."""
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    if not isinstance(answer, dict):
        return ""
    said = answer.get("error") or answer.get("detail") or answer.get("errors") or ""
    if isinstance(said, dict):
        said = said.get("message") or ""
    if isinstance(said, list):
        said = "; ".join(str(each) for each in said)
    return " ".join(str(said).split())[:200]
