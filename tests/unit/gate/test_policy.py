# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of triggers and actions, line by line as the runbook and the design have it."""

from __future__ import annotations

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._gate import policy
from ansible_collections.emailai.migration.plugins.module_utils._gate.policy import Finding

# trigger, attended, unattended, when no more time is left to hold
TABLE = [
    ("error_rate_over_5", "roll_back", "roll_back"),
    ("connection_failures", "roll_back", "roll_back"),
    ("integrity", "roll_back", "roll_back"),
    ("critical_flow", "roll_back", "roll_back"),
    ("fatal_log", "roll_back", "roll_back"),
    ("error_rate_2_to_5", "ask", "roll_back"),
    ("slower_than_before", "ask", "hold"),
    ("complaints", "ask", "hold"),
    ("billing", "ask", "hold"),
    ("server_down", "ask", "hold"),
    ("error_rate_1_to_2", "ask", "hold"),
    ("slow", "ask", "hold"),
    ("connections_high", "ask", "hold"),
    ("alert", "hold", "hold"),
    ("inconclusive", "hold", "hold"),
]


def judge(*triggers: str, attended: bool = False, is_over: bool = True, **answers: str) -> policy.Judgement:
    findings = [Finding(trigger, f"because of {trigger}") for trigger in triggers]
    return policy.judge(findings, is_over, attended, policy.unattended_from(answers))


def test_every_trigger_is_in_this_table() -> None:
    assert {line[0] for line in TABLE} == set(policy.ACTIONS)


@pytest.mark.parametrize(("trigger", "attended", "unattended"), TABLE)
def test_a_trigger_and_its_action(trigger: str, attended: str, unattended: str) -> None:
    assert judge(trigger, attended=True).action == attended
    assert judge(trigger).action == unattended
    assert judge(trigger).trigger == trigger
    assert judge(trigger).verdict == ("inconclusive" if trigger == "inconclusive" else "breach")


@pytest.mark.parametrize("trigger", ["error_rate_1_to_2", "slow", "connections_high"])
def test_what_is_held_is_no_question_while_there_is_time(trigger: str) -> None:
    assert judge(trigger, attended=True, is_over=False).action == "hold"


def test_nothing_found_passes() -> None:
    assert judge() == policy.Judgement("pass", "pass", "", ())


def test_the_strongest_action_wins_and_all_reasons_stand() -> None:
    judgement = judge("inconclusive", "slow", "fatal_log", "billing")
    assert (judgement.verdict, judgement.action, judgement.trigger) == ("breach", "roll_back", "fatal_log")
    assert len(judgement.reasons) == 4
    assert judgement.reasons[0] == "because of fatal_log"


def test_a_breach_is_named_before_what_is_not_known() -> None:
    assert judge("inconclusive", "billing").trigger == "billing"


def test_unattended_answers_can_be_chosen() -> None:
    assert judge("billing", billing="roll_back").action == "roll_back"
    assert judge("error_rate_2_to_5", error_rate_2_to_5="hold").action == "hold"
    # A person who is there is asked, whatever the answers for when nobody is.
    assert judge("billing", attended=True, billing="roll_back").action == "ask"


@pytest.mark.parametrize(
    ("trigger", "action"),
    [("error_rate_over_5", "hold"), ("inconclusive", "roll_back"), ("billing", "pass"), ("nonsense", "hold")],
)
def test_what_is_no_question_cannot_be_answered(trigger: str, action: str) -> None:
    with pytest.raises(MigrationError, match=trigger):
        policy.unattended_from({trigger: action})


@pytest.mark.parametrize("action", ["roll_back", "hold", "ask"])
def test_a_refusal_names_trigger_reason_and_action(action: str) -> None:
    judgement = {"verdict": "breach", "action": action, "trigger": "slow", "reasons": ["it is slow"]}
    refusal = policy.refusal(judgement)
    assert refusal is not None
    said = f"Cannot go on with the rollout: slow: it is slow. Action: {action.replace('_', ' ')}"
    assert said in str(refusal)
    assert refusal.facts["kind"] == "gate"
    assert refusal.facts["action"] == action


def test_a_pass_is_not_refused() -> None:
    assert policy.refusal(judge().facts()) is None


def test_findings_survive_the_way_through_a_playbook() -> None:
    finding = Finding("slow", "it is", "log", "app-1", heals=False)
    assert policy.finding_from(finding.facts()) == finding
    with pytest.raises(MigrationError, match="nonsense"):
        policy.finding_from({"trigger": "nonsense", "reason": ""})
