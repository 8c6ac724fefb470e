# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a watch lasts and how it ends, in a world with a clock of its own."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._gate import soak
from ansible_collections.emailai.migration.plugins.module_utils._gate.limits import Limits
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import Event, Reading
from ansible_collections.emailai.migration.plugins.module_utils._gate.verdict import Question

from .worlds import BASELINE, World, reading, steady

Serve = t.Callable[[float, float], list[Reading]]


def watch(serve: Serve, soak_seconds: float = 300, **options: t.Any) -> tuple[dict[str, t.Any], World]:
    world = World(serve)
    attended = options.pop("is_attended", False)
    poll = options.pop("poll_seconds", 2.0)
    question = Question(**{"members": ("app-1",), "baseline": BASELINE, **options})
    plan = soak.Plan(soak_seconds, poll, is_attended=attended)
    return soak.soak(world, question, plan), world


def dead(name: str) -> Reading:
    return Reading(name, "haproxy", ("errors",), error="no such file")


def test_a_good_release_passes_when_its_time_is_over() -> None:
    outcome, world = watch(steady(600, app_1=0.002))
    assert (outcome["verdict"], outcome["action"], outcome["reasons"]) == ("pass", "pass", [])
    assert 300 <= world.now <= 302
    assert outcome["members"]["app-1"]["log"]["requests"] == 3000
    assert [window["window"] for window in outcome["windows"]] == [1, 2, 3, 4, 5]


def test_a_release_that_answers_nothing_right_is_found_within_seconds() -> None:
    outcome, world = watch(steady(600, app_1=1.0))
    assert (outcome["verdict"], outcome["action"]) == ("breach", "roll_back")
    assert outcome["trigger"] == "error_rate_over_5"
    assert world.now <= 4


@pytest.mark.parametrize("per_minute", [150, 600, 6000])
def test_a_fully_bad_release_is_found_within_five_seconds_of_its_return(per_minute: float) -> None:
    """Beside servers that are well, and wherever in a look its users come back."""
    for hundredths in range(0, 200, 40):
        offset = hundredths / 100

        def serve(since: float, until: float, offset: float = offset) -> list[Reading]:
            new = steady(per_minute, app_1=1.0)(max(0.0, since - offset), max(0.0, until - offset))
            return [*new, *steady(per_minute, app_2=0.0)(since, until)]

        outcome, world = watch(serve, others=("app-2",))
        assert (outcome["action"], outcome["trigger"]) == ("roll_back", "error_rate_over_5")
        assert world.now - offset <= 5


def test_ten_percent_are_found_within_a_window() -> None:
    outcome, world = watch(steady(600, app_1=0.10))
    assert outcome["action"] == "roll_back"
    assert world.now <= 60


def test_three_percent_are_a_question_before_the_time_is_over() -> None:
    """Chance makes some minutes of a true 3 % look like more than 5 %: most, not all."""
    watches = [watch(steady(600, seed=seed, app_1=0.03), is_attended=True) for seed in range(20)]
    asked = [world.now for outcome, world in watches if outcome["action"] == "ask"]
    assert len(asked) >= 15
    assert all(180 <= ended < 300 for ended in asked)
    assert {outcome["trigger"] for outcome, _world in watches} <= {"error_rate_2_to_5", "error_rate_over_5"}


def test_three_percent_are_rolled_back_where_nobody_can_be_asked() -> None:
    outcome, _world = watch(steady(600, seed=2, app_1=0.03))
    assert outcome["action"] == "roll_back"


def test_between_one_and_two_percent_it_watches_on_and_then_asks() -> None:
    outcome, world = watch(steady(1200, app_1=0.015), is_attended=True)
    assert (outcome["trigger"], outcome["action"]) == ("error_rate_1_to_2", "ask")
    assert 1200 <= world.now <= 1262
    assert any("holding, watching on" in line for _at, line in world.lines)
    outcome, _world = watch(steady(1200, app_1=0.015))
    assert outcome["action"] == "hold"


