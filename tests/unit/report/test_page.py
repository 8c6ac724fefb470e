# SPDX-License-Identifier: GPL-3.0-or-later
"""The report: everything is in it, nothing hostile gets through, nothing secret stays in."""

from __future__ import annotations

import html
import json
import re
import typing as t
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.report.sample import RUN, document, phase

from ansible_collections.emailai.migration.plugins.module_utils._report import clock, junit, page, writing
from ansible_collections.emailai.migration.plugins.module_utils._report.html import Html, el, join
from ansible_collections.emailai.migration.plugins.module_utils._report.redact import redact
from ansible_collections.emailai.migration.plugins.module_utils._report.story import Story, tell
from ansible_collections.emailai.migration.plugins.module_utils._report.way_back import ways_back

HOSTILE = "<script>alert(1)</script>\"'&</td>\x00\ud800"

# What an operator looks for in the page.
CONTENTS = {
    "the run and where it stands": [RUN, "concluding", "emailai_prod", "ada"],
    "phases on a time axis": ["Phases on a time axis", "6 m 45 s"],
    "progress": ["1,250", "batches"],
    "checks with figures": ["users without organization", "Seats are what the members are"],
    "findings with ids": ["org-17, org-23", "--tags billing", "org-99", "twins"],
    "rows set aside": ["acc-9", "23503"],
    "backup and its proof": ["emailai_prod_backup_20300507", "<b>proven</b>", "restored on", "staging-db"],
    "hosts with versions": ["app-4", "v1.9.0", "v2.0.0-orgs", "PostgreSQL 18.6"],
    "predicted against actual": ["organizations", "1.01"],
    "gate figures": ["0.064", "48,120", "p95 ms"],
    "baseline": ["Baseline service", "4120"],
    "journal": ["replica lag 4 s"],
    "checklist, by what and by whom": ["phase verify completed", "team notified", "Grace Hopper"],
    "how to go back": ["ansible-playbook playbooks/roll_back.yml -l prod", "playbooks/restore.yml"],
    "messages": ["2030-05-07 03:55:01"],
    "the service during the run": ["Latency and failed answers", "p95 88 ms"],
}

LOAD = {
    "requests": 1000,
    "windows": [
        {"at": "2030-05-07T02:10:00Z", "requests": 500, "failed": 0, "p95_ms": 40},
        {"at": "2030-05-07T02:30:00Z", "requests": 500, "failed": 3, "p95_ms": 88},
        {"at": "2030-05-07T02:40:00Z", "requests": 0, "failed": None, "p95_ms": None},
    ],
}


