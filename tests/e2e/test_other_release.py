# SPDX-License-Identifier: GPL-3.0-or-later
"""A pair of releases that failed is taken back first; then another pair may begin."""

from __future__ import annotations

from e2e.desk import Desk
from lab.migration import lost

BAD = {"migration_release_after": "v2.0.1-bad"}


def test_a_release_that_only_fails_is_taken_back(desk: Desk) -> None:
    desk.lab("artifact", "v2.0.1-bad", "--fault", "error_rate=1")
    desk.lab("load", "start")
    run = desk.play("migrate.yml", journal_without=["rehearse"], **BAD)
    run.must_fail("Cannot deploy v2.0.1-bad", "Every server is back on v1.9.0")
    assert set(desk.releases().values()) == {"v1.9.0"}


def test_another_release_is_refused_until_the_failed_pair_is_taken_back(desk: Desk) -> None:
    desk.play("migrate.yml").must_fail("v1.9.0..v2.0.1-bad#1", "playbooks/roll_back.yml")


def test_the_right_release_then_goes_in(desk: Desk) -> None:
    try:
        desk.play("playbooks/roll_back.yml", **BAD).must_succeed()
        # Whoever signed up on the bad release and left it behind has left an empty organization.
        desk.play("migrate.yml", migration_acknowledged_findings={"owners": "tester"}).must_succeed()
    finally:
        desk.lab("load", "stop")
    assert set(desk.releases().values()) == {"v2.0.0-orgs"}
    assert lost(desk.layout) == []
