# SPDX-License-Identifier: GPL-3.0-or-later
"""What each message must say, what it may claim, and that nothing unset gets out."""

from __future__ import annotations

import re
import typing as t
from html.parser import HTMLParser

import jinja2
import pytest
import yaml

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._message.letter import Letter, read_letter
from check.export import ROOT

ROLE = ROOT / "roles" / "announcement"
CONSTANTS = yaml.safe_load((ROLE / "vars" / "main.yml").read_text("utf-8"))
PLACEHOLDERS: dict[str, str] = CONSTANTS["_announcement_placeholders"]
CLAIMS: dict[str, bool] = CONSTANTS["_announcement_claims"]

FACTS = {
    "product": "EmailAI",
    "date": "2030-05-07",
    "start_time": "02:00 EST",
    "complete_time": "03:10 EST",
    "verified_time": "03:40 EST",
    "contact": "help@example.com",
    "status_url": "https://status.example.com",
    "organization_url": "https://app.example.com/organization",
    "invitation_url": "https://app.example.com/invite",
    "documentation_url": "https://docs.example.com/organizations",
    "support_url": "https://support.example.com",
    "writes_lost_since": "2030-05-07 01:55 UTC",
}

# What the runbook's four mails tell, in our words: each line is a fact that must be in the text.
CONTENT: dict[str, dict[str, str]] = {
    "scheduled": {
        "the day is in the subject": r"^Subject: .*2030-05-07",
        "what happens, and when": r"2030-05-07 at 02:00 EST",
        "the new model is multi-tenant, with organizations": r"multi-tenant.*organization",
        "no interruption is expected": r"expect no interruption",
        "features of organizations come afterwards": r"Once we are done.*new features for organizations",
        "existing data is preserved": r"All of your data stays",
        "performance may suffer slightly meanwhile": r"slightly longer",
        "when it begins": r"02:00 EST: we begin",
        "when it is done, as an estimate": r"03:10 EST: .*as far as we can tell",
        "when the checks are done": r"03:40 EST: our checks",
        "whom to write to": r"help@example\.com",
    },
    "reminder": {
        "it is tomorrow": r"Tomorrow",
        "when it begins": r"Tomorrow at 02:00 EST",
        "nothing is to be done, all is automatic": r"nothing you have to do; all of it happens by itself",
        "no change of billing in the window": r"Between 02:00 EST and 03:10 EST.*nothing in your billing",
        "where to report trouble": r"looks wrong, tell us: help@example\.com",
        "where to follow": r"https://status\.example\.com",
    },
    "started": {
        "it has begun": r"have begun",
        "the service stays up": r"stays available",
        "when it is done": r"03:10 EST",
        "no change of billing": r"change nothing in your billing",
        "where to report trouble": r"help@example\.com",
        "where to follow": r"https://status\.example\.com",
    },
    "updated": {
        "how it goes": r"goes on as planned",
        "when it is done": r"03:10 EST",
        "where to follow": r"https://status\.example\.com",
    },
    "complete": {
        "organizations are there, in the subject": r"^Subject: .*organizations.*complete",
        "it is done": r"has moved to organizations",
        "teams share accounts": r"✓ Work on shared e-mail accounts together with your team",
        "members and permissions": r"✓ Decide who is a member of your team and what each member may do",
        "billing by seats": r"✓ Billing by seats for teams",
        "accounts and rules are preserved": r"✓ Every e-mail account and every rule",
        "everybody has an organization": r"✓ You have an organization of your own",
        "subscriptions are linked": r"✓ If you have a subscription, it belongs to your organization",
        "link to the organization": r"https://app\.example\.com/organization",
        "link to invite": r"https://app\.example\.com/invite",
        "link to the documentation": r"https://docs\.example\.com/organizations",
        "answer, or support": r"Answer this mail or go to https://support\.example\.com",
        "thanks for the patience": r"Thank you for bearing with us",
    },
    "paused": {
        "paused and back, in the subject": r"^Subject: .*paused.*back to normal",
        "a problem was met": r"met a problem",
        "rolled back for stability": r"stable we went back",
        "services run": r"✓ All services are running",
        "no data lost": r"✓ No data was lost",
        "works as before": r"✓ Everything that worked before works again",
        "the cause is looked for": r"look for the cause",
        "a new date follows the fix": r"Once it is removed, we set a new date",
        "people will be told": r"We tell you the date",
        "apology": r"apologize",
    },
    "incident_opened": {
        "what": r"moving EmailAI to organizations",
        "since when": r"02:00 EST",
        "until when": r"03:10 EST",
    },
    "incident_updated": {"how it goes": r"goes on as planned", "until when": r"03:10 EST"},
    "incident_resolved": {"how it ended": r"is complete\."},
}  # fmt: skip

# The lines that make a claim, and the proof each of them needs.
CLAIMED = {
    ("complete", "shared_accounts"): "Work on shared",
    ("complete", "members_and_roles"): "Decide who",
    ("complete", "seat_billing"): "Billing by seats",
    ("complete", "accounts_preserved"): "Every e-mail account",
    ("complete", "organizations_made"): "You have an organization",
    ("complete", "subscriptions_linked"): "If you have a subscription",
    ("paused", "services_operational"): "All services are running",
    ("paused", "no_data_loss"): "No data was lost",
    ("paused", "previous_function"): "Everything that worked before",
}

ALL_PROVEN = {**dict.fromkeys(CLAIMS, True), "restored": False}


