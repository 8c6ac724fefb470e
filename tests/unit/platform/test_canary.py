# SPDX-License-Identifier: GPL-3.0-or-later
"""How large a canary is, and when it counts as gone."""

from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._platform.kubernetes import canary
from ansible_collections.emailai.migration.plugins.module_utils._platform.kubernetes.cluster import Cluster

_DEPLOYMENT: t.Final = {"spec": {"selector": {"matchLabels": {"app": "web"}}}}


class Asked(Cluster):
    """A cluster of which is known what it would answer."""

    def __init__(self, pods: list[dict[str, t.Any]], is_there: bool = False) -> None:
        self._patience = 0.0
        self._pods, self._is_there = pods, is_there

    def find(self, name: str) -> t.Any:
        return _DEPLOYMENT if self._is_there else None

    def _listed(self, what: str, ask: t.Callable[[str], t.Any], selector: str) -> list[t.Any]:
        return self._pods


@pytest.mark.parametrize(
    ("pods", "is_there", "is_over"),
    [
        ([], False, True),
        ([], True, False),
        ([{"metadata": {"name": "a"}}], False, False),
        # It has minutes for what is in flight, and gets no users any more.
        ([{"metadata": {"name": "a", "deletionTimestamp": "2025-06-01T00:00:00Z"}}], False, True),
        ([{"metadata": {"deletionTimestamp": "2025-06-01T00:00:00Z"}}, {"metadata": {}}], False, False),
    ],
)
def test_pods_that_take_their_time_to_end_hold_up_nobody(
    pods: list[dict[str, t.Any]], is_there: bool, is_over: bool
) -> None:
    assert Asked(pods, is_there).until_leaving("web-canary", _DEPLOYMENT) == is_over


@given(st.integers(0, 1000), st.floats(0, 50))
def test_a_canary_has_one_pod_at_least_and_no_more_than_its_share(replicas: int, percent: float) -> None:
    pods = canary.pods_for(replicas, percent)
    assert (pods == 0) == (replicas == 0 or percent == 0)
    assert pods <= 1 or pods * 100 <= percent * (replicas + pods) * (1 + 1e-9)
