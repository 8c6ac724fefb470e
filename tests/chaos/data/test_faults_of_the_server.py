# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions are ended, or the whole server is, at any statement of the data step."""

from __future__ import annotations

import pytest

from chaos.data.faults import Arena, spread
from integration.conftest import Postgres

POINTS = 20


@pytest.fixture(scope="module")
def arena(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Arena:
    return Arena(postgres, tmp_path_factory.mktemp("work"))


@pytest.mark.parametrize("is_before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("fault", ["terminate", "restart"])
def test_the_next_call_ends_as_if_nothing_had_happened(arena: Arena, fault: str, is_before: bool) -> None:
    points = list(spread(arena.statements, POINTS, offset=int(is_before)))
    trials = [arena.strike(at, is_before, fault) for at in points]
    bad = [(at, trial) for at, trial in zip(points, trials, strict=True) if trial.faults]
    print(f"{fault}: {len(trials)} of {arena.statements} statements tried, {len(bad)} ended wrong")
    assert bad == []
