# SPDX-License-Identifier: GPL-3.0-or-later
"""A release that answers one request in ten with an error gets no further than its first server."""

from __future__ import annotations

import pytest

from e2e.desk import Desk
from lab import load
from lab.migration import lost

pytestmark = pytest.mark.always


def test_a_bad_release_is_stopped_at_the_first_server_and_taken_back(desk: Desk) -> None:
    desk.lab("artifact", "v2.0.1-bad", "--fault", "error_rate=0.1")
    desk.lab("load", "start")
    try:
        # Without the smoke suite: of its requests, too, one in ten would fail, before any user's.
        run = desk.play(
            "migrate.yml",
            migration_release_after="v2.0.1-bad",
            app_smoke_user="",
            app_soak_seconds=8,
            gate_minimum_requests=100,
        )
    finally:
        desk.lab("load", "stop")
    run.must_fail("Cannot deploy v2.0.1-bad", "Every server is back on v1.9.0")
    # At once, not when the way back of the whole fleet comes to it: until then users meet the release.
    assert run.output.index("Return this server to the old release") < run.output.index("(4/6) Judge")
    assert set(desk.releases().values()) == {"v1.9.0"}
    # The later batches did not begin: the bad release lies on the other servers, and was taken up by none.
    assert desk.exchanged("v2.0.1-bad") == ["app-1"]
    # What failed is what the bad release itself answered; nothing was lost on the way in or back.
    assert {failure.get("release") for failure in load.failures(desk.layout)} <= {"v2.0.1-bad"}
    assert lost(desk.layout) == []
    assert desk.value("SELECT state FROM emailai_migration.run") == "failed"
