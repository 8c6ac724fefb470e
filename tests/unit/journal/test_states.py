# SPDX-License-Identifier: GPL-3.0-or-later
"""The state machine of a run: what may never happen, whatever an operator tries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._journal import states

WALKS = st.lists(st.sampled_from(sorted(states.STATES)), max_size=60)


def walk(wishes: list[str]) -> list[str]:
    """Follow each wish that an arrow allows, from the first state on."""
    seen = ["planned"]
    for wish in wishes:
        if wish != seen[-1] and states.may(seen[-1], wish):
            seen.append(wish)
    return seen


def reachable(start: str) -> set[str]:
    found, frontier = {start}, [start]
    while frontier:
        here = frontier.pop()
        for before, after in states.ARROWS:
            if before == here and after not in found:
                found.add(after)
                frontier.append(after)
    return found


def test_each_arrow_joins_known_states_and_says_why() -> None:
    for (before, after), arrow in states.ARROWS.items():
        assert {before, after} <= set(states.STATES)
        assert before != after
        assert arrow.why.endswith(".")


def test_each_state_says_what_is_true_in_it() -> None:
    assert all(text.endswith(".") for text in states.STATES.values())


def test_each_state_can_be_reached() -> None:
    assert reachable("planned") == set(states.STATES)


def test_only_contract_has_no_way_on() -> None:
    assert set(states.STATES) - {before for before, _after in states.ARROWS} == {"contracted"}


def test_everything_before_contract_can_be_taken_back() -> None:
    for state in set(states.STATES) - {"contracted"}:
        assert "rolled_back" in reachable(state), state
    assert reachable("contracted") == {"contracted"}


def test_only_a_concluded_run_is_contracted() -> None:
    assert {before for before, after in states.ARROWS if after == "contracted"} == {"concluded"}


def test_only_the_last_phase_concludes() -> None:
    assert {before for before, after in states.ARROWS if after == "concluded"} == {"concluding"}


def test_what_was_taken_back_or_given_up_never_goes_forward() -> None:
    for state in ("rolling_back", "rolled_back", "abandoned"):
        assert not any(states.may(state, working) for working in states.WORKING)


@given(WALKS)
def test_the_working_states_never_go_backwards(wishes: list[str]) -> None:
    """But for a failed or paused run, which comes back to a phase that the decision chooses."""
    seen = walk(wishes)
    for before, after in zip(seen, seen[1:], strict=False):
        if before in states.WORKING and after in states.WORKING:
            assert states.WORKING.index(after) > states.WORKING.index(before)


@given(WALKS)
def test_a_finished_run_only_moves_by_contract_or_the_way_back(wishes: list[str]) -> None:
    seen = walk(wishes)
    for before, after in zip(seen, seen[1:], strict=False):
        if states.is_finished(before):
            assert after in ("contracted", "rolling_back")


def test_each_phase_has_a_budget_and_says_whether_it_may_be_stopped() -> None:
    for phase in states.PHASES.values():
        assert phase.budget_seconds >= states.BUDGET_SECONDS
        assert phase.stopping.endswith(".")
        assert set(phase.requires) <= set(states.PHASES)
        assert phase.state in {"", *states.STATES}


def test_a_phase_builds_only_on_earlier_ones() -> None:
    order = list(states.FORWARD)
    for name in order:
        assert all(order.index(needed) < order.index(name) for needed in states.PHASES[name].requires)
    assert set(states.PHASES["expand"].requires) == {"prepare", "back_up", "rehearse"}


def test_the_phases_are_the_runbooks_in_its_order() -> None:
    assert states.FORWARD == (
        "prepare", "back_up", "rehearse", "expand", "move", "verify", "deploy", "watch", "conclude",
    )  # fmt: skip
