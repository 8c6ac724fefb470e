# SPDX-License-Identifier: GPL-3.0-or-later
"""One control plane for all tests; without its programs each test is skipped by name."""

from __future__ import annotations

import typing as t

import pytest

from cluster.world import World
from lab import cluster_programs
from lab.cluster import Cluster


@pytest.fixture(scope="session")
def cluster() -> t.Iterator[Cluster]:
    lacking = cluster_programs.missing()
    if lacking:
        pytest.skip(f"{', '.join(lacking)} are not built: make programs, which needs Go")
    with Cluster() as made:
        made.add_nodes(2)
        yield made


@pytest.fixture(autouse=True)
def _nothing_left() -> t.Iterator[None]:
    yield
    while World.made:
        World.made.pop().remove()
