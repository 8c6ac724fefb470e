# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One project of Vercel, asked within one deadline; nothing is sent twice that may have worked."""

from __future__ import annotations

import json
import time
import typing as t
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode, urlsplit

from ansible_collections.emailai.migration.plugins.module_utils import _http
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

Answer = t.Dict[str, t.Any]

_HERE: t.Final = ("127.0.0.1", "::1", "localhost")
_ANSWER_SECONDS: t.Final = 15.0
# Between two looks: short at first, then as a build of minutes deserves.
_PAUSE_SECONDS: t.Final = 0.25
_LONGEST_PAUSE_SECONDS: t.Final = 3.0
# How long what was sent without an answer is looked for before it is sent again, and how often it is sent.
_LOST_SECONDS: t.Final = 5.0
_TRIES: t.Final = 3
# How long to wait where too many requests are refused without a word about the time.
_CROWDED_SECONDS: t.Final = 5.0

_CURES: t.Final = {
    400: "See what Vercel says",
    401: "Give a token that is valid: Vercel, Account Settings, Tokens",
    402: "The Hobby plan goes back to the deployment just before and no further; name that one or upgrade",
    403: "Give a token that may change this project, and its team in team_id or team_slug",
    404: "Name project and deployment as Vercel does and, where a team owns them, team_id or team_slug",
    409: "Another alias job is at work in the project. Wait until it is over, then give the command again",
    422: "Vercel understood it and cannot do it: see its words",
    429: "Give the command again later, or a longer timeout_seconds",
}


@dataclass(frozen=True)
class Access:
    api_url: str
    token: str = field(repr=False)
    team_id: str = ""
    team_slug: str = ""
    validate_certs: bool = True
    ca_cert: str = ""


class LateError(MigrationError):
    """The deadline is over."""


class Client:
    def __init__(self, access: Access, project: str, timeout_seconds: float) -> None:
        self._access = access
        self.name = project
        self._seconds = timeout_seconds
        self._deadline = time.monotonic() + timeout_seconds
        _refuse_unsafe(access)

    @property
    def left(self) -> float:
        return self._deadline - time.monotonic()

    def read(self, path: str, thing: str, **words: t.Any) -> Answer:
        """Asked again while the server is not well, or too many ask, until the deadline."""
        pause = _PAUSE_SECONDS
        while True:
            try:
                return self._ask("GET", path, "read", thing, None, words)
            except MigrationError as exc:
                wait = self._wait_after(exc, pause)
                if wait is None:
                    raise
                time.sleep(wait)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def send(
        self,
        method: str,
        path: str,
        document: t.Mapping[str, t.Any],
        sentence: tuple[str, str],
        has_worked: t.Callable[[], bool],
    ) -> Answer:
        """The answer; nothing where that was lost and what was sent is found to have worked."""
        act, thing = sentence
        tries = 0
        while True:
            try:
                return self._ask(method, path, act, thing, document, {})
            except MigrationError as exc:
                wait = self._wait_after(exc, 0.0)
                if wait is None:
                    raise
                if exc.facts.get("status") == 429:  # certainly not done
                    time.sleep(wait)
                    continue
                tries += 1
                if self.until(has_worked, _LOST_SECONDS):
                    return {}
                if tries >= _TRIES:
                    raise

    def until(self, is_so: t.Callable[[], bool], seconds: float = float("inf")) -> bool:
        """Look until it is so; False when the seconds, or the deadline, are over."""
        end = min(time.monotonic() + seconds, self._deadline)
        pause = _PAUSE_SECONDS
        while not is_so():
            if time.monotonic() + pause >= end:
                return False
            time.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_PAUSE_SECONDS)
        return True

    def late(self, act: str, thing: str, cause: str, seconds: float | None = None) -> LateError:
        cure = "Vercel goes on with it: look there, or give the command again to wait on"
        return LateError(act, thing, f"{cause} after {seconds or self._seconds:g} s", cure)

    def _wait_after(self, exc: MigrationError, pause: float) -> float | None:
        """For how long to wait after a failure that may pass; None if it does not, or not in time."""
        status = exc.facts.get("status")
        if status is not None and status != 429 and status < 500:
            return None
        wait = exc.facts.get("wait_seconds")
        if wait is None:
            wait = _CROWDED_SECONDS if status == 429 else pause
        return float(wait) if wait < self.left else None

    def _ask(
        self,
        method: str,
        path: str,
        act: str,
        thing: str,
        document: t.Mapping[str, t.Any] | None,
        words: t.Mapping[str, t.Any],
    ) -> Answer:
        access = self._access
        if self.left <= 0:
            raise self.late(act, thing, "it is not done")
        said: list[str] = []

        def keep(body: bytes) -> str:
            said.append(_words(body))
            return ""

        manner = _http.Manner(
            act,
            thing,
            "platform",
            max(0.1, min(_ANSWER_SECONDS, self.left)),
            access.validate_certs,
            access.ca_cert,
            keep,
        )
        owner = {"teamId": access.team_id, "slug": access.team_slug}
        query = urlencode(
            {name: value for name, value in {**words, **owner}.items() if value not in ("", None)}
        )
        url = f"{access.api_url.rstrip('/')}{path}" + (f"?{query}" if query else "")
        try:
            answer = _http.request(manner, url, document, method, {"Authorization": f"Bearer {access.token}"})
        except MigrationError as exc:
            raise self._told(exc, said) from None
        if isinstance(answer, dict):
            return answer
        if document is not None and not answer:
            return {}  # accepted, and nothing to say
        raise MigrationError(
            act,
            thing,
            f"{_http.host_of(url)} does not answer with JSON",
            "Check api_url",
            kind="platform",
            status=200,
        )

    def _told(self, exc: MigrationError, said: t.Sequence[str]) -> MigrationError:
        status = exc.facts.get("status")
        if status is None:
            return exc
        words = "".join(said).replace(self._access.token, "***")
        cause = f"Vercel answers {status}" + (f", {words}" if words else "")
        if status == 429 and "wait_seconds" in exc.facts:
            cause += f", and allows no more requests for {exc.facts['wait_seconds']:.0f} s"
        cure = _CURES.get(status, "Vercel itself is not well: see vercel-status.com" if status >= 500 else "")
        return MigrationError(exc.act, exc.thing, cause, cure, **exc.facts)


def _refuse_unsafe(access: Access) -> None:
    try:
        parts = urlsplit(access.api_url)
        scheme, host = parts.scheme, parts.hostname
    except ValueError:
        scheme, host = "", None
    if scheme not in ("http", "https") or not host:
        raise MigrationError("use", "api_url", "it is no address of http or https", "Give it as https://host")
    if scheme == "http" and host not in _HERE:
        raise MigrationError("use", "api_url", "the token would travel in the clear", "Give it as https")
    if access.team_id and access.team_slug:
        raise MigrationError("use", "team_slug", "team_id names the team already", "Give one of the two")


def _words(body: bytes) -> str:
    """Vercel's own code and sentence."""
    try:
        error = json.loads(body)["error"]
        found = [error.get("code"), error.get("message")]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return " ".join(": ".join(str(one) for one in found if one).split())[:300]


def part(name: str) -> str:
    """A name as a part of an address."""
    return quote(name, safe="")
