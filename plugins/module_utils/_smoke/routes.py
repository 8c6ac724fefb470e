# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""By which method and path an application does what the suite asks of it. Touches nothing."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from urllib.parse import quote

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

# What stands in braces is filled in. An empty route: this application has no such function.
DEFAULTS: t.Final[dict[str, str]] = {
    "login": "POST /api/login",
    "logout": "POST /api/logout",
    "account_list": "GET /api/accounts?userId={user}",
    "account_page": "GET /api/accounts/{account}",
    "account_add": "POST /api/accounts",
    "account_switch": "POST /api/accounts/switch",
    "account_delete": "DELETE /api/accounts/{account}",
    "mail_send": "POST /api/mail/send",
    "mail_read": "GET /api/mail?accountId={account}",
    "mail_delete": "DELETE /api/mail/{mail}",
    "rule_list": "GET /api/rules?emailAccountId={account}",
    "rule_add": "POST /api/rules",
    "rule_execute": "POST /api/rules/execute",
    "rule_delete": "DELETE /api/rules/{rule}",
    "subscription": "GET /api/premium/{user}",
    "user_delete": "DELETE /api/users/{user}",
    "organization_page": "GET /api/organizations/{organization}",
    "member_list": "GET /api/organizations/{organization}/members",
    "member_invite": "POST /api/organizations/{organization}/invite",
    "member_remove": "DELETE /api/organizations/{organization}/members/{user}",
    "account_transfer": "POST /api/accounts/transfer",
    "billing_view": "GET /api/organizations/{organization}/billing",
}
# What only a release with organizations has.
OF_ORGANIZATIONS: t.Final = (
    "organization_page",
    "member_list",
    "member_invite",
    "member_remove",
    "account_transfer",
    "billing_view",
)

_SHAPE: t.Final = re.compile(r"(GET|POST|PUT|PATCH|DELETE) (/[^\s]*)")
_PLACE: t.Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Route:
    method: str
    path: str

    def filled(self, places: t.Mapping[str, str]) -> str:
        return _PLACE.sub(lambda place: quote(places[place[1]], safe=""), self.path)


class Routes:
    """The declared routes; one that is missing says why."""

    def __init__(self, given: t.Mapping[str, t.Any], has_organizations: bool) -> None:
        self._has_organizations = has_organizations
        strangers = sorted(set(given) - set(DEFAULTS))
        if strangers:
            raise _refusal(f"nothing is called {', '.join(strangers)}", f"Known are {', '.join(DEFAULTS)}")
        self._routes = {name: _read(name, given.get(name, text)) for name, text in DEFAULTS.items()}

    def find(self, name: str) -> t.Optional[Route]:
        return None if self.why_not(name) else self._routes[name]

    def why_not(self, name: str) -> str:
        if name in OF_ORGANIZATIONS and not self._has_organizations:
            return "this release has no organizations"
        return "" if self._routes[name] else f"the application has no route {name}"


def _read(name: str, text: t.Any) -> t.Optional[Route]:
    if not text:
        return None
    match = _SHAPE.fullmatch(str(text).strip())
    if match is None:
        raise _refusal(f"{name} is {text!r}", f"Give method and path, such as {DEFAULTS[name]}")
    allowed = set(_PLACE.findall(DEFAULTS[name])) | {"user", "organization"}
    strangers = sorted(set(_PLACE.findall(match[2])) - allowed)
    if strangers:
        raise _refusal(f"{name} has {{{strangers[0]}}}, which is not known there", f"Give {DEFAULTS[name]}")
    return Route(match[1], match[2])


def _refusal(cause: str, cure: str) -> MigrationError:
    return MigrationError("use", "the routes of the smoke suite", cause, cure, kind="smoke")
