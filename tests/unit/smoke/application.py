# SPDX-License-Identifier: GPL-3.0-or-later
"""An application in memory that keeps every promise, or breaks the one it is told to. Touches nothing."""

from __future__ import annotations

import itertools
import re
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._smoke.routes import DEFAULTS
from ansible_collections.emailai.migration.plugins.module_utils._smoke.visit import Content, Reply

USER = "tester@example.com"
Lie = t.Callable[[dict[str, t.Any]], t.Any]


class Application:
    """Its functions bear the names of the routes. ``lies`` change what a function answers."""

    def __init__(self) -> None:
        self._numbers = itertools.count(100)
        self.users = {"u": USER}
        self.members = {"u": "OWNER"}
        self.accounts = {"a1": ("a1@example.com", "u"), "a2": ("a2@example.com", "u")}
        self.rules: dict[str, dict[str, t.Any]] = {
            "r1": {
                "id": "r1",
                "name": "Letters",
                "instructions": "Label when 'digest' is in",
                "enabled": True,
            }
        }
        self.mails: list[dict[str, str]] = []
        self.most: t.Optional[int] = 3
        self.passwords: list[t.Any] = []
        self.lies: dict[str, Lie] = {}
        self.ignored: set[str] = set()
        self.broken: dict[str, int] = {}
        self._routes = [
            (name, text.split()[0], _shape(text.split()[1]))
            for name, text in sorted(DEFAULTS.items(), key=lambda pair: "{" in pair[1])
        ]

    def ask(self, method: str, path: str, body: t.Optional[Content], token: str) -> Reply:
        for name, verb, shape in self._routes:
            match = shape.fullmatch(path)
            if match and verb == method:
                return self._answer(name, dict(body or {}), token, match.groupdict())
        return Reply(404)

    def _answer(self, name: str, body: dict[str, t.Any], token: str, places: dict[str, str]) -> Reply:
        if name in self.broken:
            return Reply(self.broken[name])
        if name in self.ignored:
            return Reply(200, {})
        found = getattr(self, f"_{name}")(body, token, places)
        status, content = found if isinstance(found, tuple) else (200, found)
        if name in self.lies:
            self.lies[name](content)
        return Reply(status, content)

    def _new(self, kind: str) -> str:
        return f"{kind}{next(self._numbers)}"

    def _login(self, body: t.Any, _token: str, _places: t.Any) -> t.Any:
        self.passwords.append(body.get("password"))
        user = next(key for key, address in self.users.items() if address == body["email"])
        return {
            "token": user, "userId": user, "redirect": "/organizations/o", "organizationId": "o",
            "organizationName": "Ours",
        }  # fmt: skip

    def _logout(self, _body: t.Any, _token: str, _places: t.Any) -> t.Any:
        return {}

    def _account_list(self, _body: t.Any, _token: str, places: t.Any) -> t.Any:
        return {"accounts": [row for row in self._boxes() if row["userId"] == places["user"]]}

    def _boxes(self) -> list[dict[str, str]]:
        return [{"id": key, "email": box, "userId": user} for key, (box, user) in self.accounts.items()]

    def _account_page(self, _body: t.Any, _token: str, places: t.Any) -> t.Any:
        return next(row for row in self._boxes() if row["id"] == places["account"])

    def _account_add(self, body: t.Any, _token: str, _places: t.Any) -> t.Any:
        key = self._new("a")
        self.accounts[key] = (body["email"], body["userId"])
        return 201, {"id": key}

    def _account_switch(self, body: t.Any, _token: str, _places: t.Any) -> t.Any:
        return {"active": {"id": body["id"]}}

    def _account_delete(self, _body: t.Any, _token: str, places: t.Any) -> t.Any:
        return (200, {}) if self.accounts.pop(places["account"], None) else (404, {})

    def _account_transfer(self, body: t.Any, _token: str, _places: t.Any) -> t.Any:
        self.accounts[body["id"]] = (self.accounts[body["id"]][0], body["userId"])
        return {}

    def _mail_send(self, body: t.Any, _token: str, _places: t.Any) -> t.Any:
        key = self._new("m")
        self.mails.append({"message_id": key, "subject": body["subject"]})
        return 201, {"messageId": key}

    def _mail_read(self, _body: t.Any, _token: str, _places: t.Any) -> t.Any:
        return {"messages": list(self.mails)}

    def _mail_delete(self, _body: t.Any, _token: str, places: t.Any) -> t.Any:
        self.mails = [row for row in self.mails if row["message_id"] != places["mail"]]
        return {}

    def _rule_list(self, _body: t.Any, _token: str, places: t.Any) -> t.Any:
        return {"rules": list(self.rules.values()) if places["account"] == "a1" else []}

    def _rule_add(self, body: t.Any, _token: str, _places: t.Any) -> t.Any:
        key = self._new("r")
        self.rules[key] = {"id": key, "enabled": True, **body}
        return 201, {"id": key}

    def _rule_execute(self, body: t.Any, _token: str, _places: t.Any) -> t.Any:
        matched = [
            r["name"] for r in self.rules.values() if r["instructions"].split("'")[1] in body["subject"]
        ]
        return {"matched": matched}

    def _rule_delete(self, _body: t.Any, _token: str, places: t.Any) -> t.Any:
        del self.rules[places["rule"]]
        return {}

    def _subscription(self, _body: t.Any, _token: str, _places: t.Any) -> t.Any:
        return self._bill()

    def _bill(self) -> dict[str, t.Any]:
        return {"tier": "PRO", "usedSeats": len(self.members), "maxSeats": self.most}

    def _user_delete(self, _body: t.Any, _token: str, places: t.Any) -> t.Any:
        self.users.pop(places["user"])
        self.members.pop(places["user"], None)
        return {}

    def _organization_page(self, _body: t.Any, _token: str, _places: t.Any) -> t.Any:
        return {"id": "o", "name": "Ours", "accounts": self._boxes()}

    def _member_list(self, _body: t.Any, _token: str, _places: t.Any) -> t.Any:
        return {
            "members": [
                {"userId": key, "email": self.users[key], "role": role} for key, role in self.members.items()
            ]
        }

    def _member_invite(self, body: t.Any, token: str, _places: t.Any) -> t.Any:
        if self.members.get(token) != "OWNER":
            return 403, {}
        if self.most is not None and len(self.members) >= self.most:
            return 402, {}
        known = [key for key, address in self.users.items() if address == body["email"]]
        key = known[0] if known else self._new("u")
        self.users[key], self.members[key] = body["email"], body["role"]
        return 201, {"userId": key}

    def _member_remove(self, _body: t.Any, _token: str, places: t.Any) -> t.Any:
        del self.members[places["user"]]
        return {}

    def _billing_view(self, _body: t.Any, token: str, _places: t.Any) -> t.Any:
        return self._bill() if self.members.get(token) == "OWNER" else (403, {})

    def rows(self) -> t.Any:
        """Everything there is."""
        return self.users, self.members, self.accounts, self.rules, self.mails


def _shape(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/&]+)", re.escape(path)))
