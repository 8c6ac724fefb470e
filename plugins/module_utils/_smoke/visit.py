# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One visit to a server as the test user: what is known so far, what was made, how it is removed again."""

from __future__ import annotations

import hashlib
import typing as t
from dataclasses import dataclass, field

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._smoke.routes import Routes

Content = t.Mapping[str, t.Any]


class FaultError(Exception):
    """The application does not do what it should."""


class IdleError(Exception):
    """There is nothing to try."""


def must(is_so: t.Any, otherwise: str) -> None:
    if not is_so:
        raise FaultError(otherwise)


@dataclass(frozen=True)
class Reply:
    """An answer over HTTP; ``content`` is empty where it was no JSON object."""

    status: int
    content: Content = field(default_factory=dict)


# Method, path, body, token of the session: the only way out into the world.
Ask = t.Callable[[str, str, t.Optional[Content], str], Reply]

# Which check finds out what the later ones go by.
_FOUND_BY: t.Final = {
    "token": "log_in",
    "user": "log_in",
    "organization": "organization_page",
    "accounts": "accounts",
    "guest": "invite",
    "rule": "new_rule",
}


@dataclass(frozen=True)
class Person:
    """The test user as the operator names him."""

    address: str
    password: str = ""

    @property
    def mark(self) -> str:
        """What everything that is made for him bears: the same at each visit, so that it is found again."""
        return f"emailai-smoke-{hashlib.sha256(self.address.encode()).hexdigest()[:8]}"

    def made(self, thing: str) -> str:
        return f"{self.mark}-{thing}@smoke.invalid"


class Visit:
    """Asks, remembers, and keeps the list of what has to go again."""

    def __init__(self, ask: Ask, routes: Routes, person: Person) -> None:
        self._ask = ask
        self.routes = routes
        self.person = person
        self.known: dict[str, t.Any] = {}
        self.states: dict[str, str] = {}
        # Kind and id, oldest first; what was made last goes first.
        self.made: list[tuple[str, str]] = []

    # -- asking -----------------------------------------------------------------

    def reply(self, name: str, body: t.Optional[Content] = None, token: str = "", **places: str) -> Reply:
        """The answer as it is. ``token`` is that of the test user unless told."""
        route = self.routes.find(name)
        if route is None:
            raise IdleError(self.routes.why_not(name))
        known: dict[str, str] = {
            key: str(self.known[key]) for key in ("user", "organization") if key in self.known
        }
        try:
            path = route.filled(dict(known, **places))
        except KeyError as missing:
            raise FaultError(f"it could not be tried: {missing.args[0]} is not known") from None
        return self._ask(route.method, path, body, token or self.known.get("token", ""))

    def has(self, *names: str) -> bool:
        return not any(self.routes.why_not(name) for name in names)

    def require(self, *names: str) -> None:
        """Without one of these routes there is nothing to try."""
        for name in names:
            if not self.has(name):
                raise IdleError(self.routes.why_not(name))

    def told(self, name: str, body: t.Optional[Content] = None, token: str = "", **places: str) -> Content:
        """What a good answer tells."""
        found = self.reply(name, body, token, **places)
        if not 200 <= found.status < 300:
            raise FaultError(f"{name} answers {found.status}")
        return found.content

    def rows(self, name: str, key: str, **places: str) -> list[dict[str, t.Any]]:
        found = self.told(name, None, "", **places).get(key)
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise FaultError(f"{name} tells no list of {key}")
        return found

    def recall(self, key: str) -> t.Any:
        """What an earlier check found out. Without it this one fails, or has nothing to try, as that one."""
        if key not in self.known:
            check = _FOUND_BY[key]
            if self.states.get(check) == "not_applicable":
                raise IdleError(f"{check} is not applicable")
            raise FaultError(f"it could not be tried: {check} did not tell the {key}")
        return self.known[key]

    # -- what was made ----------------------------------------------------------

    def note(self, kind: str, key: t.Any) -> str:
        """Remember a made thing at once: whatever comes next may fail."""
        if not isinstance(key, str) or not key:
            raise FaultError(f"the answer does not name the {kind} that was made")
        if (kind, key) not in self.made:
            self.made.append((kind, key))
        return key

    def forget(self, kind: str, key: str) -> None:
        """Take one made thing away again; it is only forgotten when the application says that it is gone."""
        found = self.reply(f"{kind}_delete", None, "", **{kind: key})
        if not (200 <= found.status < 300 or found.status in (404, 410)):
            raise FaultError(f"{kind}_delete answers {found.status}")
        if (kind, key) in self.made:
            self.made.remove((kind, key))

    def find_left(self) -> None:
        """Note what a visit that was cut off has left: it bears the mark."""
        for key, email in self._seen("account_list", "accounts", "email"):
            if email.startswith(self.person.mark):
                self.note("account", key)
            else:
                self._find_left_in(key)
        for key, email in self._seen("member_list", "members", "email", "userId"):
            if email.startswith(self.person.mark):
                self.note("user", key)

    def _find_left_in(self, account: str) -> None:
        for kind, route, key, words, name in (
            ("rule", "rule_list", "rules", "name", "id"),
            ("mail", "mail_read", "messages", "subject", "message_id"),
        ):
            for found, text in self._seen(route, key, words, name, account=account):
                if text.startswith(self.person.mark):
                    self.note(kind, found)

    def _seen(
        self, route: str, key: str, words: str, name: str = "id", **places: str
    ) -> list[tuple[str, str]]:
        """Id and words of each row; what does not answer is for its own check to tell."""
        try:
            rows = self.rows(route, key, **places)
        except (FaultError, IdleError, MigrationError):
            return []
        return [(str(row[name]), str(row.get(words) or "")) for row in rows if row.get(name)]

    def clear(self) -> list[str]:
        """Remove all that was made, the newest first; what could not be removed is told."""
        left = []
        for kind, key in reversed(self.made[:]):
            try:
                self.forget(kind, key)
            except (FaultError, IdleError, MigrationError) as exc:
                left.append(f"{kind} {key} ({exc})")
        return left
