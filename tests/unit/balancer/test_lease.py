# SPDX-License-Identifier: GPL-3.0-or-later
"""When a keeper brings a member back, and when it has no business to; balancers and clock are of memory."""

from __future__ import annotations

import dataclasses
import typing as t
from pathlib import Path

import pytest
from unit.balancer.world import Clock, Memory, balancer, member

from ansible_collections.emailai.migration.plugins.module_utils._balancer import (
    healing,
    keeping,
    lease,
    lease_file,
)
from ansible_collections.emailai.migration.plugins.module_utils._balancer.keeper import Keeper
from ansible_collections.emailai.migration.plugins.module_utils._balancer.lease import Lease
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

LEASE = Lease(
    token="ours",
    backend="emailai",
    member="app-1",
    balancers=[],
    before={"lb-1": "ready"},
    seconds=60,
    versions=["v1", "v2"],
    health_url="http://app-1",
)


class World:
    """One balancer with app-1 drained under a lease, and a keeper that is ready to begin."""

    def __init__(self, folder: Path, **change: t.Any) -> None:
        self.path = str(folder / "lease.json")
        self.clock = Clock()
        self.lb = balancer(str(folder))
        self.lb.change("app-1", admission="drained")
        self.says: tuple[str, str] = ("v1", "")
        self.write(dataclasses.replace(LEASE, **change))

    def write(self, new: Lease) -> None:
        lease_file.write(self.path, new)

    @property
    def lease(self) -> Lease:
        found = lease_file.read(self.path)
        assert found is not None
        return found

    @property
    def admission(self) -> str:
        return self.lb.fleet["app-1"].admission

    def keep(self, *more: Memory) -> None:
        Keeper(self.path, "ours", [self.lb, *more], lambda _lease: self.says, self.clock).keep()

    def at(self, seconds: float, act: t.Callable[[], None]) -> None:
        done: list[bool] = []

        def tick() -> None:
            if self.clock.now >= seconds and not done:
                done.append(True)
                act()

        self.clock.each_tick.append(tick)


