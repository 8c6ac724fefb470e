# SPDX-License-Identifier: GPL-3.0-or-later
"""How a rollout on a cluster is judged, from objects alone."""

from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._platform.kubernetes import rollout

NUMBERS = st.integers(0, 5)


def deployment(spec: t.Optional[dict[str, t.Any]] = None, **status: t.Any) -> dict[str, t.Any]:
    return {
        "metadata": {"name": "web", "uid": "1", "generation": 2, "annotations": {}},
        "spec": {"replicas": 3, **(spec or {})},
        "status": {"observedGeneration": 2, **status},
    }


def pod(**status: t.Any) -> dict[str, t.Any]:
    return {"metadata": {"name": "web-1"}, "status": status}


@pytest.mark.parametrize(
    ("found", "is_done", "text"),
    [
        (deployment(observedGeneration=1, updatedReplicas=3), False, "has not been seen yet"),
        (deployment(), False, "0 of 3 pods have the new template"),
        (deployment(updatedReplicas=3, replicas=4), False, "1 old pods are still there"),
        (deployment(updatedReplicas=3, replicas=3, availableReplicas=2), False, "2 of 3 new pods"),
        (deployment(updatedReplicas=3, replicas=3, availableReplicas=3), True, "3 pods are available"),
        (deployment({"replicas": 0}), True, "0 pods"),
    ],
)
def test_it_stands_as_kubectl_says(found: dict[str, t.Any], is_done: bool, text: str) -> None:
    assert rollout.standing(found).is_done is is_done
    assert text in rollout.standing(found).text


@given(wanted=NUMBERS, there=NUMBERS, updated=NUMBERS, available=NUMBERS)
def test_it_is_done_only_when_nothing_old_is_left_and_all_is_available(
    wanted: int, there: int, updated: int, available: int
) -> None:
    found = deployment(
        {"replicas": wanted}, replicas=there, updatedReplicas=updated, availableReplicas=available
    )
    if rollout.standing(found).is_done:
        assert updated >= wanted
        assert there <= updated <= available


def fresh(_pod: rollout.Object) -> float:
    return 1.0


def old(_pod: rollout.Object) -> float:
    return 60.0


def test_what_may_still_become_ready_is_not_doomed() -> None:
    creating = {"name": "app", "state": {"waiting": {"reason": "ContainerCreating"}}}
    unplaced = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}]
    assert rollout.doom(deployment(), [pod(containerStatuses=[creating])], old) == []
    assert rollout.doom(deployment(), [pod(conditions=unplaced)], fresh) == []
    assert rollout.doom(deployment(), [pod(conditions=unplaced)], old) == [
        "pod web-1: Unschedulable: no room"
    ]
    assert rollout.doom(deployment(), [{"metadata": {"name": "new"}}], old) == []


def test_an_init_container_is_looked_at_too() -> None:
    crash = {"name": "migrate", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    assert rollout.doom(deployment(), [pod(initContainerStatuses=[crash])], lambda _pod: 0.0) == [
        "pod web-1: migrate: CrashLoopBackOff"
    ]


def test_the_newest_comes_first_and_strangers_do_not() -> None:
    def one(name: str, revision: str, owner: str) -> dict[str, t.Any]:
        return {
            "metadata": {
                "name": name,
                "annotations": {rollout.REVISION: revision},
                "ownerReferences": [{"uid": owner}],
            }
        }

    sets = [one("a", "2", "1"), one("b", "10", "1"), one("c", "11", "2"), one("d", "x", "1")]
    assert [each["metadata"]["name"] for each in rollout.owned(deployment(), sets)] == ["b", "a", "d"]


def test_the_template_is_given_back_without_the_mark_of_the_controller() -> None:
    made = {"spec": {"template": {"metadata": {"labels": {"app": "web", rollout.HASH: "abc"}}, "spec": {}}}}
    assert rollout.template_of(made) == {"metadata": {"labels": {"app": "web"}}, "spec": {}}
    assert made["spec"]["template"]["metadata"]["labels"][rollout.HASH] == "abc"


@pytest.mark.parametrize("text", ["", "no json", "[]", '"v1"', "{"])
def test_a_note_that_cannot_be_read_counts_for_nothing(text: str) -> None:
    found = deployment()
    found["metadata"]["annotations"] = {rollout.RELEASES: text}
    assert rollout.releases(found) == {}