def test_what_clears_up_while_held_passes() -> None:
    def serve(since: float, until: float) -> list[Reading]:
        rate = 0.013 if until < 280 else 0.0
        return steady(1200, seed=int(until), app_1=rate)(since, until)

    outcome, world = watch(serve)
    assert outcome["verdict"] == "pass"
    assert 300 < world.now < 1200


def test_slow_is_held_and_then_a_question() -> None:
    outcome, world = watch(
        steady(600, milliseconds=600, app_1=0.0), is_attended=True, baseline={"p95_ms": 590}
    )
    assert (outcome["trigger"], outcome["action"]) == ("slow", "ask")
    assert world.now >= 1200


def test_slower_than_before_is_a_question_at_the_end() -> None:
    outcome, world = watch(steady(600, milliseconds=200, app_1=0.0), is_attended=True)
    assert (outcome["trigger"], outcome["action"]) == ("slower_than_before", "ask")
    assert world.now <= 302


def test_too_few_requests_are_waited_for() -> None:
    outcome, world = watch(steady(15, app_1=0.0))
    assert outcome["verdict"] == "pass"
    assert 400 <= world.now <= 480


def test_no_request_at_all_holds() -> None:
    outcome, world = watch(lambda since, until: [Reading("log", "access_log", ("errors", "p95"))])
    assert (outcome["verdict"], outcome["action"]) == ("inconclusive", "hold")
    assert 1200 <= world.now <= 1262


def test_a_dead_provider_holds_and_does_not_roll_back() -> None:
    good = steady(600, app_1=0.0)
    outcome, _world = watch(lambda since, until: [*good(since, until), dead("haproxy")], soak_seconds=60)
    assert (outcome["verdict"], outcome["action"]) == ("inconclusive", "hold")
    assert outcome["providers"]["haproxy"]["error"] == "no such file"


def test_beside_a_dead_provider_the_others_still_judge() -> None:
    bad = steady(600, app_1=0.5)
    outcome, world = watch(lambda since, until: [*bad(since, until), dead("haproxy")])
    assert outcome["action"] == "roll_back"
    assert world.now <= 10


def test_without_a_baseline_it_is_not_watched_on() -> None:
    outcome, world = watch(steady(600, app_1=0.0), baseline={})
    assert (outcome["verdict"], outcome["action"]) == ("inconclusive", "hold")
    assert world.now <= 302


def test_a_lag_is_waited_for() -> None:
    def serve(since: float, until: float) -> list[Reading]:
        (now,) = steady(600, app_1=0.0)(since, until)
        now.lag_seconds = 90
        return [now]

    outcome, world = watch(serve)
    assert outcome["verdict"] == "pass"
    assert 390 <= world.now <= 392


def test_a_lag_is_waited_for_after_the_last_extension_too() -> None:
    silence = Reading("log", "access_log", ("errors", "p95"), lag_seconds=90)
    _outcome, world = watch(lambda since, until: [silence], limits=Limits(extensions=1))
    assert 690 <= world.now <= 752


@pytest.mark.parametrize("trigger", ["billing", "server_down", "connections_high"])
def test_a_question_waits_for_the_end(trigger: str) -> None:
    def serve(since: float, until: float) -> list[Reading]:
        (now,) = steady(600, app_1=0.0)(since, until)
        now.events.append(Event(trigger, "seen"))
        return [now]

    outcome, world = watch(serve, is_attended=True)
    assert (outcome["trigger"], outcome["action"]) == (trigger, "ask")
    assert world.now >= 300


def test_what_lies_in_the_past_is_not_waited_for() -> None:
    world = World(lambda since, until: [reading(0, app_1=(500, 0, 90))])
    question = Question(members=("app-1",), baseline=BASELINE)
    outcome = soak.soak(world, question, soak.Plan(300, already_seconds=300))
    assert (outcome["verdict"], world.now) == ("pass", 0)


