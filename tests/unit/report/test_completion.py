# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a migration complete, and what a message may claim: only what is recorded."""

from __future__ import annotations

import datetime
import typing as t

import pytest
from unit.report.sample import NAMES, document, phase, without

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._report import (
    completion,
    conclusion,
    evidence,
)

NOW = "2030-05-07T04:00:00Z"


def states(of: dict[str, t.Any], names: t.Mapping[str, str] = NAMES) -> dict[str, str]:
    return {item.item: item.state for item in completion.judge(of, names, NOW)}


def open_items(of: dict[str, t.Any], names: t.Mapping[str, str] = NAMES) -> list[str]:
    return [item for item, state in states(of, names).items() if state == completion.OPEN]


def test_the_ten_items() -> None:
    assert len(completion.TEXTS) == 10
    assert list(states(document()).values()).count("proven") == 5
    assert list(states(document()).values()).count("confirmed") == 5


def test_nothing_is_complete_before_anything_happened() -> None:
    nothing = {**document(), "phases": [], "messages": [], "confirmations": []}
    assert open_items(nothing, {}) == list(completion.TEXTS)


@pytest.mark.parametrize("item", completion.BY_NAME)
def test_an_item_nobody_confirmed_is_open(item: str) -> None:
    for name in (None, "", "  "):
        assert open_items(document(), {**NAMES, item: t.cast(str, name)}) == [item]


@pytest.mark.parametrize(
    ("name", "items"),
    [
        ("verify", ["verification"]),
        ("deploy", ["acceptance"]),
        ("watch", ["error_rate", "response_times"]),
    ],
)
def test_what_a_phase_proves_is_open_without_it(name: str, items: list[str]) -> None:
    assert open_items(without(document(), name)) == items
    for state in ("in_progress", "failed"):
        bent = document()
        phase(bent, name)["state"] = state
        assert open_items(bent) == items


@pytest.mark.parametrize("verdict", ["breach", "inconclusive", ""])
def test_only_a_verdict_of_pass_proves(verdict: str) -> None:
    bent = document()
    phase(bent, "watch")["outcome"]["gate"]["verdict"] = verdict
    assert open_items(bent) == ["error_rate", "response_times"]


def test_a_figure_that_nobody_saw_proves_nothing() -> None:
    bent = document()
    servers = phase(bent, "watch")["outcome"]["gate"]["members"].values()
    sources = [source for server in servers for source in server.values()]
    for source in sources:
        source.pop("p95_ms", None)
    assert open_items(bent) == ["response_times"]
    for source in sources:
        source["error_percent"] = None
    assert open_items(bent) == ["error_rate", "response_times"]


def test_the_figure_shown_is_the_worst_of_all_servers_and_sources() -> None:
    items = {item.item: item for item in completion.judge(document(), NAMES, NOW)}
    assert items["error_rate"].found == "watch: pass, 0.064 % errors"
    assert items["response_times"].found == "watch: pass, 43 ms at p95"


def test_a_single_window_is_not_the_whole_watch() -> None:
    bent = document()
    phase(bent, "watch")["outcome"]["gate"] = {
        "verdict": "pass",
        "providers": {"access_log": {"error_percent": 0.1, "p95_ms": 50}},
        "windows": [{"window": 1, "error_percent": 11.1, "p95_ms": 900}],
    }
    items = {item.item: item for item in completion.judge(bent, NAMES, NOW)}
    assert items["error_rate"].found == "watch: pass, 0.1 % errors"


@pytest.mark.parametrize(
    ("smoke", "is_met"),
    [
        ({"passed": 19, "failed": 0}, True),
        ({"passed": 19, "failed": 1}, False),
        ({"passed": 0, "failed": 0}, False),
        (
            {
                "checks": [
                    {"name": "log_in", "state": "passed"},
                    {"name": "billing", "state": "not_applicable"},
                ]
            },
            True,
        ),
        ([{"name": "log_in", "state": "passed"}, {"name": "members", "state": "failed"}], False),
        ([{"name": "log_in", "state": "passed"}, {"name": "members", "state": "inconclusive"}], False),
        ([], False),
        ("fine", False),
        (None, False),
        ({"passed": "many"}, False),
    ],
)
def test_acceptance_is_what_the_smoke_suite_found(smoke: t.Any, is_met: bool) -> None:
    bent = document()
    phase(bent, "deploy")["outcome"] = {"hosts": {"app-1": {"smoke": smoke}}}
    assert (open_items(bent) == []) is is_met


def test_a_deployment_without_a_suite_is_accepted_by_name() -> None:
    bent = document()
    phase(bent, "deploy")["outcome"] = {}
    assert open_items(bent) == ["acceptance"]
    assert open_items(bent, {**NAMES, "acceptance": "Ada"}) == []
    phase(bent, "deploy")["outcome"] = {"smoke": {"passed": 18, "failed": 1}}
    assert open_items(bent, {**NAMES, "acceptance": "Ada"}) == ["acceptance"]


def test_a_rehearsal_waits_for_no_mail_and_for_all_else() -> None:
    bent = {**document(), "messages": []}
    found = {item.item: item.state for item in completion.judge(bent, {}, NOW, is_rehearsal=True)}
    assert found["post_migration_mail"] == "not_due"
    assert [item for item, state in found.items() if state == "open"] == list(completion.BY_NAME)


