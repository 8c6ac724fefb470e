# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose fault a failed request was decides where it is counted, and only the rollout itself is timed."""

from __future__ import annotations

from bench.fleet import DRAIN, ROLLOUT, SMOKE, WAY_BACK, Run
from bench.rollout import Busy, is_bad, releases
from bench.spans import Event
from bench.users import Tally


def test_only_what_the_bad_release_answered_itself_is_its_own() -> None:
    busy = Busy()
    tally = Tally(requests=100, posts=20, failed=2, wrong={"v3-bad": 5, "v2": 1}, seconds=10.0)
    busy.add(tally, "v3-bad")
    assert (busy.requests, busy.posts, busy.failed, busy.bad_responses) == (100, 20, 3, 5)
    busy.add(tally)
    assert (busy.requests, busy.failed, busy.bad_responses, busy.seconds) == (200, 3 + 8, 5, 20.0)


def test_each_third_release_is_bad_and_each_has_a_name_of_its_own() -> None:
    names = releases(9)
    assert len(set(names)) == 10
    assert [is_bad(name) for name in names[1:4]] == [False, True, False]
    assert sum(map(is_bad, names)) == 3


def test_starts_and_the_smoke_command_are_no_overhead_and_the_way_back_is_not_timed() -> None:
    marks = [
        (0, "play", ROLLOUT),
        (1, "task", DRAIN),  # the role is included
        (1.5, "task", DRAIN),
        (3, "task", SMOKE),
        (4, "task", "Record how the server stands"),
        (5, "play", WAY_BACK),
        (6, "task", DRAIN),
        (9, "over", ""),
    ]
    events = [Event(float(at), event, name) for at, event, name in marks]
    run = Run(0, "", events, 9.0, 1.0, starts=[(2.5, 3.5)])
    assert run.overhead() == 5 - 1.5
    assert run.drains() == 2
