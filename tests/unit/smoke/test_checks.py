# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks against an application in memory: each lie is told, and whatever happens, nothing is left."""

from __future__ import annotations

import copy
import typing as t

import pytest
from unit.smoke.application import USER, Application, Lie

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._smoke import daily, suite, together
from ansible_collections.emailai.migration.plugins.module_utils._smoke.checks import CHECKS
from ansible_collections.emailai.migration.plugins.module_utils._smoke.routes import DEFAULTS, Routes
from ansible_collections.emailai.migration.plugins.module_utils._smoke.visit import Person, Visit


def visit(app: Application, password: str = "", **routes: str) -> dict[str, t.Any]:
    one = Visit(app.ask, Routes(routes, has_organizations=True), Person(USER, password))
    return suite.run(one, lambda: None)


def failed(found: dict[str, t.Any]) -> dict[str, str]:
    return {row["name"]: row["reason"] for row in found["checks"] if row["state"] == "failed"}


@pytest.fixture
def app() -> Application:
    return Application()


def test_every_check_passes_and_nothing_is_left(app: Application) -> None:
    before = copy.deepcopy(app.rows())
    found = visit(app)
    assert failed(found) == {}
    assert [row["name"] for row in found["checks"]] == list(CHECKS)
    assert found["smoke"] == {"passed": len(CHECKS), "failed": 0, "not_applicable": 0, "reasons": {}}
    assert app.rows() == before


def _drop_first(key: str) -> Lie:
    return lambda content: content[key].pop(0)


def _set(key: str, value: t.Any) -> Lie:
    return lambda content: content.__setitem__(key, value)


def _give_all_a_role(role: str) -> Lie:
    return lambda content: [row.update(role=role) for row in content["members"] if row["userId"] != "u"]


LIES: list[tuple[str, str, Lie, str]] = [
    ("log_in", "login", _set("token", ""), "no token"),
    ("organization_page", "login", _set("organizationId", ""), "names no organization"),
    ("organization_page", "login", _set("redirect", "/mail"), "login leads to /mail"),
    ("organization_page", "organization_page", _set("id", "x"), "another organization"),
    ("organization_name", "organization_page", _set("name", "  "), "has no name"),
    ("organization_name", "organization_page", _set("name", "Theirs"), "different names"),
    ("accounts", "account_list", _set("accounts", []), "sees none of his accounts"),
    ("accounts", "account_list", _set("accounts", None), "tells no list of accounts"),
    ("accounts", "account_page", _set("id", "a2"), "shows another one"),
    ("organization_accounts", "organization_page", _drop_first("accounts"), "lacks some"),
    ("organization_accounts", "organization_page", _set("accounts", None), "shows no accounts"),
    ("account_open", "account_add", _set("id", None), "does not name the account"),
    ("switch", "account_switch", _set("active", {"id": "a1"}), "another account is active"),
    ("mail", "account_page", _set("email", ""), "shows no address"),
    ("members", "member_list", _drop_first("members"), "not among them"),
    ("invite", "member_list", _give_all_a_role("ADMIN"), "invited as MEMBER and is ADMIN"),
    ("billing_view", "billing_view", _set("tier", None), "shows no tier"),
    ("old_rules", "rule_execute", _set("matched", []), "rule Letters does not apply"),
    ("rules_run", "rule_execute", _set("matched", []), "does not apply where it should"),
    ("rules_run", "rule_execute", lambda c: c["matched"].append(Person(USER).mark), "where it should not"),
    ("new_rule", "rule_list", lambda c: c.update(rules=c["rules"][:1]), "is not listed"),
    ("subscription", "subscription", _set("tier", ""), "has no tier"),
    ("subscription", "subscription", _set("tier", "FREE"), "shows PRO, the subscription is FREE"),
    ("seats", "billing_view", _set("usedSeats", 1), "1 seats are counted and 2 members"),
    ("limits", "billing_view", _set("usedSeats", None), "None seats are counted"),
]


@pytest.mark.parametrize(
    ("check", "function", "lie", "words"), LIES, ids=[f"{lie[0]}-{lie[3]}" for lie in LIES]
)
def test_a_lie_is_told(app: Application, check: str, function: str, lie: Lie, words: str) -> None:
    app.lies[function] = lie
    assert words in failed(visit(app))[check]


@pytest.mark.parametrize(
    ("check", "function", "words"),
    [
        ("transfer", "account_transfer", "did not change hands"),
        ("limits", "member_remove", "a member stays"),
        ("cleaned_up", "rule_delete", "it is still there: rule r"),
        ("cleaned_up", "mail_delete", "it is still there: mail m"),
        ("cleaned_up", "user_delete", "it is still there: user u"),
        ("cleaned_up", "account_delete", "it is still there: account a"),
    ],
)
def test_what_is_said_to_be_done_and_is_not_is_told(
    app: Application, check: str, function: str, words: str
) -> None:
    app.ignored.add(function)
    assert words in failed(visit(app))[check]


