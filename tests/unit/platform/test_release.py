# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to happen to release folders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform.release import (
    Order,
    Stand,
    Work,
    outcome,
    plan,
)

names = st.sampled_from(["v1", "v2", "v3", "v4", "v5"])


@st.composite
def stands(draw: st.DrawFn) -> Stand:
    complete = draw(st.dictionaries(names, st.sampled_from(["", "a"]), min_size=1))
    current = draw(st.sampled_from(sorted(complete)))
    previous = draw(st.sampled_from(["", *sorted(complete)]))
    return Stand(current, previous, draw(st.sampled_from(["", current])), complete)


orders = st.builds(
    Order,
    name=names,
    state=st.sampled_from(["present", "current"]),
    sha256=st.just("a"),
    keep_releases=st.integers(0, 3),
)


@given(stands(), orders)
def test_once_done_there_is_nothing_left_to_do(stand: Stand, order: Order) -> None:
    after = outcome(stand, order, plan(stand, order))
    again = plan(after, order)
    assert again == Work()
    assert outcome(after, order, again).as_row() == after.as_row()


@given(stands(), orders)
def test_what_serves_and_what_to_go_back_to_are_never_removed(stand: Stand, order: Order) -> None:
    work = plan(stand, order)
    after = outcome(stand, order, work)
    assert not {after.current, after.previous, stand.current} & set(work.remove)
    assert after.current in after.complete
    if order.state == "current":
        assert after.current == order.name
        if stand.current != order.name:
            assert after.previous == stand.current
            assert work.restart


@given(stands(), orders)
def test_beside_what_is_in_use_only_the_newest_stay(stand: Stand, order: Order) -> None:
    work = plan(stand, order)
    after = outcome(stand, order, work)
    if order.state == "current" and order.keep_releases:
        assert len(set(after.complete) - {after.current, after.previous}) <= order.keep_releases


def test_a_restart_that_is_owed_is_the_only_work() -> None:
    stand = Stand("v2", "v1", "v2", {"v1": "a", "v2": "b"})
    assert plan(stand, Order("v2", "current")) == Work(restart=True)


def test_a_caller_may_insist_on_a_restart() -> None:
    stand = Stand("v2", "v1", "", {"v1": "a", "v2": "b"})
    assert plan(stand, Order("v2", "current")) == Work()
    assert plan(stand, Order("v2", "current", must_restart=True)) == Work(restart=True)


@pytest.mark.parametrize("name", ["v1", "v2"])
def test_what_is_in_use_is_not_removed_on_request(name: str) -> None:
    stand = Stand("v2", "v1", "", {"v1": "", "v2": ""})
    with pytest.raises(MigrationError, match="current or the one to go back to"):
        plan(stand, Order(name, "absent"))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "-a", ".draft-v1", "a\n", "ä"])
def test_a_name_is_one_plain_folder_name(name: str) -> None:
    with pytest.raises(MigrationError, match="plain folder name"):
        plan(Stand(), Order(name, "present"))
