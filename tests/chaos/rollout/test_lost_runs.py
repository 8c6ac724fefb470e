# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollouts whose controller is killed, or one of whose balancers dies, with real users."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
import typing as t
from pathlib import Path

import pytest

from chaos.rollout.test_rollout import AFTER, BEFORE, Rollout, started
from integration import haproxy_fixture
from integration.haproxy_fixture import ROOT, Haproxy, wait_until

# What the steps may take here; the longest lease is that of the start.
QUICK: dict[str, t.Any] = {
    "app_restart_timeout_seconds": 1,
    "app_health_timeout_seconds": 1.5,
    "balancer_drain_timeout_seconds": 2,
    "balancer_readmit_timeout_seconds": 2,
    "balancer_lease_seconds": 0.5,
}
# The longest step, the lease, the keeper's patience with a server that has just started, and a slow machine.
BOUND_SECONDS = 2 + 1 + 10 + 10
MOMENTS = 10


@pytest.fixture
def pair(tmp_path: Path) -> t.Iterator[Rollout]:
    with started(tmp_path, 2) as found:
        yield found


def children(pid: int) -> list[int]:
    try:
        return [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except FileNotFoundError:
        return []


def kill_controller(run: subprocess.Popen[bytes]) -> None:
    """The controller and the processes of its tasks; what a server does goes on, as on another host."""
    for pid in [run.pid, *children(run.pid)]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    run.wait(10)


def lose(rollout: Rollout, tasks_from: str, after_drain: float) -> None:
    """A run that is killed so long after its first drain began, if it has not ended by then."""
    before = rollout.drains()
    run = subprocess.Popen(
        rollout.command(tasks_from, **QUICK),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=rollout.environment,
    )
    try:
        wait_until(lambda: rollout.drains() > before or run.poll() is not None, 40)
        time.sleep(after_drain)
    finally:
        kill_controller(run)


def test_a_controller_killed_at_any_moment_leaves_nobody_out(pair: Rollout) -> None:
    moments = [random.uniform(0, 2) for _number in range(MOMENTS)]
    print("moments:", " ".join(f"{moment:.2f}" for moment in moments))
    for server in pair.fleet.servers:
        server.set_cold(0.5)
    found_out = 0
    with pair.fleet.users(count=3).visiting() as users:
        for number, moment in enumerate(moments):
            lose(pair, "deploy" if number % 2 == 0 else "roll_back", moment)
            found_out += pair.states != ["UP"] * 2
            wait_until(lambda: pair.states == ["UP"] * 2, BOUND_SECONDS)
        done = pair.play("deploy")
    assert done.code == 0, done.output
    assert pair.current == [AFTER] * 2
    wait_until(lambda: pair.states == ["UP"] * 2)
    assert list((pair.folder / "leases").glob("lease-*.json")) == []
    assert users.failures == []
    # Else these moments proved nothing.
    assert found_out > 0


def test_a_resumed_run_is_not_disturbed_by_the_keeper_of_the_lost_one(pair: Rollout) -> None:
    for server in pair.fleet.servers:
        server.set_cold(2)
    with pair.fleet.users(count=3).visiting() as users:
        lose(pair, "deploy", 0.3)
        done = pair.play("deploy")
        time.sleep(2)
    assert done.code == 0, done.output
    assert pair.current == [AFTER] * 2
    wait_until(lambda: pair.states == ["UP"] * 2)
    assert users.failures == []


def kill(haproxy: Haproxy) -> None:
    """Master and workers at once, as with the loss of the machine."""
    assert haproxy.process is not None
    for pid in [*children(haproxy.process.pid), haproxy.process.pid]:
        os.kill(pid, signal.SIGKILL)
    haproxy.process.wait(10)


def test_a_balancer_that_dies_during_the_rollout_stops_it_by_its_name(pair: Rollout) -> None:
    ports = haproxy_fixture.free_ports(2)
    second = Haproxy(pair.folder / "lb2", ports[0], pair.fleet.servers, ports[1])
    second.start()
    balancers = [{"socket": pair.fleet.haproxy.socket}, {"socket": second.socket}]
    for server in pair.fleet.servers:
        server.set_cold(2)
    try:
        with pair.fleet.users(count=3).visiting() as users:
            run = subprocess.Popen(
                pair.command("deploy", balancer_balancers=balancers),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=pair.environment,
            )
            wait_until(lambda: pair.drains() > 0, 40)
            wait_until(lambda: pair.fleet.servers[0].current == AFTER, 40)
            kill(second)
            output, _none = run.communicate(timeout=120)
    finally:
        second.stop()
    assert run.returncode != 0
    assert second.socket in output, output
    wait_until(lambda: pair.states == ["UP"] * 2)
    assert pair.current == [AFTER, BEFORE]
    assert pair.drains() == 1
    assert users.failures == []
