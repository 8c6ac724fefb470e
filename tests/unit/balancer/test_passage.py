# SPDX-License-Identifier: GPL-3.0-or-later
"""The way out and back in, decided against balancers in memory."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from unit.balancer.world import Clock, Memory, balancer

from ansible_collections.emailai.migration.plugins.module_utils._balancer import passage
from ansible_collections.emailai.migration.plugins.module_utils._balancer.passage import Wish
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

WISH = Wish(backend="emailai", member="app-1", timeout_seconds=10)


def drain(
    balancers: list[Memory], clock: Clock, strangers: int | None = 0, **more: t.Any
) -> dict[str, t.Any]:
    wish = Wish(**{**vars(WISH), **more})
    return passage.drain(balancers, wish, lambda _: strangers, False, clock)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path)


def test_zero_counts_only_several_times_in_a_row(folder: str) -> None:
    lb, clock = balancer(folder), Clock()
    # Quiet, quiet, busy, then quiet for good: two quiet looks are not enough.
    traffic = iter([0, 1])
    clock.each_tick.append(lambda: lb.change("app-1", sessions=next(traffic, 0)))
    done = drain([lb], clock)
    assert clock.now == pytest.approx(0.25 + 4 * 0.1)
    assert done["changed"]
    assert done["members"][0]["state"] == "drained"


def again(lb: Memory, clock: Clock, was_empty: bool = True) -> dict[str, t.Any]:
    return passage.drain([lb], WISH, lambda _: 0, False, clock, was_empty=was_empty)


def test_a_member_known_to_be_empty_needs_one_more_look(folder: str) -> None:
    lb, clock = balancer(folder), Clock()
    drain([lb], clock)
    before = clock.now
    assert not again(lb, clock)["changed"]
    assert clock.now == before
    again(lb, clock, was_empty=False)
    assert clock.now == pytest.approx(before + 2 * 0.1)


def test_a_member_that_came_back_or_is_busy_is_proven_empty_anew(folder: str) -> None:
    lb, clock = balancer(folder), Clock()
    assert again(lb, clock)["changed"]
    assert clock.now == pytest.approx(2 * 0.1)
    lb.change("app-1", sessions=1)
    clock.each_tick.append(lambda: lb.change("app-1", sessions=0))
    before = clock.now
    again(lb, clock)
    assert clock.now == pytest.approx(before + 0.25 + 2 * 0.1)


@pytest.mark.parametrize("figure", ["sessions", "queued", "connections"])
def test_whatever_is_left_is_waited_for(folder: str, figure: str) -> None:
    lb, clock = balancer(folder), Clock()
    lb.change("app-1", **{figure: 2})
    with pytest.raises(MigrationError, match=r"2 requests .* after 10 s") as failure:
        drain([lb], clock)
    assert failure.value.facts == {"in_flight": 2, "timed_out": True}
    assert clock.now >= 10
    assert lb.heard == ["drain", "admit"]
    assert lb.fleet["app-1"].admission == "ready"


def test_a_connection_that_no_balancer_knows_is_waited_for(folder: str) -> None:
    lb = balancer(folder)
    with pytest.raises(MigrationError, match="1 requests"):
        drain([lb], Clock(), strangers=1)
    assert drain([lb], Clock(), strangers=None)["changed"]


def test_force_cuts_on_every_balancer_and_counts(folder: str) -> None:
    lbs = [balancer(folder, "lb-1"), balancer(folder, "lb-2")]
    lbs[1].change("app-1", sessions=3, connections=3)
    done = drain(lbs, Clock(), on_timeout="force")
    assert done["cut"] == 3
    assert [lb.heard for lb in lbs] == [["drain", "cut"]] * 2


def test_force_that_does_not_help_gives_the_traffic_back(folder: str) -> None:
    lb, clock = balancer(folder), Clock()
    lb.change("app-1", sessions=1)
    clock.each_tick.append(lambda: lb.change("app-1", sessions=1))
    with pytest.raises(MigrationError):
        drain([lb], clock, on_timeout="force")
    assert lb.fleet["app-1"].admission == "ready"


def test_a_refusal_of_the_second_balancer_undoes_the_first(folder: str) -> None:
    lbs = [balancer(folder, "lb-1"), balancer(folder, "lb-2", refuses=["drain"])]
    with pytest.raises(MigrationError, match="Permission denied"):
        drain(lbs, Clock())
    assert lbs[0].heard == ["drain", "admit"]
    assert lbs[0].fleet["app-1"].admission == "ready"


def test_an_undo_that_fails_is_said_too(folder: str) -> None:
    lbs = [balancer(folder, "lb-1", refuses=["admit"]), balancer(folder, "lb-2", refuses=["drain"])]
    with pytest.raises(MigrationError, match=r"Cannot drain app-1: Permission .* Cannot admit app-1"):
        drain(lbs, Clock())


def test_only_what_we_drained_is_given_back(folder: str) -> None:
    lbs = [balancer(folder, "lb-1"), balancer(folder, "lb-2")]
    lbs[0].change("app-1", admission="drained")
    lbs[1].change("app-1", sessions=1)
    with pytest.raises(MigrationError):
        drain(lbs, Clock())
    assert [lb.fleet["app-1"].admission for lb in lbs] == ["drained", "ready"]


def test_a_balancer_that_dies_during_the_drain_gives_the_others_back(folder: str) -> None:
    lbs, clock = [balancer(folder, "lb-1"), balancer(folder, "lb-2")], Clock()
    lbs[0].change("app-1", sessions=1)
    clock.each_tick.append(lambda: lbs[1].refuses.update({"members", "admit"}))
    with pytest.raises(MigrationError, match="it is dead"):
        drain(lbs, clock)
    assert lbs[0].fleet["app-1"].admission == "ready"


def test_a_reload_in_between_is_told_again(folder: str) -> None:
    lb, clock = balancer(folder), Clock()
    reloads = iter([True])
    clock.each_tick.append(lambda: lb.change("app-1", admission="ready") if next(reloads, False) else None)
    drain([lb], clock)
    assert lb.heard == ["drain", "drain"]
    assert clock.now == pytest.approx(0.25 + 3 * 0.1)


def test_capacity_refuses_before_anything_is_done(folder: str) -> None:
    lb = balancer(folder)
    lb.change("app-4", health=2)
    with pytest.raises(MigrationError, match="2 of 4 members would go on serving at lb-1, and at least 3"):
        drain([lb], Clock(), min_healthy=3)
    assert lb.heard == []


def test_the_balancer_with_the_least_to_spare_decides(folder: str) -> None:
    lbs = [balancer(folder, "lb-1"), balancer(folder, "lb-2")]
    for name in ("app-2", "app-3"):
        lbs[1].change(name, is_running=False)
    with pytest.raises(MigrationError, match="lb-2"):
        drain(lbs, Clock())


def test_a_member_that_nobody_checks_is_not_drained(folder: str) -> None:
    lb = balancer(folder)
    lb.change("app-1", health=None, full_health=None)
    with pytest.raises(MigrationError, match="does not check its health"):
        drain([lb], Clock())
    assert lb.heard == []


def test_readmission_waits_for_full_health_everywhere(folder: str) -> None:
    lbs, clock = [balancer(folder, "lb-1"), balancer(folder, "lb-2")], Clock()
    for lb in lbs:
        lb.change("app-1", admission="drained")
    lbs[1].change("app-1", health=1)

    def heal() -> None:
        assert [lb.fleet["app-1"].admission for lb in lbs] == ["drained"] * 2
        if clock.now > 2:
            lbs[1].change("app-1", health=3)

    clock.each_tick.append(heal)
    done = passage.readmit(lbs, WISH, False, clock)
    assert done["changed"]
    assert done["waited_seconds"] >= 2
    assert [lb.heard for lb in lbs] == [["admit"]] * 2


def test_nobody_goes_from_maintenance_to_ready(folder: str) -> None:
    lb, clock = balancer(folder), Clock()
    lb.change("app-1", admission="closed", health=3)
    clock.each_tick.append(lambda: lb.change("app-1", health=3, is_running=True) if clock.now > 1 else None)
    passage.readmit([lb], WISH, False, clock)
    assert lb.heard == ["reopen", "admit"]
    assert clock.now > 1


def test_a_sick_member_stays_out(folder: str) -> None:
    lb = balancer(folder)
    lb.change("app-1", admission="drained", health=2, status="DOWN 1/2")
    with pytest.raises(MigrationError, match=r"sees it as DOWN 1/2 with health 2 of 3"):
        passage.readmit([lb], WISH, False, Clock())
    assert lb.heard == []


def test_a_readmission_refused_by_one_is_taken_back_on_the_others(folder: str) -> None:
    lbs = [balancer(folder, "lb-1"), balancer(folder, "lb-2", refuses=["admit"])]
    for lb in lbs:
        lb.change("app-1", admission="drained")
    with pytest.raises(MigrationError):
        passage.readmit(lbs, WISH, False, Clock())
    assert [lb.fleet["app-1"].admission for lb in lbs] == ["drained"] * 2


@pytest.mark.parametrize("act", ["drain", "readmit"])
def test_check_mode_gives_no_order(folder: str, act: str) -> None:
    lb = balancer(folder)
    if act == "drain":
        answer = passage.drain([lb], WISH, lambda _: 0, True, Clock())
        assert answer["capacity"]["healthy_after"] == 3
    else:
        lb.change("app-1", admission="drained")
        answer = passage.readmit([lb], WISH, True, Clock())
    assert answer["changed"]
    assert lb.heard == []


def test_a_dead_balancer_keeps_nobody_from_the_living_one(folder: str) -> None:
    living, dead = balancer(folder), balancer(folder, "lb-2", refuses={"members"})
    living.change("app-1", admission="drained")
    with pytest.raises(MigrationError, match=r"lb-2: it is dead.* app-1 is back in traffic on lb-1"):
        passage.readmit([living, dead], WISH, False, Clock())
    assert living.fleet["app-1"].admission == "ready"


def test_who_was_fenced_changes_nothing(folder: str) -> None:
    def fence() -> None:
        raise MigrationError("change", "app-1", "another run has it")

    lb = balancer(folder)
    lb.change("app-1", sessions=1)
    with pytest.raises(MigrationError, match="another run has it"):
        passage.drain([lb], WISH, lambda _: 0, False, Clock(), fence)
    assert lb.heard == ["drain"]
    with pytest.raises(MigrationError, match="another run has it"):
        passage.readmit([lb], WISH, False, Clock(), fence)
    assert lb.heard == ["drain"]
