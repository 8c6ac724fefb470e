# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user does by himself: log in, accounts, mail, rules, subscription. Touches nothing.

A check that returns has passed; what it returns is worth telling a person.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._smoke.visit import (
    Content,
    IdleError,
    Visit,
    must,
)

_MAIL_SECONDS: t.Final = 10.0
_MAIL_PAUSE_SECONDS: t.Final = 0.1


def log_in_as(visit: Visit, address: str) -> Content:
    body = {"email": address, **({"password": visit.person.password} if visit.person.password else {})}
    found = visit.told("login", body)
    must(found.get("token") and found.get("userId"), "login gives no token and no userId")
    return found


def log_in(visit: Visit) -> str:
    found = log_in_as(visit, visit.person.address)
    visit.known.update(token=str(found["token"]), user=str(found["userId"]))
    if found.get("organizationId"):
        visit.known["organization"] = str(found["organizationId"])
    visit.known["greeting"] = found
    return ""


def accounts(visit: Visit) -> str:
    rows = visit.rows("account_list", "accounts", user=visit.recall("user"))
    keys = [str(row["id"]) for row in rows if row.get("id")]
    must(keys, "the test user sees none of his accounts; name one who has some")
    visit.known["accounts"] = keys
    if visit.has("account_page"):
        page = visit.told("account_page", account=keys[0])
        must(page.get("id") == keys[0], "the page of an account shows another one")
    return f"{len(keys)} accounts"


def account_open(visit: Visit) -> str:
    visit.require("account_add", "account_delete")
    key = open_account(visit)
    keys = [str(row.get("id")) for row in visit.rows("account_list", "accounts", user=visit.recall("user"))]
    must(key in keys, "the account that was opened is not listed")
    return ""


def open_account(visit: Visit) -> str:
    if "opened" not in visit.known:
        body = {"userId": visit.recall("user"), "email": visit.person.made("box")}
        visit.known["opened"] = visit.note("account", visit.told("account_add", body).get("id"))
    return str(visit.known["opened"])


def switch(visit: Visit) -> str:
    keys = visit.recall("accounts")
    visit.require("account_switch")
    if len(keys) < 2:
        raise IdleError("the test user has one account only")
    for key in (keys[1], keys[0]):
        active = visit.told("account_switch", {"id": key}).get("active")
        must(isinstance(active, dict) and active.get("id") == key, "another account is active")
    return ""


def mail(visit: Visit) -> str:
    """A mail to oneself, read and thrown away."""
    key = visit.recall("accounts")[0]
    visit.require("mail_send", "mail_read", "account_page")
    address = str(visit.told("account_page", account=key).get("email") or "")
    must(address, "the account shows no address")
    subject = f"{visit.person.mark} {time.time_ns()}"
    body = {"accountId": key, "to": address, "subject": subject, "text": "Sent by the smoke suite."}
    sent = visit.told("mail_send", body).get("messageId")
    if sent and visit.has("mail_delete"):
        visit.note("mail", sent)
    found = _arrived(visit, key, subject)
    if not visit.has("mail_delete"):
        return "the mail stays: the application has no route mail_delete"
    visit.forget("mail", visit.note("mail", found))
    return ""


def _arrived(visit: Visit, account: str, subject: str) -> str:
    deadline = time.monotonic() + _MAIL_SECONDS
    while True:
        for row in visit.rows("mail_read", "messages", account=account):
            if row.get("subject") == subject:
                return str(row.get("message_id") or "")
        must(time.monotonic() < deadline, f"the mail did not arrive within {_MAIL_SECONDS:g} s")
        time.sleep(_MAIL_PAUSE_SECONDS)


def old_rules(visit: Visit) -> str:
    """One that was there before is applied to a subject with its own word."""
    visit.require("rule_list", "rule_execute")
    for account in visit.recall("accounts"):
        for rule in visit.rows("rule_list", "rules", account=account):
            name, word = str(rule.get("name") or ""), _word_of(rule)
            if not word or name.startswith(visit.person.mark):
                continue
            must(name in _matched(visit, account, f"About {word}"), f"rule {name} does not apply any more")
            return name
    raise IdleError("the test user has no enabled rule with a word in quotes")


def _word_of(rule: Content) -> str:
    """The word in quotes by which an enabled rule matches."""
    if rule.get("enabled") is False:
        return ""
    parts = str(rule.get("instructions") or "").split("'")
    return parts[1] if len(parts) >= 3 else ""


def _matched(visit: Visit, account: str, subject: str) -> list[str]:
    found = visit.told("rule_execute", {"emailAccountId": account, "subject": subject}).get("matched")
    must(isinstance(found, list), "rule_execute does not tell what matched")
    return [str(name) for name in t.cast(t.List[t.Any], found)]


def new_rule(visit: Visit) -> str:
    visit.require("rule_add", "rule_list", "rule_delete")
    account = visit.recall("accounts")[0]
    name = visit.person.mark
    body = {
        "emailAccountId": account,
        "name": name,
        "instructions": f"Archive when the subject contains '{name}'",
    }
    key = visit.note("rule", visit.told("rule_add", body).get("id"))
    keys = [rule.get("id") for rule in visit.rows("rule_list", "rules", account=account)]
    must(key in keys, "the rule that was made is not listed")
    visit.known["rule"] = name
    return ""


def rules_run(visit: Visit) -> str:
    """The new rule applies where its word stands, and only there."""
    visit.require("rule_execute")
    name, account = visit.recall("rule"), visit.recall("accounts")[0]
    must(name in _matched(visit, account, f"About {name}"), "a rule does not apply where it should")
    must(name not in _matched(visit, account, "About something else"), "a rule applies where it should not")
    return ""


def subscription(visit: Visit) -> str:
    found = visit.reply("subscription", user=visit.recall("user"))
    must(found.status != 404, "the test user has no subscription; name one who has")
    must(200 <= found.status < 300, f"subscription answers {found.status}")
    tier = str(found.content.get("tier") or "")
    must(tier, "the subscription has no tier")
    if visit.has("billing_view") and "organization" in visit.known:
        shown = visit.told("billing_view").get("tier")
        must(shown == tier, f"the billing page shows {shown}, the subscription is {tier}")
    return tier
