# SPDX-License-Identifier: GPL-3.0-or-later
"""What opening, closing and failing a phase decide, without a database."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import decide, states
from ansible_collections.emailai.migration.plugins.module_utils._journal.decide import Asked, Decision
from ansible_collections.emailai.migration.plugins.module_utils._journal.view import Pair, PhaseRow, Run, View

PAIR = Pair("v1", "v2", "digest-of-the-map")
NOON = datetime.datetime(2026, 3, 2, 12, tzinfo=datetime.timezone.utc)


def a_run(state: str, number: int = 1, pair: Pair = PAIR) -> Run:
    name = states.run_name(pair.before, pair.after, number)
    finished = NOON if states.is_finished(state) else None
    return Run(name, number, pair.before, pair.after, pair.map_digest, state, "ada", "lap", NOON, finished)


def a_row(name: str, state: str = "completed", minutes: int = 0, **more: t.Any) -> PhaseRow:
    return PhaseRow(name, state, NOON + datetime.timedelta(minutes=minutes), NOON, **more)


def a_view(run: Run, *rows: PhaseRow, wanted: str = "run") -> View:
    return View((run,), {run.id: rows}, wanted, "joe")


def through(*names: str) -> tuple[PhaseRow, ...]:
    return tuple(a_row(name, minutes=n) for n, name in enumerate(names))


def opened(view: View, phase: str, **more: t.Any) -> Decision:
    return decide.open_phase(view, Asked(phase, PAIR, **more))


def refusal(view: View, phase: str, **more: t.Any) -> str:
    with pytest.raises(MigrationError) as caught:
        opened(view, phase, **more)
    return str(caught.value)


def test_the_first_phase_begins_the_first_run() -> None:
    assert opened(View(), "prepare") == Decision("v1..v2#1", 1, "preparing", creates=True)


def test_a_phase_that_builds_on_others_begins_no_run_and_names_the_playbooks() -> None:
    said = refusal(View(), "expand")
    assert "builds on prepare, back_up, rehearse" in said
    assert "playbooks/prepare.yml, playbooks/back_up.yml, playbooks/rehearse.yml" in said


@pytest.mark.parametrize("phase", states.FORWARD[1:])
def test_each_phase_waits_for_the_one_before_it(phase: str) -> None:
    done = states.FORWARD[: states.FORWARD.index(phase)]
    before = a_run(states.PHASES[done[-1]].state)
    assert opened(a_view(before, *through(*done)), phase).run_state == states.PHASES[phase].state
    assert f"builds on {done[-1]}" in refusal(a_view(before, *through(*done[:-1])), phase)


def test_a_waived_phase_is_neither_required_nor_opened() -> None:
    view = a_view(a_run("backing_up"), *through("prepare", "back_up"))
    assert opened(view, "expand", without=("rehearse",)).proceed
    skipped = opened(view, "rehearse", without=("rehearse",))
    assert not skipped.proceed
    assert not skipped.writes


def test_a_completed_phase_is_skipped() -> None:
    decision = opened(a_view(a_run("moving"), *through("prepare")), "prepare")
    assert not decision.proceed
    assert not decision.writes
    assert "was completed at 2026-03-02 12:00:00 UTC" in decision.text


def test_a_completed_phase_done_again_leaves_the_journal_as_it_is() -> None:
    decision = opened(a_view(a_run("moving"), *through("prepare")), "prepare", again=True)
    assert decision.proceed
    assert not decision.writes


@pytest.mark.parametrize("phase", states.FORWARD)
def test_a_concluded_run_has_nothing_to_do(phase: str) -> None:
    decision = opened(a_view(a_run("concluded"), *through(*states.FORWARD)), phase)
    assert not decision.proceed
    assert not decision.writes
    assert decision.text == "nothing to do: run v1..v2#1 concluded at 2026-03-02 12:00:00 UTC"


@pytest.mark.parametrize("state", ["rolled_back", "abandoned"])
def test_after_a_way_back_the_next_number_begins(state: str) -> None:
    decision = opened(a_view(a_run(state, 3)), "prepare")
    assert (decision.run_id, decision.creates) == ("v1..v2#4", True)


def test_what_the_run_before_completed_does_not_count_for_the_next() -> None:
    assert "builds on" in refusal(a_view(a_run("rolled_back"), *through("prepare", "back_up")), "rehearse")


@pytest.mark.parametrize("state", ["in_progress", "failed"])
def test_an_interrupted_phase_goes_on_and_none_passes_it(state: str) -> None:
    run = a_run("failed" if state == "failed" else "expanding")
    view = a_view(run, *through("prepare", "back_up", "rehearse"), a_row("expand", state, 9))
    decision = opened(view, "expand")
    assert (decision.run_state, decision.phase_state_before) == ("expanding", state)
    assert "Run playbooks/expand.yml again first" in refusal(view, "move")


def test_other_releases_wait_for_an_unfinished_run_and_hear_of_it() -> None:
    other = a_run("moving", pair=Pair("v2", "v3"))
    said = refusal(a_view(other), "prepare")
    assert "run v2..v3#1 is not finished (moving, ada on lap since 2026-03-02 12:00:00 UTC)" in said
    assert "playbooks/roll_back.yml" in said


def test_other_releases_begin_beside_a_finished_run() -> None:
    assert opened(a_view(a_run("concluded", pair=Pair("v0", "v1"))), "prepare").creates


LATER = Pair("v2", "v3", "digest-of-the-map")


def after_it(state: str, *rows: PhaseRow, migration: str = "concluded") -> View:
    """A migration, and after it a run of another pair."""
    first, second = a_run(migration), a_run(state, pair=LATER)
    return View((first, second), {first.id: through(*states.FORWARD), second.id: rows}, "run", "joe")


def asked(view: View, phase: str, pair: Pair = LATER, **more: t.Any) -> Decision:
    return decide.open_phase(view, Asked(phase, pair, **more))


@pytest.mark.parametrize("migration", ["concluded", "contracted"])
def test_a_later_release_needs_none_of_the_phases_of_the_data(migration: str) -> None:
    view = a_view(a_run(migration), *through(*states.FORWARD))
    assert asked(view, "deploy") == Decision("v2..v3#1", 1, "deploying", creates=True)
    assert decide.is_release(view, LATER)
    assert not decide.is_release(view, PAIR)


@pytest.mark.parametrize("migration", ["watching", "failed", "rolled_back", "abandoned"])
def test_before_the_migration_is_concluded_no_release_goes_alone(migration: str) -> None:
    with pytest.raises(MigrationError):
        asked(a_view(a_run(migration), *through(*states.FORWARD)), "deploy")


def test_the_releases_of_a_migration_and_its_own_phases_are_no_later_release() -> None:
    view = a_view(a_run("concluded"), *through(*states.FORWARD))
    with pytest.raises(MigrationError, match="builds on verify"):
        asked(view, "deploy", Pair("v1", "v3"))
    # Nor after a second migration: only its own releases lead on.
    both = View((a_run("concluded"), a_run("concluded", pair=LATER)),
                {one: through(*states.FORWARD) for one in ("v1..v2#1", "v2..v3#1")})  # fmt: skip
    assert not decide.is_release(both, Pair("v1", "v4"))
    assert decide.is_release(both, Pair("v3", "v4"))
    # A second migration is one with all of its phases.
    for phase in states.DATA[1:]:
        with pytest.raises(MigrationError, match="builds on"):
            asked(view, phase)
    begun = after_it("preparing", *through("prepare"))
    assert not decide.is_release(begun, LATER)
    with pytest.raises(MigrationError, match="builds on verify"):
        asked(begun, "deploy")


def test_a_release_that_is_out_holds_nobody_up_and_one_that_is_not_does() -> None:
    third = Pair("v3", "v4", "digest-of-the-map")
    for rows in (("deploy",), ("deploy", "watch")):
        assert asked(after_it("watching", *through(*rows)), "deploy", third).creates
    for state, rows in (
        ("failed", (a_row("deploy", "failed"),)),
        ("deploying", (a_row("deploy", "in_progress"),)),
        ("rolling_back", (*through("deploy"), a_row("roll_back", "in_progress", 9))),
        ("watching", (*through("deploy"), a_row("watch", "failed", 9))),
    ):
        with pytest.raises(MigrationError, match=r"run v2\.\.v3#1 is not finished"):
            asked(after_it(state, *rows), "deploy", third)


def test_a_later_release_is_taken_back_and_the_data_is_not() -> None:
    view = after_it("watching", *through("deploy", "watch"))
    assert asked(view, "roll_back", scope="code").run_state == "rolling_back"
    for phase, scope in (("roll_back", "data"), ("roll_back", "schema"), ("restore", "")):
        with pytest.raises(MigrationError, match="it only exchanged the release"):
            asked(view, phase, scope=scope)


def test_only_the_migration_is_contracted() -> None:
    view = after_it("concluded", *through("deploy", "watch", "conclude"))
    with pytest.raises(MigrationError, match="it only exchanged the release"):
        asked(view, "contract", confirmed_by="Ada", retention_days=0)


def test_another_map_is_refused_but_for_the_way_back() -> None:
    view = a_view(dataclasses.replace(a_run("moving"), map_digest="another"))
    assert "another model map" in refusal(view, "verify")
    assert opened(view, "roll_back").proceed


def test_a_paused_run_is_not_gone_on_with_but_may_be_taken_back() -> None:
    view = a_view(a_run("paused"), *through("prepare"), wanted="pause")
    assert "joe paused it" in refusal(view, "back_up")
    assert opened(view, "roll_back").proceed


@pytest.mark.parametrize("state", ["moving", "failed", "paused", "concluded", "abandoned", "rolled_back"])
@pytest.mark.parametrize("way", states.WAYS_BACK)
def test_everything_before_contract_goes_back(state: str, way: str) -> None:
    assert opened(a_view(a_run(state)), way).run_state == "rolling_back"


def test_what_was_contracted_does_not_go_back() -> None:
    assert "only the backup has" in refusal(a_view(a_run("contracted")), "roll_back")


def test_without_a_run_there_is_nothing_to_take_back() -> None:
    assert not opened(View(), "roll_back").proceed


def test_a_way_back_walked_again_looks_again_and_notes_nothing() -> None:
    view = a_view(a_run("rolled_back"), a_row("roll_back", outcome={"scope": "code"}))
    same = opened(view, "roll_back", scope="code")
    assert (same.proceed, same.writes) == (True, False)
    deeper = opened(view, "roll_back", scope="data")
    assert (deeper.writes, deeper.run_state) == (True, "rolling_back")


def test_nothing_goes_forward_while_a_run_goes_back() -> None:
    view = a_view(a_run("failed"), *through("prepare"), a_row("roll_back", "failed", 9))
    assert "Run playbooks/roll_back.yml again first" in refusal(view, "back_up")


def test_a_repair_fits_everywhere_and_holds_nobody_up() -> None:
    failed = a_row("repair", "failed", 9)
    assert opened(a_view(a_run("concluded")), "repair").run_state == "concluded"
    assert opened(View(), "repair").run_state == "planned"
    assert opened(a_view(a_run("moving"), *through("prepare", "expand", "move"), failed), "verify").proceed


@pytest.mark.parametrize("state", ["failed", "in_progress"])
@pytest.mark.parametrize("way", states.WAYS_BACK)
def test_nothing_is_done_already_while_the_way_back_is_not_finished(state: str, way: str) -> None:
    """A fleet on the old release must not hear that there is nothing to do."""
    rows = (*through(*states.FORWARD), a_row(way, state, 60))
    view = a_view(a_run("failed" if state == "failed" else "rolling_back"), *rows)
    for phase in states.FORWARD:
        assert f"Run playbooks/{way}.yml again first" in refusal(view, phase)
    assert opened(view, way).proceed


def later(days: float) -> View:
    """A concluded run, so many days after its end."""
    return dataclasses.replace(a_view(a_run("concluded")), now=NOON + datetime.timedelta(days=days))


def test_contract_follows_conclude_and_nothing_else() -> None:
    assert "is moving, not concluded" in refusal(a_view(a_run("moving")), "contract")
    assert opened(later(30), "contract", confirmed_by="Cleo").run_state == "concluded"
    assert not opened(a_view(a_run("contracted")), "contract").proceed


@pytest.mark.parametrize(("days", "retention"), [(0, 30), (29.999, 30), (0, 0.001)])
def test_contract_waits_for_as_long_as_the_way_back_is_kept(days: float, retention: float) -> None:
    said = refusal(later(days), "contract", retention_days=retention, confirmed_by="Cleo")
    assert "concluded at 2026-03-02 12:00:00 UTC (begun by ada on lap)" in said
    assert f"kept for {retention:g} days" in said
    assert ("on 2026-04-01 12:00:00 UTC at the earliest" in said) == (retention == 30)


def test_an_unknown_end_or_clock_is_no_end_of_the_wait() -> None:
    unknown = dataclasses.replace(a_run("concluded"), finished_at=None)
    view = dataclasses.replace(a_view(unknown), now=NOON + datetime.timedelta(days=400))
    assert "an unknown time" in refusal(view, "contract", confirmed_by="Cleo")
    assert "is kept for 30 days" in refusal(a_view(a_run("concluded")), "contract", confirmed_by="Cleo")


def test_contract_takes_a_name() -> None:
    for nobody in ("", "  "):
        said = refusal(later(31), "contract", confirmed_by=nobody)
        assert "no way back from it but the backup, and nobody confirmed it by name" in said
        assert '"contract": "..."' in said


@pytest.mark.parametrize(
    ("phase", "state", "after"),
    [
        ("conclude", "concluding", "concluded"),
        ("roll_back", "rolling_back", "rolled_back"),
        ("restore", "rolling_back", "rolled_back"),
        ("contract", "concluded", "contracted"),
        ("move", "moving", "moving"),
        ("repair", "concluded", "concluded"),
    ],
)
def test_closing_ends_the_run_where_the_phase_does(phase: str, state: str, after: str) -> None:
    assert decide.close_phase(a_run(state), a_row(phase, "in_progress"), phase, {}) == after


def test_closing_twice_writes_once() -> None:
    row = a_row("move", outcome={"rows": 1, "scope": ""})
    assert decide.close_phase(a_run("moving"), row, "move", {"rows": 1}) is None
    assert decide.close_phase(a_run("moving"), row, "move", {}) is None
    assert decide.close_phase(a_run("moving"), row, "move", {"rows": 2}) == "moving"


def test_a_way_back_that_is_looked_at_again_keeps_what_it_took_back() -> None:
    row = a_row("roll_back", outcome={"unlinked": {"Rule": 7}, "connections": "5 of 100", "scope": "data"})
    again = {"unlinked": {}, "connections": "6 of 100", "scope": "data"}
    assert decide.close_phase(a_run("rolled_back"), row, "roll_back", again) is None


def test_what_was_never_opened_or_given_up_is_not_closed() -> None:
    with pytest.raises(MigrationError, match="never opened"):
        decide.close_phase(a_run("moving"), None, "move", {})
    with pytest.raises(MigrationError, match="was abandoned"):
        decide.close_phase(a_run("abandoned"), a_row("move", "in_progress"), "move", {})


@pytest.mark.parametrize(
    ("state", "row", "after"),
    [
        ("moving", "in_progress", "failed"),
        ("concluded", "completed", None),
        ("concluded", "in_progress", "concluded"),
        ("abandoned", "in_progress", "abandoned"),
    ],
)
def test_failing_touches_only_a_run_under_way(state: str, row: str, after: str | None) -> None:
    assert decide.fail_phase(a_run(state), a_row("contract", row)) == after


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        ((), "planned"),
        (through("prepare", "back_up"), "backing_up"),
        ((*through("prepare"), a_row("back_up", "in_progress", 9)), "backing_up"),
        ((*through("prepare"), a_row("back_up", "failed", 9)), "failed"),
        ((*through("prepare"), a_row("repair", "failed", 9)), "preparing"),
    ],
)
def test_a_resumed_run_comes_back_to_where_it_was(rows: tuple[PhaseRow, ...], state: str) -> None:
    run = a_run("paused")
    assert decide.control(a_view(run, *rows), run, "run") == state
    assert states.may("paused", state)


def test_control_leaves_finished_runs_alone() -> None:
    for state in (*states.FINISHED, "rolling_back"):
        assert decide.control(a_view(a_run(state)), a_run(state), "pause") is None


ACTS = st.tuples(
    st.sampled_from(["open", "close", "fail", "pause", "run", "abort"]), st.sampled_from(list(states.PHASES))
)


@settings(max_examples=300)
@given(st.lists(ACTS, max_size=40))
def test_whatever_is_tried_a_run_moves_only_along_its_arrows(acts: list[tuple[str, str]]) -> None:
    """A small journal in memory, and an operator who tries everything in any order."""
    world = View()
    for act, phase in acts:
        before = world.latest(PAIR)
        world = _apply(world, act, phase)
        after = world.latest(PAIR)
        if before is not None and after is not None and before.id == after.id:
            assert states.may(before.state, after.state)
        unfinished = [run for run in world.runs if not run.is_finished]
        assert len(unfinished) <= 1
        for run in world.runs:
            if run.state == "concluded":
                done = {row.name for row in world.phases[run.id] if row.state == "completed"}
                assert set(states.FORWARD) <= done


def _apply(world: View, act: str, phase: str) -> View:
    try:
        if act == "open":
            return _open(world, phase)
        run = world.latest(PAIR)
        if run is None:
            return world
        row = world.phase(run.id, phase)
        if act == "close":
            state = decide.close_phase(run, row, phase, {}) if row and row.state == "in_progress" else None
            return _write(world, run, state, phase, "completed")
        if act == "fail":
            state = decide.fail_phase(run, row) if row and row.state == "in_progress" else None
            return _write(world, run, state, phase, "failed")
        changed = _write(world, run, decide.control(world, run, act), "", "")
        return dataclasses.replace(changed, wanted=act)
    except MigrationError:
        return world


def _open(world: View, phase: str) -> View:
    decision = opened(world, phase)
    if not decision.proceed or not decision.writes:
        return world
    if decision.creates:
        run = a_run(decision.run_state, decision.number)
        world = View((*world.runs, run), {**world.phases, run.id: ()}, "run")
    found = world.latest(PAIR)
    assert found is not None
    assert found.id == decision.run_id
    return _write(world, found, decision.run_state, phase, "in_progress")


def _write(world: View, run: Run, state: str | None, phase: str, phase_state: str) -> View:
    if state is None:
        return world
    runs = tuple(dataclasses.replace(r, state=state) if r.id == run.id else r for r in world.runs)
    rows = {row.name: row for row in world.phases[run.id]}
    if phase:
        rows[phase] = a_row(phase, phase_state, len(rows))
    if phase in states.WAYS_BACK and phase_state == "in_progress":
        rows = {n: dataclasses.replace(r, state="failed") if r.state == "in_progress" and n != phase else r
                for n, r in rows.items()}  # fmt: skip
    return dataclasses.replace(world, runs=runs, phases={**world.phases, run.id: tuple(rows.values())})