def test_only_a_rehearsal_may_have_served_nobody() -> None:
    bent = document()
    phase(bent, "watch")["outcome"] = {"gate": {"verdict": "not_applicable", "reasons": ["nobody"]}}
    phase(bent, "deploy")["outcome"] = {}
    watched = ["error_rate", "response_times", "acceptance"]
    assert open_items(bent) == watched
    found = {item.item: item.state for item in completion.judge(bent, NAMES, NOW, is_rehearsal=True)}
    assert [item for item, state in found.items() if state == "not_due"] == watched
    phase(bent, "watch")["outcome"]["gate"]["verdict"] = "inconclusive"
    found = {item.item: item.state for item in completion.judge(bent, NAMES, NOW, is_rehearsal=True)}
    assert [item for item, state in found.items() if state == "open"] == watched


def test_no_name_takes_the_place_of_a_proof() -> None:
    bent = without(document(), "verify")
    assert open_items(bent, {**NAMES, "verification": "Ada"}) == ["verification"]
    with pytest.raises(MigrationError, match="the journal has to prove it, a name cannot"):
        conclusion._refuse_unknown(bent, {"verification": "Ada"})


def test_a_mail_sent_by_other_means_is_confirmed_by_name() -> None:
    bent = document()
    bent["messages"] = []
    assert open_items(bent, {**NAMES, "post_migration_mail": "Ada"}) == ["post_migration_mail"]
    bent["messages"] = [{"name": "complete", "channel": "file", "sent_at": NOW}]
    assert open_items(bent) == ["post_migration_mail"]
    assert open_items(bent, {**NAMES, "post_migration_mail": "Ada"}) == []


def test_a_name_in_the_journal_stays() -> None:
    bent = document()
    bent["confirmations"].append(
        {"item": "documentation", "confirmed_by": "Edsger", "at": "2030-05-06T00:00:00Z"}
    )
    found = {item.item: item for item in completion.judge(bent, NAMES, NOW)}
    assert (found["documentation"].by, found["documentation"].at) == ("Edsger", "2030-05-06T00:00:00Z")
    assert "documentation" not in completion.new_confirmations(bent, NAMES)


def test_names_for_other_lists_are_left_alone() -> None:
    assert completion.new_confirmations(document(), {"rollback_plan": "Ada", "dashboards": "Ada"}) == {
        "dashboards": "Ada"
    }


def test_the_refusal_says_what_to_type() -> None:
    items = completion.judge(without(document(), "verify"), {"documentation": "Ada"}, NOW)
    refusal = str(conclusion.Conclusion(items, [], False).refusal("run#1"))
    assert refusal.startswith(
        "Cannot conclude run run#1: 5 of 10 items are open (every check of the data passed, "
    )
    assert "playbooks/verify.yml" in refusal
    assert '"team_training": "<your name>"' in refusal
    assert '"documentation"' not in refusal


def test_the_six_next_steps_are_due_in_7_and_30_days() -> None:
    now = datetime.datetime(2030, 5, 7, 4, tzinfo=datetime.timezone.utc)
    due = {step["step"]: step["due"] for step in completion.next_steps(now)}
    assert len(due) == 6
    assert due["monitor"] == "2030-05-14"
    assert due["cleanup"] == "2030-06-06"
    assert set(due.values()) == {"2030-05-14", "2030-06-06"}


def test_claims_follow_the_journal() -> None:
    found = evidence.claims(document())
    assert found == {**dict.fromkeys(found, True), "restored": False}
    nothing = evidence.claims({**document(), "phases": []})
    assert not any(nothing.values())


def test_a_premium_that_is_not_linked_forbids_the_claim() -> None:
    bent = document()
    phase(bent, "verify")["outcome"]["findings"].append(
        {"name": "premiums_without_owner", "count": 1, "ids": ["p-1"]}
    )
    assert not evidence.claims(bent)["subscriptions_linked"]
    assert evidence.claims(bent)["accounts_preserved"]


def test_an_event_proves_a_claim_and_a_restore_takes_it_back() -> None:
    bent = document()
    bent["events"].append(
        {
            "id": 9,
            "phase": "",
            "at": NOW,
            "kind": "event",
            "message": "",
            "detail": {"proves": "no_data_loss"},
        }
    )
    assert evidence.claims(bent)["no_data_loss"]
    restore = {
        "name": "restore",
        "state": "in_progress",
        "started_at": NOW,
        "finished_at": None,
        "error": None,
    }
    bent["phases"].append({**restore, "outcome": {"lost": {"since": "2030-05-07 02:00 UTC"}}})
    assert not evidence.claims(bent)["no_data_loss"]
    assert evidence.claims(bent)["restored"]
    assert evidence.writes_lost_since(bent) == "2030-05-07 02:00 UTC"


def test_the_time_of_a_snapshot_is_no_loss_without_a_restore() -> None:
    bent = document()
    phase(bent, "back_up")["outcome"]["snapshot_at"] = "2030-05-07 02:00 UTC"
    assert evidence.writes_lost_since(bent) == ""


def test_a_restore_that_failed_before_its_swap_restored_nothing_and_proves_nothing() -> None:
    bent = document()
    bent["events"].append(
        {
            "id": 9,
            "phase": "",
            "at": NOW,
            "kind": "event",
            "message": "",
            "detail": {"proves": "no_data_loss"},
        }
    )
    bent["phases"].append(
        {
            "name": "restore",
            "state": "failed",
            "started_at": NOW,
            "finished_at": NOW,
            "error": "x",
            "outcome": {},
        }
    )
    found = evidence.claims(bent)
    assert (found["restored"], found["no_data_loss"]) == (False, False)