@pytest.mark.parametrize("poll", [0.5, 2.0, 5.0])
def test_a_line_is_said_at_least_every_five_seconds(poll: float) -> None:
    _outcome, world = watch(steady(600, app_1=0.0), poll_seconds=poll)
    times = [0.0, *(at for at, _line in world.lines), world.now]
    assert max(later - earlier for earlier, later in zip(times, times[1:])) <= 5.0
    assert len(world.lines) < 110
    assert "soak 04:5" in world.lines[-1][1]
    assert "log: " in world.lines[-1][1]


# Figures without judgement


def test_a_baseline_has_the_figures_of_all_servers() -> None:
    world = World(steady(600, app_1=0.001, app_2=0.001))
    found = soak.observe(world, 900, soak.Plan(900), Question(minimum_requests=1000))
    assert found["verdict"] == "pass"
    baseline = found["baseline"]
    assert baseline["is_sufficient"] is True
    assert (baseline["requests"], baseline["p95_ms"]) == (18000, 90)
    assert 0 < baseline["error_percent"] < 0.3
    assert baseline["providers"]["log"]["p95_ms"] == 90
    assert world.now >= 900
    assert found["readiness"][0]["state"] == "met"


def test_a_baseline_waits_for_late_figures_without_asking_all_the_time() -> None:
    looks = []

    def serve(since: float, until: float) -> list[Reading]:
        looks.append(until)
        assert len(looks) < 50
        return [Reading("monitor", "prometheus", ("errors", "p95"), lag_seconds=30)]

    soak.observe(World(serve), 60, soak.Plan(60), Question())
    assert looks[-1] >= 90


def test_a_baseline_of_a_broken_service_is_still_one() -> None:
    found = soak.observe(World(steady(600, app_1=0.5)), 60, soak.Plan(60), Question())
    assert found["baseline"]["error_percent"] > 40


def test_a_baseline_of_too_few_requests_is_open() -> None:
    found = soak.observe(World(steady(60, app_1=0.0)), 900, soak.Plan(900), Question(minimum_requests=1000))
    assert (found["verdict"], found["baseline"]["is_sufficient"]) == ("inconclusive", False)
    assert found["readiness"][0]["state"] == "open"
    assert "900 requests were seen" in found["readiness"][0]["found"]


def test_a_baseline_of_a_dead_provider_is_open() -> None:
    found = soak.observe(World(lambda since, until: [dead("haproxy")]), 10, soak.Plan(10), Question())
    assert found["baseline"]["p95_ms"] is None
    assert found["readiness"][0]["state"] == "open"


# Promises


def outcomes(runs: int, per_minute: float = 20, **service: float) -> list[str]:
    """The actions of so many soaks of 5 windows; 4 servers get so many requests a minute each."""
    found = []
    for seed in range(runs):
        fleet = {f"app_{number}": service["rate"] for number in range(1, 5)}
        outcome, _world = watch(
            steady(per_minute, seed=seed, **fleet),
            members=("app-1", "app-2", "app-3", "app-4"),
            poll_seconds=15.0,
        )
        found.append(outcome["action"])
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("per_minute", "runs"), [(5, 100), (20, 300), (60, 100)])
def test_a_true_rate_of_one_percent_is_not_rolled_back(per_minute: float, runs: int) -> None:
    """At most 1 % of all rollouts; a plain "more than 5 % in a window" rolls back every third server."""
    assert outcomes(runs, per_minute, rate=0.01).count("roll_back") <= runs / 100


def test_a_healthy_service_with_little_traffic_gets_through() -> None:
    assert outcomes(60, rate=0.002).count("pass") >= 55


def test_a_bad_service_with_little_traffic_is_rolled_back() -> None:
    assert outcomes(20, rate=0.15).count("roll_back") == 20


def test_limits_are_used() -> None:
    outcome, _world = watch(steady(600, app_1=0.03), limits=Limits(error_percent_hold=4, error_percent_ask=5))
    assert outcome["verdict"] == "pass"
