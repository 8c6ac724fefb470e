# SPDX-License-Identifier: GPL-3.0-or-later
"""A pair of releases that failed is taken back first; then another pair may begin, and later ones alone."""

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
        desk.play(
            "migrate.yml", journal_without=["rehearse"], migration_acknowledged_findings={"owners": "tester"}
        ).must_succeed()
    finally:
        desk.lab("load", "stop")
    assert set(desk.releases().values()) == {"v2.0.0-orgs"}
    assert lost(desk.layout) == []


def test_a_later_release_is_brought_watched_and_taken_back_by_its_playbooks_alone(desk: Desk) -> None:
    later = {"migration_release_before": "v2.0.0-orgs", "migration_release_after": "v2.1.0"}
    desk.lab("artifact", "v2.1.0")
    # Nobody is there to compare with: no server is touched, and nothing of it is kept.
    desk.play("playbooks/deploy.yml", **later).must_fail("too little was seen of the service")
    assert set(desk.releases().values()) == {"v2.0.0-orgs"}
    (desk.layout.load / "figures.json").unlink()
    desk.lab("load", "start")
    try:
        desk.play("playbooks/deploy.yml", "--check", **later).must_succeed()
        assert set(desk.releases().values()) == {"v2.0.0-orgs"}
        desk.play("playbooks/deploy.yml", **later).must_succeed()
        assert set(desk.releases().values()) == {"v2.1.0"}
        again = desk.play("playbooks/deploy.yml", **later).must_succeed()
        assert not any(again.changed.values())
        desk.play("playbooks/watch.yml", **later).must_succeed()
        desk.play("playbooks/roll_back.yml", migration_roll_back_depth="data", **later).must_fail(
            "it only exchanged the release"
        )
        desk.play("playbooks/roll_back.yml", **later).must_succeed()
        back = desk.play("playbooks/roll_back.yml", **later).must_succeed()
        assert not any(number for host, number in back.changed.items() if host.startswith("app-"))
    finally:
        desk.lab("load", "stop")
    assert set(desk.releases().values()) == {"v2.0.0-orgs"}
    assert desk.value('SELECT count(*) FROM "EmailAccount" WHERE "organizationId" IS NOT NULL') > 0
    report = desk.load_report()
    assert (report["failed"], report["requests"] > 500) == (0, True)
