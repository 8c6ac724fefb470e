# SPDX-License-Identifier: GPL-3.0-or-later
"""From percents to servers."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.filter.rollout import FilterModule
from ansible_collections.emailai.migration.plugins.module_utils._platform import batches

RUNBOOK = [25, 50, 75, 100]
percents = st.sets(st.integers(1, 99)).map(lambda found: [*sorted(found), 100])


@pytest.mark.parametrize(
    ("servers", "counts"),
    [
        (0, []),
        (1, [1]),
        (2, [1, 1]),
        (3, [1, 1, 1]),
        (4, [1, 1, 1, 1]),
        (5, [1, 1, 1, 2]),
        (10, [2, 3, 2, 3]),
        (64, [16, 16, 16, 16]),
    ],
)
def test_the_batches_of_the_runbook(servers: int, counts: list[int]) -> None:
    assert batches.counts(servers, RUNBOOK) == counts


@given(st.integers(1, 300), percents)
def test_everybody_is_in_one_batch_and_no_batch_is_empty(servers: int, steps: list[int]) -> None:
    counts = batches.counts(servers, steps)
    assert sum(counts) == servers
    assert min(counts) >= 1
    assert len(counts) <= len(steps)
    assert counts[0] <= max(1, servers * steps[0] // 100)
    assert [each for batch in batches.cut(range(servers), steps) for each in batch] == list(range(servers))


@given(st.integers(1, 300), percents)
def test_no_batch_takes_the_fleet_beyond_its_percent(servers: int, steps: list[int]) -> None:
    done = 0
    for count in batches.counts(servers, steps):
        done += count
        # The first server is the exception: without it nothing would ever begin.
        assert done == 1 or any(done == servers * step // 100 for step in steps)


@pytest.mark.parametrize("steps", [[], [0, 100], [50, 50, 100], [75, 50, 100], [25, 50], [100, 120]])
def test_percents_that_are_no_way_to_everything_are_refused(steps: list[int]) -> None:
    ask = FilterModule().filters()["rollout_serial"]
    with pytest.raises(AnsibleFilterError, match="Cannot cut the fleet into batches"):
        ask(["app-1"], steps)


def test_the_filters_take_what_templates_give() -> None:
    filters = FilterModule().filters()
    assert filters["rollout_serial"](["a", "b", "c"], ["50", "100"]) == [1, 2]
    assert filters["rollout_batches"](["a", "b", "c"], [50, 100]) == [["a"], ["b", "c"]]
