# SPDX-License-Identifier: GPL-3.0-or-later
"""Which figures prove what. A record is filled by hand, window by window."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._gate import happenings, verdict
from ansible_collections.emailai.migration.plugins.module_utils._gate.limits import Limits, limits_from
from ansible_collections.emailai.migration.plugins.module_utils._gate.policy import Finding
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import WHOLE, Event, Reading
from ansible_collections.emailai.migration.plugins.module_utils._gate.record import Record
from ansible_collections.emailai.migration.plugins.module_utils._gate.tally import Tally
from ansible_collections.emailai.migration.plugins.module_utils._gate.verdict import Question

from .worlds import BASELINE, reading

Counts = tuple[int, int, int]


def question(**options: t.Any) -> Question:
    return Question(**{"members": ("app-1",), "baseline": BASELINE, **options})


def record_of(*windows: dict[str, Counts], **options: t.Any) -> Record:
    record = Record()
    for slot, servers in enumerate(windows):
        record.take([reading(slot, **options, **servers)], 60.0 * (slot + 1))
    return record


def triggers(findings: list[Finding]) -> set[str]:
    return {finding.trigger for finding in findings}


GOOD = {"app_1": (200, 0, 90)}


def final(*windows: dict[str, Counts], **options: t.Any) -> set[str]:
    return triggers(verdict.final(record_of(*windows), question(**options)))


# Error rates


def test_five_good_windows_pass() -> None:
    assert final(*[GOOD] * 5) == set()


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        (0, set()),
        (1, set()),
        (2, set()),
        (3, {"error_rate_1_to_2"}),
        (4, {"error_rate_1_to_2"}),
        (6, {"error_rate_2_to_5"}),
        (10, {"error_rate_2_to_5"}),
        (14, {"error_rate_over_5"}),
        (200, {"error_rate_over_5"}),
    ],
)
def test_the_bands_of_the_error_rate(errors: int, expected: set[str]) -> None:
    """200 requests in each of five windows: 1 % are 2 of them, 2 % are 4, 5 % are 10."""
    found = final(*[{"app_1": (200, errors, 90)}] * 5)
    # More than 5 % is more than 2 %, too.
    assert found - {"error_rate_2_to_5"} == expected - {"error_rate_2_to_5"}
    assert expected <= found


def test_eight_failures_in_a_row_are_urgent_and_name_the_server() -> None:
    findings = verdict.urgent(record_of({"app_1": (8, 8, 9)}), question())
    assert [(f.trigger, f.server) for f in findings] == [("error_rate_over_5", "app-1")]
    assert "app-1 failed 8 of 8 requests (100.0 %, limit 5 %)" in findings[0].reason


def test_seven_failures_are_not() -> None:
    assert verdict.urgent(record_of({"app_1": (7, 7, 9)}), question()) == []


def test_a_bad_minute_after_a_good_hour_is_urgent() -> None:
    windows = [{"app_1": (5000, 0, 90)}] * 60 + [{"app_1": (100, 30, 90)}]
    assert triggers(verdict.urgent(record_of(*windows), question())) == {"error_rate_over_5"}


def test_little_traffic_adds_up_to_a_proof() -> None:
    windows = [{"app_1": (20, 2, 90)}] * 10
    assert verdict.urgent(record_of(windows[0]), question()) == []
    assert triggers(verdict.urgent(record_of(*windows), question())) == {"error_rate_over_5"}


def test_a_bad_server_does_not_hide_behind_three_good_ones() -> None:
    fleet = {"app_1": (40, 12, 90), "app_2": (2000, 0, 90), "app_3": (2000, 0, 90), "app_4": (2000, 0, 90)}
    findings = verdict.urgent(record_of(fleet), question(members=()))
    assert [finding.server for finding in findings] == ["app-1"]


def test_one_server_of_several_is_not_held_for_what_chance_explains() -> None:
    fleet = {"app_1": (100, 2, 90), "app_2": (400, 0, 90)}
    assert final(fleet, members=("app-1", "app-2")) == set()
    fleet["app_1"] = (100, 5, 90)
    fleet["app_2"] = (900, 0, 90)
    assert final(fleet, members=("app-1", "app-2")) == {"error_rate_1_to_2"}


def test_errors_spread_over_the_fleet_are_added_up() -> None:
    fleet = {f"app_{n}": (30, 3, 90) for n in range(1, 9)}
    findings = verdict.urgent(record_of(fleet), question(members=()))
    assert [finding.server for finding in findings] == [""]
    assert "all 8 servers together failed 24 of 240" in findings[0].reason


def test_requests_that_found_no_server_count_for_the_whole_fleet_only() -> None:
    record = Record()
    nobody = reading(0, app_1=(200, 0, 90))
    nobody.slots[0, "<NOSRV>"] = Tally(100, 100)
    record.take([nobody], 60)
    assert triggers(verdict.urgent(record, question(members=()))) == {"error_rate_over_5"}
    assert verdict.urgent(record, question(members=("app-1",))) == []


def test_errors_of_others_are_not_ours() -> None:
    windows = [{"app_1": (200, 0, 90), "app_2": (200, 100, 90)}] * 5
    assert final(*windows, others=("app-2",)) == set()
    assert final(*windows, others=("app-2",), members=()) == set()


def test_the_reason_tells_how_the_old_servers_did_meanwhile() -> None:
    record = record_of({"app_1": (100, 50, 90), "app_2": (400, 4, 90)})
    (finding,) = verdict.urgent(record, question(others=("app-2",)))
    assert "servers not yet updated: 1.0 %, difference 39" in finding.reason


def test_one_bad_window_of_five_is_no_proof() -> None:
    """All errors in one window: a moment, not a state; the whole is held, not asked about."""
    windows = [{"app_1": (200, 30, 90)}] + [GOOD] * 4
    # The window itself is over 5 %, so it is made wide enough to be none.
    limits = limits_from({"error_percent_roll_back": 20})
    assert final(*windows, limits=limits) == {"error_rate_1_to_2"}
    spread = [{"app_1": (200, 10, 90)}] * 3 + [GOOD] * 2
    assert final(*spread, limits=limits) == {"error_rate_2_to_5"}


def test_proof_before_the_end_needs_all_its_windows() -> None:
    two = [{"app_1": (200, 8, 90)}] * 2
    assert verdict.proven(record_of(*two), question()) == []
    assert triggers(verdict.proven(record_of(*two, {"app_1": (200, 8, 90)}), question())) == {
        "error_rate_2_to_5"
    }


def test_small_windows_are_joined_before_they_are_judged() -> None:
    """Four requests a minute: each error alone would be 25 % of its window."""
    windows = [{"app_1": (4, int(slot % 20 == 0), 90)} for slot in range(60)]
    assert final(*windows) == {"error_rate_1_to_2"}


def test_the_slowest_of_four_is_no_p95() -> None:
    """Alone, each of the last windows would be slow; together they are one slow window of five."""
    record = Record()
    for slot in range(25):
        record.take(
            [reading(slot, app_1=(4, 0, 90)), reading(slot, app_1=(int(slot > 21), 0, 900))], 60.0 * slot
        )
    assert verdict.final(record, question()) == []


# Response times


def test_slow_in_three_of_five_windows() -> None:
    slow = {"app_1": (200, 0, 500)}
    baseline = {"p95_ms": 480}
    assert final(GOOD, GOOD, slow, slow, slow, baseline=baseline) == {"slow"}
    assert final(slow, GOOD, GOOD, slow, slow, baseline=baseline) == {"slow"}
    assert final(GOOD, slow, GOOD, GOOD, slow, baseline=baseline) == set()
    assert final(slow, slow, slow, *[GOOD] * 5, baseline=baseline) == set()


def test_one_millisecond_below_the_limit_is_not_slow() -> None:
    assert final(*[{"app_1": (200, 0, 499)}] * 5, baseline={"p95_ms": 480}) == set()


def test_more_than_half_again_as_slow_as_before() -> None:
    assert final(*[{"app_1": (200, 0, 150)}] * 5) == set()
    assert final(*[{"app_1": (200, 0, 151)}] * 5) == {"slower_than_before"}


def test_a_few_milliseconds_are_noise_whatever_the_percentage() -> None:
    assert final(*[{"app_1": (200, 0, 40)}] * 5, baseline={"p95_ms": 4}) == set()
    assert final(*[{"app_1": (200, 0, 60)}] * 5, baseline={"p95_ms": 4}) == {"slower_than_before"}


def test_slower_than_the_servers_not_yet_updated() -> None:
    windows = [{"app_1": (200, 0, 140), "app_2": (200, 0, 60)}] * 5
    assert final(*windows, others=("app-2",)) == {"slower_than_before"}


def test_few_requests_to_old_servers_are_no_reference() -> None:
    windows = [{"app_1": (200, 0, 140), "app_2": (10, 0, 60)}] * 5
    assert final(*windows, others=("app-2",)) == set()


def test_the_baseline_of_the_same_provider_goes_first() -> None:
    baseline = {"p95_ms": 10, "providers": {"log": {"p95_ms": 100}}}
    assert final(*[GOOD] * 5, baseline=baseline) == set()


# What is not known


def test_no_request_is_not_a_pass() -> None:
    assert final() == {"inconclusive"}
    assert final({"app_1": (0, 0, 0)}) == {"inconclusive"}


@pytest.mark.parametrize(("requests", "expected"), [(99, {"inconclusive"}), (100, set())])
def test_too_few_requests_are_not_a_pass(requests: int, expected: set[str]) -> None:
    assert final({"app_1": (requests, 0, 90)}) == expected


def test_a_server_without_traffic_is_not_known_to_be_good() -> None:
    assert final(*[{"app_1": (200, 0, 90)}] * 5, members=("app-1", "app-2")) == {"inconclusive"}


def test_no_baseline_is_not_a_pass_and_time_does_not_heal_it() -> None:
    findings = verdict.final(record_of(*[GOOD] * 5), question(baseline={}))
    assert [(finding.trigger, finding.heals) for finding in findings] == [("inconclusive", False)]


def test_response_times_can_be_left_out_on_purpose() -> None:
    record = record_of(*[GOOD] * 5, measures=("errors",))
    assert triggers(verdict.final(record, question())) == {"inconclusive"}
    assert verdict.final(record, question(limits=Limits(p95_ms=0))) == []


def test_a_dead_provider_is_not_a_pass_beside_a_good_one() -> None:
    record = record_of(*[GOOD] * 5)
    record.take([Reading("haproxy", "haproxy", ("errors",), error="connection refused")], 300)
    findings = verdict.final(record, question())
    assert triggers(findings) == {"inconclusive"}
    assert "haproxy cannot be read: connection refused" in findings[0].reason


def test_a_dead_provider_does_not_hide_a_breach() -> None:
    record = record_of({"app_1": (50, 50, 9)})
    record.take([Reading("haproxy", "haproxy", error="connection refused")], 60)
    assert "error_rate_over_5" in triggers(verdict.urgent(record, question()))


def test_a_provider_that_came_back_is_alive() -> None:
    record = record_of(*[GOOD] * 5)
    record.take([reading(error="gone")], 310)
    record.take([reading(5, **GOOD)], 320)
    assert verdict.final(record, question()) == []


# What happened


def happened(*events: tuple[float, Event], **limits: t.Any) -> set[str]:
    record = record_of(*[GOOD] * 5)
    for at, event in events:
        record.take([reading(events=[event])], at)
    return triggers(verdict.final(record, question(limits=limits_from(limits))))


def test_one_fatal_line_is_enough() -> None:
    assert happened((1, Event("fatal_log", '"FATAL" in app.log', "app-1"))) == {"fatal_log"}


def test_one_failed_webhook_is_a_question() -> None:
    assert happened((1, Event("billing", "failed webhooks"))) == {"billing"}


@pytest.mark.parametrize("trigger", ["server_down", "connections_high"])
def test_a_state_must_stay_to_count(trigger: str) -> None:
    twice = [(at, Event(trigger, "seen", "app-1")) for at in (2.0, 4.0)]
    assert happened(*twice) == set()
    assert happened(*twice, (6.0, Event(trigger, "seen", "app-1"))) == {trigger}


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ((0, 30, 60), {"connection_failures"}),
        ((0, 30, 61), set()),
        ((0, 100, 130, 159), {"connection_failures"}),
    ],
)
def test_three_lost_connections_within_a_minute(times: tuple[float, ...], expected: set[str]) -> None:
    assert happened(*[(at, Event("connection_failures", "ours")) for at in times]) == expected


def test_three_lost_connections_in_one_look() -> None:
    assert happened((5, Event("connection_failures", "log", count=3))) == {"connection_failures"}


def test_alerts_tell_people_and_hold_only_if_told_to() -> None:
    logins = [(at, Event("failed_logins", "log", count=2)) for at in (0.0, 100.0, 299.0)]
    assert happened(*logins) == set()
    assert happened(*logins, alerts_hold=True) == {"alert"}
    assert happened(*logins[:2], (301.0, logins[2][1]), alerts_hold=True) == set()


def test_the_three_alerts_in_words() -> None:
    record = record_of({"app_1": (5000, 11, 90)})
    slow = reading(name="database", measures=())
    slow.figures["queries"] = [{"query": 'SELECT 1 FROM "Organization"', "mean_ms": 101.0}]
    record.take([slow, reading(name="x", measures=(), events=[Event("failed_logins", "log", count=6)])], 60)
    texts = verdict.alerts(record, question())
    assert len(texts) == 3
    assert "log: 11 errors a minute in window 1" in texts
    assert "6 failed logins within 300 s" in texts
    quiet = record_of({"app_1": (5000, 10, 90)})
    assert verdict.alerts(quiet, question()) == []


@pytest.mark.parametrize(
    ("number", "expected"), [(None, {"inconclusive"}), (0, set()), (2, set()), (3, {"complaints"})]
)
def test_complaints(number: int | None, expected: set[str]) -> None:
    assert triggers(happenings.complaints(number, Limits())) == expected


def test_the_verifier_is_heard_by_check_and_database() -> None:
    def check(name: str, result: str, *ids: str) -> dict[str, t.Any]:
        return {"name": name, "result": result, "count": len(ids), "ids": [*ids], "cause": "rows are wrong"}

    answers = [
        {
            "item": "db-1",
            "checks": [check("users", "ok"), check("seats", "finding", "a"), check("x", "pending")],
        },
        {"item": "db-2", "checks": [check("links", "failed", "b", "c"), check("moment", "inconclusive")]},
        {"item": "db-3", "msg": "no answer"},
    ]
    assert [(f.trigger, f.reason) for f in happenings.integrity(answers)] == [
        ("integrity", "links failed in db-2: 2 rows are wrong (b, …)"),
        ("inconclusive", "moment inconclusive in db-2: rows are wrong"),
        ("inconclusive", "db-3 could not be verified: no answer"),
    ]
    one = happenings.integrity([{"checks": [check("links", "failed", "b")]}])
    assert one[0].reason == "links failed in the database: 1 rows are wrong (b)"


# Sources that count by themselves


def counted(slot: int, name: str, counts: Counts, server: str = WHOLE, **options: t.Any) -> Reading:
    """A window as a monitoring service tells it."""
    result = Reading(name, "prometheus", **{"measures": ("errors", "p95"), **options})
    requests, errors, p95 = counts
    result.tally(slot, server).take(requests, errors, p95)
    return result


def record_from(*readings: Reading) -> Record:
    record = Record()
    for number, each in enumerate(readings):
        record.take([each], float(number))
    return record


def test_a_source_that_knows_no_servers_is_judged_as_the_service() -> None:
    good = record_from(*[counted(slot, "monitor", (200, 0, 90)) for slot in range(3)])
    assert verdict.final(good, question()) == []
    bad = record_from(counted(0, "monitor", (100, 30, 90)))
    (finding,) = verdict.urgent(bad, question())
    assert (finding.trigger, finding.server) == ("error_rate_over_5", "")
    assert finding.reason.startswith("the service failed 30 of 100 requests")


def test_servers_by_other_names_than_the_balancers_are_named() -> None:
    record = record_from(counted(0, "monitor", (200, 0, 90), "10.0.0.1:80"))
    reasons = [finding.reason for finding in verdict.final(record, question())]
    assert reasons == [
        "monitor saw 0 of the 100 requests that a judgement needs; the servers it tells of are 10.0.0.1:80"
    ]


def test_response_times_alone_need_a_minimum_of_requests_too() -> None:
    few = record_from(counted(0, "monitor", (10, 0, 90), measures=("p95",)))
    few.take([reading(0, app_1=(500, 0, 90))], 1.0)
    reasons = [finding.reason for finding in verdict.final(few, question())]
    assert reasons == ["monitor saw 10 of the 100 requests that a judgement needs"]


def borrowed(requests: int, errors: int, **options: t.Any) -> Record:
    lent = reading(0, name="haproxy", measures=("errors",), app_1=(requests, 0, 90), app_2=(requests, 0, 90))
    own = counted(0, "sentry", (0, errors, 0), measures=("errors",), requests_of="haproxy", **options)
    record = Record()
    # The provider that lends may be named after the one that borrows.
    record.take([own, lent], 60.0)
    return record


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        (0, set()),
        (1, set()),
        (60, {"error_rate_over_5", "error_rate_2_to_5"}),
        (10**6, {"error_rate_over_5", "error_rate_2_to_5"}),
    ],
)
def test_errors_without_requests_are_held_against_those_of_another(errors: int, expected: set[str]) -> None:
    record = borrowed(200, errors)
    assert triggers(verdict.final(record, question(limits=Limits(p95_ms=0)))) == expected
    assert record.sources["sentry"].total((WHOLE,)).requests == 400


def test_errors_of_a_time_without_requests_prove_nothing() -> None:
    record = borrowed(0, 50)
    found = verdict.final(record, question(limits=Limits(p95_ms=0)))
    assert triggers(found) == {"inconclusive"}
    assert any(f.reason.startswith("sentry saw 0 of the 100 requests") for f in found)
