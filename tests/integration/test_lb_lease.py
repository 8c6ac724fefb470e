# SPDX-License-Identifier: GPL-3.0-or-later
"""lb_member under a lease, against a real HAProxy: runs that are lost, and keepers that come late."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import typing as t
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from integration import haproxy_fixture
from integration.haproxy_fixture import ROOT, Fleet, Haproxy, run_module, wait_until
from integration.test_lb_member import busy_server, slow_request

# `make test` has no time for these.
pytestmark = pytest.mark.further


@dataclass
class Leased:
    """A fleet, and the folder in which its leases are kept."""

    fleet: Fleet
    folder: Path

    def member(
        self, name: str, state: str, seconds: float = 30, check_mode: bool = False, **more: t.Any
    ) -> dict[str, t.Any]:
        server = next(each for each in self.fleet.servers if each.name == name)
        lease = {
            "folder": str(self.folder),
            "seconds": seconds,
            "health_url": f"{server.url}/api/health",
            "versions": ["v1.9.0", "v2.0.0-orgs"],
            "token": more.pop("token", ""),
            **more.pop("lease", {}),
        }
        return self.fleet.member(name, state, check_mode, lease=lease, **more)

    def state(self, name: str) -> str:
        return self.fleet.haproxy.states().get(name, ("",))[0]

    def leases(self) -> list[dict[str, t.Any]]:
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob("lease-*.json"))]

    def wait_for_end(self, seconds: float = 20) -> dict[str, t.Any]:
        """What the only lease came to."""
        wait_until(
            lambda: [each["state"] for each in self.leases()] not in (["held"], ["returning"]), seconds
        )
        return self.leases()[0]

    def open_lines(self, name: str) -> list[str]:
        params = {
            "balancers": [{"socket": self.fleet.haproxy.socket}],
            "backend": "emailai",
            "members": [name],
            "lease_folder": str(self.folder),
        }
        lines = run_module("lb_member_info", params)["readiness"]
        return [line["found"] for line in lines if line["item"].endswith("left by an earlier run")]


@pytest.fixture(scope="module")
def whole_fleet(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Fleet]:
    with haproxy_fixture.fleet(tmp_path_factory.mktemp("f", numbered=True)) as found:
        yield found


def end_keepers(folder: Path) -> None:
    """A keeper without a lease has nothing to do and ends."""
    for path in folder.glob("lease-*.json"):
        path.unlink()
    wait_until(lambda: not list(folder.glob("*.keeper")), 30)


@pytest.fixture
def leased(whole_fleet: Fleet, tmp_path: Path) -> t.Iterator[Leased]:
    found = Leased(whole_fleet, tmp_path / "leases")
    yield found
    end_keepers(found.folder)
    for server in whole_fleet.servers:
        whole_fleet.haproxy.ask(f"set server emailai/{server.name} state ready")
    wait_until(lambda: all(state[0] == "UP" for state in whole_fleet.haproxy.states().values()))


def test_a_drain_under_a_lease_and_its_return_four_times_each(leased: Leased) -> None:
    for state, word, count in (("drained", "DRAIN", 1), ("ready", "UP", 0)):
        before = len(leased.leases())
        promised = leased.member("app-1", state, check_mode=True)
        assert promised["changed"]
        assert len(leased.leases()) == before
        done = leased.member("app-1", state)
        assert done["changed"]
        assert done["diff"] == promised["diff"]
        assert leased.state("app-1") == word
        assert len(leased.leases()) == count
        assert not leased.member("app-1", state, check_mode=True)["changed"]
        assert not leased.member("app-1", state)["changed"]
        assert leased.state("app-1") == word
    assert list(leased.folder.glob("lease-*.json")) == []


def test_a_member_whose_run_is_lost_comes_back_by_itself(leased: Leased) -> None:
    with leased.fleet.users(count=4).visiting() as users:
        assert leased.member("app-1", "drained", seconds=2)["lease"]["seconds"] == 2
        began = time.monotonic()
        time.sleep(1)
        assert leased.state("app-1") == "DRAIN"
        wait_until(lambda: leased.state("app-1") == "UP", 15)
        assert time.monotonic() - began > 1.5
    assert users.failures == []
    assert leased.wait_for_end()["state"] == "readmitted"
    # The next run reads what happened, and names it.
    found = leased.member("app-1", "drained")
    assert "its keeper gave it its traffic again" in found["lease_found"]
    assert found["warnings"]


def test_a_run_killed_while_it_waits_for_zero_leaves_nobody_out(leased: Leased) -> None:
    thread, seen = slow_request(leased.fleet.haproxy.port, 4)
    name = busy_server(leased.fleet)
    arguments = {
        "balancers": [{"socket": leased.fleet.haproxy.socket}],
        "backend": "emailai",
        "member": name,
        "state": "drained",
        "timeout_seconds": 3,
        "lease": {"folder": str(leased.folder), "seconds": 1},
    }
    run = subprocess.Popen(
        [sys.executable, "-m", "ansible_collections.emailai.migration.plugins.modules.lb_member"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT / "collections")},
        start_new_session=True,
    )
    assert run.stdin is not None
    run.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
    run.stdin.close()
    wait_until(lambda: leased.state(name) == "DRAIN")
    os.killpg(run.pid, signal.SIGKILL)
    run.wait(10)
    assert leased.state(name) == "DRAIN"
    wait_until(lambda: leased.state(name) == "UP", 15)
    thread.join()
    assert seen == [200]


def test_a_late_keeper_does_not_undo_a_resumed_run(leased: Leased) -> None:
    first = leased.member("app-1", "drained", seconds=1.5)
    second = leased.member("app-1", "drained", seconds=30)
    assert second["lease"]["token"] != first["lease"]["token"]
    assert "has not been heard of again" in second["lease_found"]
    time.sleep(3.5)
    assert leased.state("app-1") == "DRAIN"
    # Nor does the first run itself, should it wake up.
    for state in ("drained", "ready"):
        late = leased.member("app-1", state, token=first["lease"]["token"])
        assert late["failed"]
        assert "another run has taken its lease over" in late["msg"]
        assert leased.state("app-1") == "DRAIN"
    # What was before us is remembered over both: at the end the keeper of the second may bring it back.
    assert set(leased.leases()[0]["before"].values()) == {"ready"}


def test_a_start_that_takes_longer_than_the_drains_lease_is_not_cut_short(leased: Leased) -> None:
    server = leased.fleet.servers[0]
    drained = leased.member(server.name, "drained", seconds=2)
    held = leased.member(server.name, "drained", seconds=30, token=drained["lease"]["token"])
    assert not held["changed"]
    assert held["lease"] == {"token": drained["lease"]["token"], "seconds": 30}
    assert held["lease_found"] == ""
    server.set_cold(4)
    server.restart()
    server.set_cold(0)
    time.sleep(3.5)
    assert leased.state(server.name).startswith(("DRAIN", "DOWN"))
    done = leased.member(server.name, "ready", token=drained["lease"]["token"])
    assert done["changed"]
    assert leased.leases() == []


def test_a_run_that_slept_too_long_is_told_before_it_touches_the_server(leased: Leased) -> None:
    token = leased.member("app-1", "drained", seconds=1)["lease"]["token"]
    wait_until(lambda: leased.state("app-1") == "UP", 15)
    leased.wait_for_end()
    late = leased.member("app-1", "drained", token=token)
    assert late["failed"]
    assert "its keeper gave it its traffic again" in late["msg"]
    assert leased.state("app-1") == "UP"


@pytest.mark.parametrize(
    ("ill", "words"),
    [("cold", "it answers 503"), ("version", "it runs v1.9.0, not v3"), ("dead", "no answer")],
)
def test_a_member_that_is_not_well_is_left_out_and_named(leased: Leased, ill: str, words: str) -> None:
    server = leased.fleet.servers[0]
    lease = {"versions": ["v3"]} if ill == "version" else {}
    leased.member(server.name, "drained", seconds=1, lease=lease)
    if ill == "cold":
        server.set_cold(60)
        server.restart()
    if ill == "dead":
        server.stop()
    try:
        ended = leased.wait_for_end(40)
        assert ended["state"] == "left_out"
        assert words in ended["reason"]
        assert leased.state(server.name) != "UP"
        assert any("left it out of traffic" in line for line in leased.open_lines(server.name))
    finally:
        server.set_cold(0)
        server.restart()
    found = leased.member(server.name, "ready")
    assert words in found["lease_found"]
    assert leased.leases() == []


def test_what_somebody_else_closed_stays_closed(leased: Leased) -> None:
    leased.member("app-1", "drained", seconds=1)
    leased.fleet.haproxy.ask("set server emailai/app-1 state maint")
    ended = leased.wait_for_end()
    assert ended["state"] == "gone"
    assert "which is not our doing" in ended["reason"]
    assert leased.state("app-1") == "MAINT"


def test_what_was_drained_before_us_is_not_brought_back(leased: Leased) -> None:
    leased.fleet.haproxy.ask("set server emailai/app-1 state drain")
    leased.member("app-1", "drained", seconds=1)
    assert leased.wait_for_end()["state"] == "gone"
    assert leased.state("app-1") == "DRAIN"


def test_a_reload_after_the_drain_does_not_bring_the_member_back(leased: Leased) -> None:
    """The release is being exchanged at that moment, and nobody else is looking."""
    leased.member("app-1", "drained", seconds=4)
    leased.fleet.haproxy.reload()
    wait_until(lambda: "Pid" in leased.fleet.haproxy.ask("show info"))
    wait_until(lambda: leased.state("app-1") == "DRAIN")
    time.sleep(1)
    assert leased.state("app-1") == "DRAIN"
    wait_until(lambda: leased.state("app-1") == "UP", 20)


def test_a_drain_that_fails_needs_no_keeper(leased: Leased) -> None:
    refused = leased.member("app-1", "drained", min_healthy=4)
    assert "members would go on serving" in refused["msg"]
    assert leased.leases() == []


def test_a_folder_that_cannot_be_written_stops_before_the_drain(leased: Leased, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    failed = leased.member("app-1", "drained", lease={"folder": str(tmp_path / "file" / "leases")})
    assert failed["msg"].startswith("Cannot keep leases in")
    assert leased.state("app-1") == "UP"


def test_a_lease_that_cannot_be_read_is_not_taken_for_none(leased: Leased) -> None:
    leased.member("app-1", "drained")
    path = next(leased.folder.glob("lease-*.json"))
    path.write_text("{")
    assert "Cannot read the lease" in leased.member("app-1", "ready")["msg"]
    assert leased.state("app-1") == "DRAIN"


def test_the_keeper_lives_on_when_the_archive_of_its_run_is_gone(leased: Leased, tmp_path: Path) -> None:
    """As Ansible runs a module on another host: everything in an archive that is removed at once."""
    archive = tmp_path / "run" / "payload.zip"
    archive.parent.mkdir()
    source = ROOT / "plugins"
    with zipfile.ZipFile(archive, "w") as packed:
        top = "ansible_collections/emailai/migration/plugins"
        for folder in (
            "ansible_collections",
            "ansible_collections/emailai",
            "ansible_collections/emailai/migration",
            top,
        ):
            packed.writestr(f"{folder}/__init__.py", "")
        packed.writestr(f"{top}/modules/__init__.py", "")
        packed.write(source / "modules" / "lb_member.py", f"{top}/modules/lb_member.py")
        packed.writestr(f"{top}/module_utils/__init__.py", "")
        for path in sorted((source / "module_utils").rglob("*.py")):
            packed.write(path, f"{top}/{path.relative_to(source)}")
    arguments = {
        "balancers": [{"socket": leased.fleet.haproxy.socket}],
        "backend": "emailai",
        "member": "app-1",
        "state": "drained",
        "lease": {
            "folder": str(leased.folder),
            "seconds": 2,
            "health_url": f"{leased.fleet.servers[0].url}/api/health",
        },
    }
    done = subprocess.run(
        [sys.executable, "-m", "ansible_collections.emailai.migration.plugins.modules.lb_member"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(archive)},
        check=False,
    )
    assert json.loads(done.stdout)["lease"], done.stderr
    shutil.rmtree(archive.parent)
    wait_until(lambda: leased.state("app-1") == "UP", 20)
    assert leased.wait_for_end()["state"] == "readmitted"


@pytest.fixture
def second(leased: Leased) -> t.Iterator[Haproxy]:
    """Another balancer in front of the same servers."""
    ports = haproxy_fixture.free_ports(2)
    found = Haproxy(leased.folder.parent / "lb2", ports[0], leased.fleet.servers, ports[1])
    found.start()
    yield found
    found.stop()


def kill(haproxy: Haproxy) -> None:
    """Master and workers at once, as with the loss of the machine."""
    assert haproxy.process is not None
    workers = Path(f"/proc/{haproxy.process.pid}/task/{haproxy.process.pid}/children").read_text().split()
    for pid in [haproxy.process.pid, *map(int, workers)]:
        os.kill(pid, signal.SIGKILL)
    haproxy.process.wait(10)


def test_a_balancer_that_dies_keeps_nobody_from_the_living_one(leased: Leased, second: Haproxy) -> None:
    balancers = [{"socket": leased.fleet.haproxy.socket}, {"socket": second.socket}]
    drained = leased.member("app-1", "drained", balancers=balancers)
    assert drained["changed"]
    kill(second)
    held = leased.member("app-1", "drained", balancers=balancers, token=drained["lease"]["token"])
    assert not held.get("failed"), held
    refused = leased.member("app-2", "drained", balancers=balancers)
    assert refused["failed"]
    assert second.socket in refused["msg"]
    assert leased.state("app-2") == "UP"
    back = leased.member("app-1", "ready", balancers=balancers, token=drained["lease"]["token"])
    assert back["failed"]
    assert second.socket in back["msg"]
    assert f"app-1 is back in traffic on HAProxy at {leased.fleet.haproxy.socket}" in back["msg"]
    assert leased.state("app-1") == "UP"


def test_a_keeper_brings_back_where_a_balancer_lives_and_names_the_dead_one(
    leased: Leased, second: Haproxy
) -> None:
    balancers = [{"socket": leased.fleet.haproxy.socket}, {"socket": second.socket}]
    leased.member("app-1", "drained", seconds=1.5, balancers=balancers)
    kill(second)
    ended = leased.wait_for_end()
    assert leased.state("app-1") == "UP"
    assert second.socket in ended["reason"]


def test_a_balancer_that_dies_in_mid_drain_gives_the_traffic_back(leased: Leased, second: Haproxy) -> None:
    thread, seen = slow_request(leased.fleet.haproxy.port, 3)
    name = busy_server(leased.fleet)
    balancers = [{"socket": leased.fleet.haproxy.socket}, {"socket": second.socket}]
    results: list[dict[str, t.Any]] = []
    drain = threading.Thread(
        target=lambda: results.append(leased.member(name, "drained", seconds=2, balancers=balancers))
    )
    drain.start()
    wait_until(lambda: second.states().get(name, ("",))[0] == "DRAIN")
    kill(second)
    drain.join()
    thread.join()
    assert results[0]["failed"]
    assert second.socket in results[0]["msg"]
    assert leased.state(name) == "UP"
    assert seen == [200]
