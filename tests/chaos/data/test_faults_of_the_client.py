# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker dies, or its connection is cut, at any of its statements."""

from __future__ import annotations

import pytest

from chaos.data.faults import Arena
from integration.conftest import Postgres


@pytest.fixture(scope="module")
def arena(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Arena:
    return Arena(postgres, tmp_path_factory.mktemp("work"))


@pytest.mark.parametrize("is_before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("fault", ["kill", "cut"])
def test_the_next_call_ends_as_if_nothing_had_happened(arena: Arena, fault: str, is_before: bool) -> None:
    assert arena.strike_at(40, is_before, fault) == []