def test_a_mail_that_never_comes_is_told(app: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daily, "_MAIL_SECONDS", 0.2)
    app.ignored.add("mail_send")
    assert "did not arrive within 0.2 s" in failed(visit(app))["mail"]


@pytest.mark.parametrize("function", sorted(set(DEFAULTS) - {"logout"}))
def test_each_function_that_fails_fails_a_check_and_leaves_no_more_than_it_must(
    app: Application, function: str
) -> None:
    before = copy.deepcopy(app.rows())
    app.broken[function] = 500
    assert failed(visit(app)) != {}
    if not function.endswith("_delete"):
        assert app.rows() == before


def test_members_are_let_in_beyond_the_limit(app: Application) -> None:
    app.lies["billing_view"] = _set("maxSeats", 2)
    before = copy.deepcopy(app.rows())
    assert failed(visit(app)) == {"limits": "more members than seats are let in"}
    assert app.rows() == before


@pytest.mark.parametrize(
    ("most", "reason"), [(None, "there is no limit"), (500, "the limit of 500 is too far away to be tried")]
)
def test_a_limit_that_cannot_be_reached_is_said(app: Application, most: t.Optional[int], reason: str) -> None:
    app.most = most
    found = visit(app)
    assert failed(found) == {}
    assert {row["name"]: row["reason"] for row in found["checks"]}["limits"] == reason


def test_a_member_who_may_do_what_managers_may_is_told(app: Application) -> None:
    app.lies["member_invite"] = lambda content: None
    original = app._billing_view
    app._billing_view = lambda body, token, places: app._bill()  # type: ignore[method-assign]
    assert "sees the billing page (200)" in failed(visit(app))["roles"]
    app._billing_view = original  # type: ignore[method-assign]
    assert failed(visit(app)) == {}


def test_a_test_user_of_the_wrong_kind_is_told(app: Application) -> None:
    app.members["u"] = "MEMBER"
    assert "the test user is MEMBER; name one who manages" in failed(visit(app))["members"]


def test_a_broken_login_leaves_nothing_to_try_and_fails_all(app: Application) -> None:
    app.broken["login"] = 500
    found = failed(visit(app))
    assert set(found) == set(CHECKS)
    assert found["accounts"] == "it could not be tried: log_in did not tell the user"


def test_without_a_route_what_hangs_on_it_is_not_applicable(app: Application) -> None:
    found = visit(app, member_invite="")
    assert failed(found) == {}
    assert set(found["smoke"]["reasons"]) == {"invite", "roles", "transfer", "limits"}
    assert found["smoke"]["reasons"]["roles"] == "the application has no route member_invite"


def test_the_password_goes_to_each_login(app: Application) -> None:
    visit(app, password="s3cret")
    assert app.passwords == ["s3cret", "s3cret"]


def test_what_an_earlier_visit_left_is_swept_first(app: Application) -> None:
    mark = Person(USER).mark
    app.users["x"], app.members["x"] = f"{mark}-2@smoke.invalid", "MEMBER"
    app.accounts["ax"] = (f"{mark}-box@smoke.invalid", "u")
    app.rules["rx"] = {"id": "rx", "name": mark, "instructions": f"when '{mark}'", "enabled": True}
    app.mails.append({"message_id": "mx", "subject": f"{mark} 1"})
    found = visit(app)
    assert failed(found) == {}
    assert found["changed"]
    assert sorted(found["swept"]) == ["account ax", "mail mx", "rule rx", "user x"]
    assert app.rows() == Application().rows()


def test_a_stranger_who_looks_alike_stays(app: Application) -> None:
    """Only the mark of this very test user counts."""
    other = Person("another@example.com").mark
    app.users["x"], app.members["x"] = f"{other}-1@smoke.invalid", "MEMBER"
    assert visit(app)["swept"] == []
    assert "x" in app.users


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_in_the_middle_still_clears(
    app: Application, interruption: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_visit: Visit) -> str:
        raise interruption

    monkeypatch.setitem(t.cast("dict[str, t.Any]", CHECKS), "seats", interrupted)
    with pytest.raises(interruption):
        visit(app)
    assert app.rows() == Application().rows()


def test_the_failure_names_server_checks_and_reasons(app: Application) -> None:
    app.broken["account_switch"] = 500
    with pytest.raises(MigrationError) as raised:
        suite.concluded("http://app-1:3000", visit(app))
    assert str(raised.value) == (
        "Cannot let users come to http://app-1:3000: a critical flow is broken, 1 of 19 checks failed: "
        "switch (account_switch answers 500)."
    )
    assert raised.value.facts["smoke"]["failed"] == 1


def test_all_checks_are_listed_once() -> None:
    """A check that is written and not listed would never be tried."""
    written = {
        name
        for module in (daily, together)
        for name, value in vars(module).items()
        if callable(value)
        and getattr(value, "__module__", "") == module.__name__
        and not name.startswith("_")
    }
    assert written - set(CHECKS) == {"log_in_as", "open_account", "organization"}
