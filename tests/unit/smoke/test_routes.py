# SPDX-License-Identifier: GPL-3.0-or-later
"""Declared routes are read or refused, and the page that names them all is true."""

from __future__ import annotations

import re
import typing as t

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._smoke.checks import CHECKS
from ansible_collections.emailai.migration.plugins.module_utils._smoke.routes import (
    DEFAULTS,
    OF_ORGANIZATIONS,
    Routes,
)
from check.export import ROOT

PAGE = (ROOT / "docs" / "smoke.md").read_text("utf-8")


def test_the_page_names_every_check_in_its_order() -> None:
    table = PAGE.partition("## The checks")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(CHECKS)


def test_the_page_names_every_route_with_its_default() -> None:
    assert dict(re.findall(r"^\| `(\w+)` \| `([A-Z]+ /[^`]+)` \|", PAGE, re.MULTILINE)) == DEFAULTS


def test_the_map_of_the_runbook_names_checks_that_exist() -> None:
    text = (ROOT / "docs" / "runbook_map.md").read_text("utf-8")
    named = re.findall(r"module `app_smoke`, checks? `(\w+)`(?: and `(\w+)`)?", text)
    assert len(named) == 26
    assert {name for pair in named for name in pair if name} <= set(CHECKS)


def test_a_place_is_filled_in_and_cannot_lead_elsewhere() -> None:
    route = Routes({}, has_organizations=True).find("account_page")
    assert route is not None
    assert (route.method, route.filled({"account": "../a?b/c"})) == ("GET", "/api/accounts/..%2Fa%3Fb%2Fc")


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_route_says_why_it_is_not_there(empty: t.Any) -> None:
    routes = Routes({"mail_send": empty}, has_organizations=True)
    assert routes.find("mail_send") is None
    assert routes.why_not("mail_send") == "the application has no route mail_send"


def test_an_old_release_has_no_routes_of_organizations() -> None:
    routes = Routes({}, has_organizations=False)
    assert [name for name in DEFAULTS if routes.find(name) is None] == list(OF_ORGANIZATIONS)
    assert routes.why_not("billing_view") == "this release has no organizations"


@pytest.mark.parametrize(
    ("routes", "words"),
    [
        ({"sign_in": "POST /x"}, "nothing is called sign_in"),
        ({"login": "/api/login"}, "Give method and path, such as POST /api/login"),
        ({"login": "POST https://elsewhere/login"}, "Give method and path"),
        ({"login": {"path": "/x"}}, "Give method and path"),
        ({"account_page": "GET /api/{box}"}, "has {box}, which is not known there"),
    ],
)
def test_a_route_that_cannot_be_meant_is_refused(routes: dict[str, t.Any], words: str) -> None:
    with pytest.raises(MigrationError) as raised:
        Routes(routes, has_organizations=True)
    assert words in str(raised.value)