def test_at_the_deadline_it_is_brought_back(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.keep()
    assert world.admission == "ready"
    assert world.lease.state == lease.READMITTED
    assert 60 <= world.clock.now < 62


def test_each_word_from_the_run_begins_a_new_time(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.at(50, lambda: world.write(world.lease.renewed(100, lease.HELD, "")))
    world.keep()
    assert 150 <= world.clock.now < 152


def test_a_word_that_comes_while_health_is_asked_is_heard(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.at(60.25, lambda: world.write(world.lease.renewed(100, lease.HELD, "")))
    world.keep()
    assert world.clock.now > 160


@pytest.mark.parametrize("state", [lease.HELD, lease.RETURNING])
def test_another_token_ends_the_keeper(tmp_path: Path, state: str) -> None:
    world = World(tmp_path)
    world.at(30, lambda: world.write(dataclasses.replace(world.lease, token="theirs", state=state)))
    world.keep()
    assert world.clock.now < 31
    assert world.lb.heard == []


def test_a_lease_that_is_gone_ends_the_keeper(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.at(30, lambda: lease_file.remove(world.path))
    world.keep()
    assert world.lb.heard == []


@pytest.mark.parametrize(
    ("says", "change", "words"),
    [
        (("v3", ""), {}, "it runs v3, not v1 or v2"),
        (("", ""), {}, "it runs a release it does not name"),
        (("v1", "it answers 503"), {}, "it answers 503"),
        (("v1", ""), {"health": 2}, "health 2"),
    ],
)
def test_who_is_not_well_is_left_out(
    tmp_path: Path, says: tuple[str, str], change: dict[str, t.Any], words: str
) -> None:
    world = World(tmp_path)
    world.says = says
    world.lb.change("app-1", **change)
    world.keep()
    assert world.admission == "drained"
    assert world.lease.state == lease.LEFT_OUT
    assert words in world.lease.reason
    assert world.clock.now >= 70


def test_once_well_is_not_enough(tmp_path: Path) -> None:
    world = World(tmp_path)
    answers = iter([("v1", ""), ("v1", ""), ("", "it answers 500")] * 100)
    asked = Keeper(world.path, "ours", [world.lb], lambda _lease: next(answers), world.clock)
    asked.keep()
    assert world.admission == "drained"
    assert "it was well only" in world.lease.reason or "500" in world.lease.reason


@pytest.mark.parametrize(("admission", "before"), [("closed", "ready"), ("drained", "drained")])
def test_what_is_not_our_doing_stays(tmp_path: Path, admission: str, before: str) -> None:
    world = World(tmp_path, before={"lb-1": before})
    world.lb.change("app-1", admission=admission)
    world.keep()
    assert world.lb.heard == []
    assert world.lease.state == lease.GONE


def test_a_balancer_that_forgot_the_drain_is_told_again(tmp_path: Path) -> None:
    world = World(tmp_path)

    def reload() -> None:
        world.lb.generation = "2"
        world.lb.change("app-1", admission="ready")

    world.at(10, reload)
    world.at(12, lambda: world.write(world.lease.renewed(5, lease.HELD, "")))
    world.keep()
    assert world.lb.heard == ["drain", "admit"]


def test_a_reload_that_somebody_else_closed_it_with_is_left_alone(tmp_path: Path) -> None:
    world = World(tmp_path)

    def reload() -> None:
        world.lb.generation = "2"
        world.lb.change("app-1", admission="closed")

    world.at(10, reload)
    world.keep()
    assert world.lb.heard == []
    assert world.lease.state == lease.GONE


def test_one_that_the_run_is_bringing_back_is_not_drained_again(tmp_path: Path) -> None:
    world = World(tmp_path, state=lease.RETURNING)

    def reload() -> None:
        world.lb.generation = "2"
        world.lb.change("app-1", admission="ready")

    world.at(10, reload)
    world.keep()
    assert world.lb.heard == []


def test_a_dead_balancer_keeps_nobody_from_the_living(tmp_path: Path) -> None:
    world = World(tmp_path, before={"lb-1": "ready", "lb-2": "ready"})
    world.keep(balancer(str(tmp_path), "lb-2", refuses={"members"}))
    assert world.admission == "ready"
    assert "lb-2" in world.lease.reason


def test_what_was_before_is_remembered_over_a_run_that_was_lost() -> None:
    members = [member("app-1", admission="drained"), member("app-1", "lb-2")]
    assert lease.before_of(members, None) == {"lb-1": "drained", "lb-2": "ready"}
    assert lease.before_of(members, LEASE) == {"lb-1": "ready", "lb-2": "ready"}
    # Somebody else had a hand in it: what is seen now is what counts.
    gone = LEASE.ended(lease.GONE, "", "")
    assert lease.before_of(members, gone) == {"lb-1": "drained", "lb-2": "ready"}


def test_each_member_of_each_backend_has_a_file_of_its_own() -> None:
    names = {lease.file_name(*pair) for pair in [("a", "b/c"), ("a", "b:c"), ("x", "b/c"), ("a/b", "c")]}
    assert len(names) == 4
    assert all("/" not in name for name in names)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"token": "x"}'])
def test_a_lease_that_cannot_be_read_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lease-x.json"
    path.write_text(text)
    with pytest.raises(MigrationError, match="Cannot read the lease"):
        lease_file.read(str(path))


def test_an_unknown_state_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        lease.read({**LEASE.as_document(), "state": "whatever"})
    assert lease.read(LEASE.as_document()) == LEASE


def test_under_systemd_the_keeper_is_a_unit_of_its_own() -> None:
    words = keeping.command("/leases/lease-a.json", "token", "/root", has_systemd=True)
    assert words[0] == "systemd-run"
    assert "--setenv=PYTHONPATH=/root" in words
    other = keeping.command("/leases/lease-a.json", "other", "/root", has_systemd=True)
    assert [each for each in words if "--unit" in each] != [each for each in other if "--unit" in each]


def test_the_code_of_the_keeper_is_found_where_it_stays(tmp_path: Path) -> None:
    own = "ansible_collections/emailai/migration/plugins/module_utils/_balancer/keeping.py"
    assert keeping.import_root(f"/usr/share/{own}", str(tmp_path)) == "/usr/share"
    archive = tmp_path / "payload.zip"
    archive.write_bytes(b"code")
    copy = keeping.import_root(f"{archive}/{own}", str(tmp_path))
    archive.unlink()
    assert Path(copy).read_bytes() == b"code"


def test_nothing_heals_where_no_lease_is_kept(tmp_path: Path) -> None:
    (line,) = healing.lines("", "emailai")
    assert line["state"] == "not_watched"
    assert line["found"].startswith("not self-healing")
    (line,) = healing.lines(str(tmp_path / "leases"), "emailai")
    assert line["state"] == "met"
    assert not (tmp_path / "leases").exists()


@pytest.mark.parametrize(
    ("state", "reason", "is_met"),
    [
        (lease.READMITTED, "", True),
        (lease.READMITTED, "lb-2 is dead", False),
        (lease.LEFT_OUT, "it answers 503", False),
        (lease.HELD, "", False),
    ],
)
def test_what_an_earlier_run_left_is_named(tmp_path: Path, state: str, reason: str, is_met: bool) -> None:
    lease_file.write(str(tmp_path / "lease-x.json"), LEASE.ended(state, reason, "2026-03-01T02:10:00Z"))
    _first, line = healing.lines(str(tmp_path), "emailai")
    assert line["item"] == "app-1 left by an earlier run"
    assert reason in line["found"]
    assert (line["state"] == "met") is is_met
    assert len(healing.lines(str(tmp_path), "other")) == 1