class Reader(HTMLParser):
    """Reads a page as a browser would, as far as it matters here."""

    VOID: t.ClassVar = {"meta", "br", "hr", "rect", "line", "polyline"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.addresses: list[str | None] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        self.addresses += [
            value for name, value in attrs if name in ("href", "src", "srcset", "action", "data")
        ]
        assert not [name for name, _value in attrs if name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open[-1] in self.VOID and self.open[-1] != tag:
            self.open.pop()
        assert self.open.pop() == tag


def story(**options: t.Any) -> Story:
    return tell(document(), hosts=[{"name": "app-1", "kind": "app"}], load=LOAD, limit="-l prod", **options)


@pytest.mark.parametrize("what", CONTENTS)
def test_the_page_holds(what: str) -> None:
    text = page.render(story())
    for words in CONTENTS[what]:
        assert words in text


def test_the_page_is_whole_and_needs_nothing_else() -> None:
    text = page.render(story())
    reader = Reader(text)
    assert reader.open == []
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(reader.tags)
    assert reader.addresses == []
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in html.unescape(text)
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def hostile(value: t.Any) -> t.Any:
    """Every text of a document replaced by something hostile; times stay readable."""
    if isinstance(value, dict):
        return {name: inner if name in _KEPT else hostile(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [hostile(inner) for inner in value]
    return HOSTILE if isinstance(value, str) else value


_KEPT = {"started_at", "finished_at", "updated_at", "at", "sent_at", "taken_at"}


def test_nothing_hostile_gets_through() -> None:
    bent = hostile(document())
    bent["phases"][1]["outcome"] = {
        HOSTILE: {HOSTILE: [HOSTILE]},
        "checks": [{HOSTILE: HOSTILE, "name": HOSTILE}],
    }
    told = tell(bent, hosts=[{HOSTILE: HOSTILE}], load={HOSTILE: HOSTILE}, limit=HOSTILE)
    text = page.render(told)
    reader = Reader(text)
    assert "script" not in reader.tags
    assert reader.open == []
    text.encode("utf-8")
    ElementTree.fromstring(junit.render(told).encode("utf-8"))


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=12,
))  # fmt: skip
def test_any_outcome_makes_a_page(outcome: t.Any) -> None:
    bent = document()
    phase(bent, "verify")["outcome"] = {
        "checks": outcome,
        "findings": [outcome],
        "predicted": outcome,
        "smoke": outcome,
        "providers": outcome,
    }
    phase(bent, "watch")["outcome"] = outcome if isinstance(outcome, dict) else {"verdict": outcome}
    told = tell(bent)
    Reader(page.render(told))
    ElementTree.fromstring(junit.render(told).encode("utf-8"))


@pytest.mark.parametrize(
    "part", ["phases", "events", "progress", "messages", "baselines", "artifacts", "quarantine"]
)
def test_a_run_that_has_not_come_so_far_has_a_page_too(part: str) -> None:
    bent = document()
    bent[part] = []
    assert RUN in page.render(tell(bent))


def test_a_builder_escapes_everything_but_its_own() -> None:
    assert join(["<a>", Html("<b>"), 3, None]) == "&lt;a&gt;<b>3"
    assert el("p", '"', class_='"x') == '<p class="&quot;x">&quot;</p>'
    with pytest.raises(ValueError, match="not a name of an attribute"):
        el("p", **{"a b": "x"})


def test_secrets_and_addresses_are_removed() -> None:
    known = {
        "login_url": "postgresql://owner:s3cret@db/emailai",
        "password": "s3cret",
        "api_key": "s3cret",
        "nested": [{"Authorization": "s3cret"}, "password=s3cret host=db", "mail to jane@example.com"],
        "error": "duplicate key value: Key (email)=(jane@example.com) already exists",
        "other": 'Key ("userId", x)=(a, b) is not present in table "users".',
        "passwords_checked": 7,
        "row": "user-17",
    }
    text = json.dumps(redact(known))
    assert "s3cret" not in text
    assert "jane" not in text
    assert "(a, b)" not in text
    assert "user-17" in text
    assert redact(known)["passwords_checked"] == 7
    assert redact(known)["login_url"] == "postgresql://[removed]@db/emailai"


def test_the_page_redacts_whatever_it_is_given() -> None:
    bent = document()
    bent["events"][0]["message"] = "connected to postgresql://u:s3cret@db/x for jane@example.com"
    told = tell(bent, hosts=[{"token": "s3cret"}], load={"secret": "s3cret"})
    for text in (page.render(told), json.dumps(told.as_document()), junit.render(told)):
        assert "s3cret" not in text
        assert "jane" not in text


def test_junit_tells_what_failed() -> None:
    bent = document()
    phase(bent, "watch").update(state="failed", error="p95 <900 ms>")
    phase(bent, "verify")["outcome"]["checks"].append(
        {"name": "wrong_links", "state": "inconclusive", "count": None}
    )
    root = ElementTree.fromstring(junit.render(tell(bent)).encode("utf-8"))
    suites = {suite.get("name"): suite for suite in root}
    failures = {
        case.get("name"): case[0].get("message")
        for case in root.iter("testcase")
        if case.find("failure") is not None
    }
    assert failures == {"watch": "p95 <900 ms>", "verify: wrong_links": "inconclusive, count None"}
    assert (suites["phases"].get("tests"), suites["phases"].get("failures")) == ("9", "1")
    assert suites["checks"].get("skipped") == "1"
    assert suites["completion"].get("tests") == "10"


def test_the_same_run_makes_the_same_files() -> None:
    first, second = (writing.files(story(), "reports", "x") for _ignored in range(2))
    assert first == second
    assert json.loads(first["json"][1])["as_of"] == "2030-05-07T03:55:01.000000Z"


def test_a_run_is_a_file_name() -> None:
    assert writing.stem(RUN) == "v1.9.0..v2.0.0-orgs-1"
    assert writing.stem("../../x", "db 2") == "x-db-2"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.96, "10.0 s"),
        (12, "12 s"),
        (59.7, "1 m 00 s"),
        (187, "3 m 07 s"),
        (3599.6, "1 h 00 m"),
        (7500, "2 h 05 m"),
        (273600, "3 d 4 h"),
        (None, "\u2013"),
    ],
)
def test_durations_read_well(seconds: float | None, text: str) -> None:
    assert clock.duration(seconds) == text


def test_the_way_back_is_as_long_as_the_way_was() -> None:
    assert ways_back("prepare")[0].command == ""
    assert "schema" in ways_back("expand")[0].command
    assert "data" in ways_back("move")[0].command
    assert ways_back("deploy")[0].command == "playbooks/roll_back.yml"
    assert [way.command for way in ways_back("contract")] == ["playbooks/restore.yml"]


def test_every_command_on_the_page_is_a_playbook_of_ours() -> None:
    from check.export import ROOT

    for name in re.findall(r"playbooks/\w+\.yml", page.render(story())):
        assert (ROOT / name).is_file()