def render(
    template: str,
    facts: t.Optional[t.Mapping[str, t.Any]] = None,
    claims: t.Optional[t.Mapping[str, bool]] = None,
    **more: str,
) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROLE / "templates"), trim_blocks=True, undefined=jinja2.StrictUndefined
    )  # fmt: skip
    return environment.get_template(template).render(
        _announcement_fact={
            **PLACEHOLDERS,
            "writes_lost_since": "⟦writes_lost_since⟧",
            **(FACTS if facts is None else facts),
        },
        _announcement_claim={**CLAIMS, **(ALL_PROVEN if claims is None else claims)},
        **{"announcement_update": "", "announcement_name": "complete", **more},
    )


def letter(name: str, **options: t.Any) -> Letter:
    return read_letter(name, render(f"{name}.txt.j2", **options))


def test_every_template_is_held_by_the_table() -> None:
    assert {path.name.removesuffix(".txt.j2") for path in (ROLE / "templates").glob("*.txt.j2")} == set(
        CONTENT
    )


@pytest.mark.parametrize(
    ("name", "what"), [(name, what) for name, lines in CONTENT.items() for what in lines]
)
def test_a_message_says_what_it_must(name: str, what: str) -> None:
    text = render(f"{name}.txt.j2")
    assert re.search(CONTENT[name][what], text, re.MULTILINE | re.DOTALL), text


@pytest.mark.parametrize("name", CONTENT)
def test_every_message_is_a_letter(name: str) -> None:
    found = letter(name)
    assert len(found.subject) <= 100
    assert "\n\n\n" not in found.text
    assert not re.search(r"[{}⟦⟧]", found.text)


@pytest.mark.parametrize("name", CONTENT)
@pytest.mark.parametrize("fact", [name for name in FACTS if name not in ("product", "writes_lost_since")])
def test_what_is_not_set_is_refused_where_it_is_needed(name: str, fact: str) -> None:
    """Either the message does not mention it at all, or it is not sent without it."""
    facts = {key: value for key, value in FACTS.items() if key != fact}
    if FACTS[fact] in render(f"{name}.txt.j2"):
        with pytest.raises(MigrationError, match=rf"announcement_facts\.{fact}\b"):
            letter(name, facts=facts)
    else:
        letter(name, facts=facts)


@pytest.mark.parametrize(("name", "claim"), CLAIMED)
def test_a_claim_is_made_only_if_it_is_proven(name: str, claim: str) -> None:
    words = CLAIMED[name, claim]
    assert f"✓ {words}" in render(f"{name}.txt.j2", claims={claim: True})
    assert words not in render(f"{name}.txt.j2", claims={**ALL_PROVEN, claim: False})


def test_every_check_mark_is_held_by_the_table() -> None:
    for name in CONTENT:
        lines = [line for line in render(f"{name}.txt.j2").splitlines() if "✓" in line]
        assert len(lines) == sum(message == name for message, _claim in CLAIMED)
        assert "✓" not in render(f"{name}.txt.j2", claims={})


@pytest.mark.parametrize("name", ["complete", "paused"])
def test_nothing_proven_leaves_no_empty_heading(name: str) -> None:
    text = letter(name, claims={}).text
    for heading in ("What is new", "What became of your data", "Where things stand"):
        assert heading not in text


def test_going_back_is_said_only_if_it_happened() -> None:
    text = render("paused.txt.j2", claims={})
    assert "went back" not in text
    assert "back to normal" not in text
    assert "we have stopped the move" in text


def test_after_a_restore_the_message_names_what_is_lost() -> None:
    text = render("paused.txt.j2", claims={**ALL_PROVEN, "restored": True})
    assert "What was written since 2030-05-07 01:55 UTC is lost" in text
    assert "No data was lost" not in text


def test_after_a_restore_the_time_has_to_be_known() -> None:
    facts = {key: value for key, value in FACTS.items() if key != "writes_lost_since"}
    with pytest.raises(MigrationError, match="writes_lost_since is not set"):
        letter("paused", facts=facts, claims={**ALL_PROVEN, "restored": True})


def test_the_status_page_tells_of_a_restore_too() -> None:
    text = render("incident_resolved.txt.j2", claims={"restored": True}, announcement_name="paused")
    assert "is paused" in text
    assert "since 2030-05-07 01:55 UTC is lost" in text
    assert "still checking" in text
    assert "All services" in render("incident_resolved.txt.j2", announcement_name="paused")


@pytest.mark.parametrize("name", ["updated", "incident_updated"])
def test_an_update_says_what_it_is_given(name: str) -> None:
    assert "Half of the servers are done." in render(
        f"{name}.txt.j2", announcement_update="Half of the servers are done."
    )


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str | None] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_maintenance_page_says_what_until_when_and_where_to_look() -> None:
    page = _Reader()
    page.feed(render("maintenance.html.j2"))
    assert "maintenance" in page.text
    assert "organizations" in page.text
    assert "03:10 EST" in page.text
    assert page.links == ["https://status.example.com"]
    assert "status.example.com" in page.text


def test_the_maintenance_page_escapes_what_it_is_given() -> None:
    page = _Reader()
    page.feed(
        render(
            "maintenance.html.j2",
            facts={**FACTS, "complete_time": "<script>x</script>", "status_url": 'https://a/"><b>'},
        )
    )
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert page.links == ['https://a/"><b>']
