# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to happen to the services of a Compose project."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform.composition import (
    Order,
    Runs,
    Stand,
    Work,
    adopt,
    outcome,
    plan,
    read,
    runs_well,
    written,
)

IMAGE = "registry.example.com/app"
NAMES = ("v1", "v2", "v3", "v4", "v5")


def reference(name: str) -> str:
    return f"{IMAGE}@sha256:{NAMES.index(name) + 1:064x}"


@st.composite
def stands(draw: st.DrawFn) -> Stand:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    releases = {name: reference(name) for name in names}
    pulled = draw(st.sets(st.sampled_from(names)))
    images = {reference(name): f"id of {name}" for name in pulled}
    running = draw(st.sampled_from(["", *(f"id of {name}" for name in NAMES)]))
    trouble = draw(st.sampled_from(["", "unhealthy"]))
    return Stand(
        current=draw(st.sampled_from(names)),
        previous=draw(st.sampled_from(["", *names])),
        releases=releases,
        images=images,
        services={"app": Runs(frozenset({running} - {""}), trouble if running else "")},
    )


orders = st.builds(
    lambda name, state, keep: Order(name, state, reference(name), keep),
    st.sampled_from(NAMES),
    st.sampled_from(["present", "current"]),
    st.integers(0, 3),
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
    assert {after.current, after.previous} <= {"", *after.releases}
    if order.state == "current":
        assert after.current == order.name
        assert runs_well(after, order)
        if stand.current != order.name:
            assert after.previous == stand.current


@given(stands(), orders)
def test_beside_what_is_in_use_only_the_newest_stay(stand: Stand, order: Order) -> None:
    after = outcome(stand, order, plan(stand, order))
    if order.state == "current" and order.keep_releases:
        assert len(set(after.releases) - {after.current, after.previous}) <= order.keep_releases


@given(stands())
def test_what_is_written_is_read_again(stand: Stand) -> None:
    again = read(written(stand), "pin")
    assert (again.current, again.previous, again.releases) == (stand.current, stand.previous, stand.releases)
    pinned = json.loads(written(stand))["services"]
    assert pinned == {"app": {"image": stand.releases[stand.current]}}


@given(stands(), orders)
def test_nothing_that_serves_is_touched_by_pulling(stand: Stand, order: Order) -> None:
    work = plan(stand, Order(order.name, "present", order.reference))
    after = outcome(stand, order, work)
    assert work == Work(pull=order.reference not in stand.images)
    assert (after.current, after.previous, after.services) == (stand.current, stand.previous, stand.services)


def v1_and_v2(runs: Runs) -> Stand:
    images = {reference("v1"): "one", reference("v2"): "two"}
    return Stand("v2", "v1", {"v1": reference("v1"), "v2": reference("v2")}, images, {"app": runs})


@pytest.mark.parametrize(
    "runs",
    [
        Runs(frozenset({"one"})),
        Runs(frozenset({"one", "two"})),
        Runs(frozenset({"two"}), "unhealthy"),
        Runs(frozenset({"two"}), "starting"),
        Runs(),
    ],
)
def test_what_is_pinned_but_does_not_run_well_is_started(runs: Runs) -> None:
    order = Order("v2", "current", reference("v2"))
    assert plan(v1_and_v2(runs), order) == Work(start=True)
    assert plan(v1_and_v2(Runs(frozenset({"two"}))), order) == Work()


def test_a_caller_may_insist_on_new_containers() -> None:
    stand = v1_and_v2(Runs(frozenset({"two"})))
    order = Order("v2", "current", reference("v2"), must_recreate=True)
    assert plan(stand, order) == Work(start=True)


@pytest.mark.parametrize("name", ["v1", "v2"])
def test_a_release_in_use_has_one_image(name: str) -> None:
    with pytest.raises(MigrationError, match="it is in use here as"):
        plan(v1_and_v2(Runs()), Order(name, "present", reference("v5")))


def test_two_releases_of_one_image_are_told_apart_by_the_pin() -> None:
    stand = Stand("v2", "v1", dict.fromkeys(("v1", "v2"), reference("v1")), {reference("v1"): "one"},
                  {"app": Runs(frozenset({"one"}))})  # fmt: skip
    assert stand.as_row()["services"] == {"app": "v2"}
    assert plan(stand, Order("v2", "current", reference("v1"))) == Work()
    # The image of a release in use is not removed under its other name either.
    many = {**dict.fromkeys(("v3", "v1", "v2"), reference("v1"))}
    assert plan(Stand("v2", "v1", many, stand.images, stand.services),
                Order("v2", "current", reference("v1"), keep_releases=1)) == Work()  # fmt: skip


def test_what_runs_is_adopted_only_where_nothing_is_recorded() -> None:
    bare = Stand(services={"app": Runs(frozenset({"one"}))})
    assert adopt(bare, "v1", reference("v1")).current == "v1"
    assert adopt(bare, "", reference("v1")) == bare
    assert adopt(bare, "v1", "") == bare
    known = v1_and_v2(Runs())
    assert adopt(known, "v5", reference("v5")) == known


def test_an_unpinned_project_has_no_services_in_its_file() -> None:
    assert "services" not in json.loads(written(Stand(services={"app": Runs()})))
    assert read("", "pin") == Stand()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"x-emailai": 3}',
        '{"x-emailai": {"current": "v1", "previous": "", "releases": []}}',
        '{"x-emailai": {"current": "v1", "previous": "", "releases": {}}}',
        '{"x-emailai": {"current": "", "previous": "v1", "releases": {}}}',
        '{"x-emailai": {"current": "v1", "previous": "", "releases": {"v1": "app:latest"}}}',
    ],
)
def test_another_file_is_not_taken_for_the_record(text: str) -> None:
    with pytest.raises(MigrationError, match="Cannot read pin"):
        read(text, "pin")
