# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users do together: organization page, members, roles, billing, seats. Touches nothing.

A check that returns has passed; what it returns is worth telling a person.
"""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._smoke.daily import log_in_as, open_account
from ansible_collections.emailai.migration.plugins.module_utils._smoke.visit import (
    Content,
    FaultError,
    Visit,
    must,
)

_MANAGERS: t.Final = ("OWNER", "ADMIN")
# Further from the limit than this, to fill it would be a load test.
_SEATS_TO_FILL: t.Final = 10


def organization(visit: Visit) -> Content:
    visit.require("organization_page")
    visit.recall("user")
    must("organization" in visit.known, "login names no organization")
    if "page" not in visit.known:
        visit.known["page"] = visit.told("organization_page")
    return t.cast(Content, visit.known["page"])


def organization_page(visit: Visit) -> str:
    found, key = organization(visit), visit.known["organization"]
    must(found.get("id") == key, "the page is that of another organization")
    target = str(visit.known["greeting"].get("redirect") or "")
    must(not target or key in target, f"login leads to {target}")
    return ""


def organization_accounts(visit: Visit) -> str:
    """What he sees himself stands on the page of his organization, too."""
    shown = organization(visit).get("accounts")
    must(isinstance(shown, list), "the page shows no accounts")
    seen = {str(row.get("id")) for row in t.cast(t.List[t.Any], shown) if isinstance(row, dict)}
    must(seen.issuperset(visit.recall("accounts")), "the page lacks some of his accounts")
    return ""


def organization_name(visit: Visit) -> str:
    name = str(organization(visit).get("name") or "").strip()
    must(name, "the organization has no name")
    greeting = visit.known["greeting"].get("organizationName")
    must(greeting in (None, name), "page and login show different names")
    return name


def members(visit: Visit) -> str:
    visit.require("member_list")
    visit.recall("organization")
    rows = visit.rows("member_list", "members")
    mine = [row for row in rows if row.get("userId") == visit.recall("user")]
    must(mine, "the test user is not among them")
    role = str(mine[0].get("role"))
    must(role in _MANAGERS, f"the test user is {role}; name one who manages his organization")
    return f"{len(rows)} members"


def _invite(visit: Visit, number: int) -> str:
    body = {"email": visit.person.made(str(number)), "role": "MEMBER", "name": visit.person.mark}
    return visit.note("user", visit.told("member_invite", body).get("userId"))


def invite(visit: Visit) -> str:
    visit.require("member_invite", "member_list", "user_delete")
    visit.recall("organization")
    visit.known["guest"] = guest = _invite(visit, 1)
    found = [row for row in visit.rows("member_list", "members") if row.get("userId") == guest]
    must(found, "the invited member is not among the members")
    must(found[0].get("role") == "MEMBER", f"he was invited as MEMBER and is {found[0].get('role')}")
    return ""


def billing_view(visit: Visit) -> str:
    visit.require("billing_view")
    visit.recall("organization")
    tier = str(visit.told("billing_view").get("tier") or "")
    must(tier, "the billing page shows no tier")
    return tier


def roles(visit: Visit) -> str:
    """What a manager may, a plain member may not."""
    visit.require("billing_view", "member_invite")
    visit.recall("guest")
    token = str(log_in_as(visit, visit.person.made("1"))["token"])
    seen = visit.reply("billing_view", token=token).status
    must(seen in (401, 403, 404), f"a plain member sees the billing page ({seen})")
    body = {"email": visit.person.made("stranger"), "role": "MEMBER"}
    asked = visit.reply("member_invite", body, token=token)
    if 200 <= asked.status < 300:
        visit.note("user", asked.content.get("userId"))
    must(asked.status in (401, 403, 404), f"a plain member may invite ({asked.status})")
    return ""


def transfer(visit: Visit) -> str:
    """An account of our own is opened, handed to the guest and back, and closed."""
    visit.require("account_transfer", "account_add", "account_page", "account_delete")
    guest, user = visit.recall("guest"), visit.recall("user")
    key = open_account(visit)
    for owner in (guest, user):
        visit.told("account_transfer", {"id": key, "userId": owner})
        found = visit.told("account_page", account=key).get("userId")
        must(found == owner, "the account did not change hands")
    return ""


def seats(visit: Visit) -> str:
    visit.require("billing_view", "member_list")
    visit.recall("organization")
    return f"{_count_seats(visit)[0]} seats"


def _count_seats(visit: Visit) -> tuple[int, t.Optional[int]]:
    """Used and most; the seats in use are the members."""
    bill, there = visit.told("billing_view"), len(visit.rows("member_list", "members"))
    must(
        bill.get("usedSeats") == there,
        f"{bill.get('usedSeats')} seats are counted and {there} members are there",
    )
    most = bill.get("maxSeats")
    return there, most if isinstance(most, int) else None


def limits(visit: Visit) -> str:
    """Members are added up to the limit and not beyond it; each one who is removed gives his seat back."""
    visit.require("member_invite", "member_remove", "billing_view", "member_list", "user_delete")
    guest = visit.recall("guest")
    used, most = _count_seats(visit)
    told = "there is no limit" if most is None else f"the limit of {most}"
    if most is not None and most - used > _SEATS_TO_FILL:
        told = f"the limit of {most} is too far away to be tried"
    elif most is not None:
        _fill(visit, most - used)
    visit.told("member_remove", user=guest)
    must(all(row.get("userId") != guest for row in visit.rows("member_list", "members")), "a member stays")
    _count_seats(visit)
    return told


def _fill(visit: Visit, free: int) -> None:
    for number in range(free):
        _invite(visit, number + 2)
    over = visit.reply("member_invite", {"email": visit.person.made("over"), "role": "MEMBER"})
    if 200 <= over.status < 300:
        visit.note("user", over.content.get("userId"))
        raise FaultError("more members than seats are let in")
    must(400 <= over.status < 500, f"beyond the limit member_invite answers {over.status}")
