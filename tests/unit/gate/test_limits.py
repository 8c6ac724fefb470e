# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate's numbers are the runbook's, and nonsense is refused."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._gate.limits import Limits, limits_from


def test_the_defaults_are_the_runbooks() -> None:
    limits = limits_from({})
    assert limits == Limits()
    assert (limits.error_percent_hold, limits.error_percent_ask, limits.error_percent_roll_back) == (1, 2, 5)
    assert (limits.p95_ms, limits.slower_percent) == (500, 50)
    assert (limits.windows_over, limits.windows_of, limits.extensions) == (3, 5, 3)
    assert (limits.connection_failures, limits.connection_failures_seconds) == (3, 60)
    assert (limits.connections_percent, limits.complaints) == (80, 3)
    alerts = (limits.alert_errors_per_minute, limits.alert_query_ms, limits.alert_failed_logins)
    assert alerts == (10, 100, 5)
    assert limits.alert_failed_logins_seconds == 300
    assert not limits.alerts_hold


def test_values_of_playbooks_are_understood() -> None:
    limits = limits_from({"p95_ms": "800", "windows_over": "2", "alerts_hold": "yes"})
    assert (limits.p95_ms, limits.windows_over, limits.alerts_hold) == (800.0, 2, True)


@pytest.mark.parametrize(
    "given",
    [
        {"p95": 500},
        {"p95_ms": "fast"},
        {"p95_ms": -1},
        {"p95_ms": None},
        {"alerts_hold": "maybe"},
        {"error_percent_ask": 6},
        {"error_percent_hold": 0},
        {"error_percent_hold": 5, "error_percent_ask": 5},
        {"error_percent_roll_back": 100},
        {"hard_false_alarm": 0},
        {"soft_false_alarm": 1},
        {"windows_over": 6},
        {"windows_over": 0},
    ],
)
def test_nonsense_is_refused(given: dict[str, t.Any]) -> None:
    with pytest.raises(MigrationError, match="Cannot use the limits of the gate"):
        limits_from(given)
