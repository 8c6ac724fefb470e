# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole rollouts by the roles app and balancer: real Ansible, real HAProxy, real users."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from integration import haproxy_fixture
from integration.haproxy_fixture import ROOT, Fleet, wait_until

# A step that will not succeed is given up soon, and so is a server that nobody brings back.
LOSING: dict[str, t.Any] = {
    "app_health_timeout_seconds": 1.5,
    "app_restart_timeout_seconds": 2,
    "balancer_readmit_timeout_seconds": 3,
    "balancer_lease_seconds": 0.5,
}
BEFORE, AFTER, SICK = "v1.9.0", "v2.0.0-orgs", "v2.0.1-sick"

# A host that is lost in the middle: everything works until the file is there.
LOST = '''
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = """
name: losable
short_description: Local until a file says otherwise
description: [For tests.]
author: [emailai.migration contributors]
options: {}
"""


class Connection(Local):
    transport = "losable"

    def _be_reachable(self):
        # How many more words it hears; it is lost in the middle of whatever comes then.
        left = os.environ["LOST_FOLDER"] + "/hears-" + self._play_context.remote_addr
        if os.path.exists(left):
            with open(left, "r+") as file:
                number = int(file.read()) - 1
                file.seek(0)
                file.write(f"{number:4}")
            if number < 0:
                raise AnsibleConnectionFailure("the host is lost")
        if os.path.exists(os.environ["LOST_FOLDER"] + "/lost-" + self._play_context.remote_addr):
            raise AnsibleConnectionFailure("the host is lost")

    def exec_command(self, *args, **kwargs):
        self._be_reachable()
        return super().exec_command(*args, **kwargs)

    def put_file(self, *args, **kwargs):
        self._be_reachable()
        return super().put_file(*args, **kwargs)
'''


@dataclass
class Play:
    """What a run of Ansible came to."""

    code: int
    output: str
    recap: dict[str, dict[str, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, done: subprocess.CompletedProcess[str]) -> Play:
        recap = {
            line.split()[0]: {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line)}
            for line in done.stdout.partition("PLAY RECAP")[2].splitlines()
            if re.search(r": +ok=", line)
        }
        return cls(done.returncode, done.stdout + done.stderr, recap)


@dataclass
class Rollout:
    """A fleet with an inventory, and plays that use the roles as the playbooks do."""

    fleet: Fleet
    folder: Path

    def write(self) -> None:
        hosts = {
            server.name: {
                "app_url": server.url,
                "app_folder": str(server.folder),
                "app_restart_command": server.restart_command,
                "ansible_connection": "losable",
            }
            for server in self.fleet.servers
        }
        names = dict.fromkeys(hosts)
        artifact, digest = self.fleet.artifacts[AFTER]
        inventory = {
            "all": {
                "vars": {
                    "ansible_connection": "local",
                    "ansible_python_interpreter": sys.executable,
                    "migration_side": "prod",
                    "migration_release_before": BEFORE,
                    "migration_release_after": AFTER,
                    "app_artifact": str(artifact),
                    "app_artifact_sha256": digest,
                    "app_health_timeout_seconds": 8,
                    "app_public_url": f"http://127.0.0.1:{self.fleet.haproxy.port}",
                    "balancer_balancers": [{"socket": self.fleet.haproxy.socket}],
                    "balancer_drain_timeout_seconds": 10,
                    "balancer_readmit_timeout_seconds": 10,
                    "balancer_lease_folder": str(self.folder / "leases"),
                },
                "children": {
                    "prod": {"hosts": {**names, "lb-1": None}},
                    "app": {"hosts": hosts},
                    "balancer": {"hosts": {"lb-1": None}},
                },
            }
        }
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
        (self.folder / "connection").mkdir()
        (self.folder / "connection" / "losable.py").write_text(LOST)

    def command(
        self, tasks_from: str, *, check_mode: bool = False, any_errors_fatal: bool = False, **more: t.Any
    ) -> list[str]:
        """One play over the fleet, server by server, as deploy.yml has it."""
        play = {
            "name": "Play",
            "hosts": "app",
            "gather_facts": False,
            "serial": 1,
            "any_errors_fatal": any_errors_fatal,
            "tasks": [
                {
                    "name": "Act",
                    "ansible.builtin.include_role": {
                        "name": "emailai.migration.app",
                        "tasks_from": tasks_from,
                    },
                }
            ],
        }
        path = self.folder / f"{tasks_from}.yml"
        path.write_text(yaml.safe_dump([play]))
        return [
            str(Path(sys.executable).parent / "ansible-playbook"),
            "-i",
            str(self.folder / "hosts.yml"),
            "-e",
            json.dumps(more),
            *(["--check"] if check_mode else []),
            str(path),
        ]

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks"
            if "PROFILE" in os.environ
            else "ansible.builtin.default",
            "ANSIBLE_CONNECTION_PLUGINS": str(self.folder / "connection"),
            "ANSIBLE_NOCOLOR": "1",
            "LOST_FOLDER": str(self.folder),
        }

    def play(self, tasks_from: str, **how: t.Any) -> Play:
        done = subprocess.run(
            self.command(tasks_from, **how),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=self.environment,
        )
        return Play.of(done)

    @property
    def current(self) -> list[str]:
        return [server.current for server in self.fleet.servers]

    @property
    def states(self) -> list[str]:
        states = self.fleet.haproxy.states()
        return [states[server.name][0] for server in self.fleet.servers]

    def drains(self) -> int:
        """How often the balancer was told to take a server out, by its own log."""
        log = (self.fleet.haproxy.folder / "haproxy.log").read_text()
        return log.count("enters drain state")


@contextlib.contextmanager
def started(folder: Path, count: int) -> t.Iterator[Rollout]:
    with haproxy_fixture.fleet(folder, count, versions=(BEFORE, AFTER, SICK)) as fleet:
        rollout = Rollout(fleet, folder)
        rollout.write()
        yield rollout


@pytest.fixture
def rollout(tmp_path: Path) -> t.Iterator[Rollout]:
    with started(tmp_path, 4) as found:
        yield found


@pytest.fixture
def pair(tmp_path: Path) -> t.Iterator[Rollout]:
    with started(tmp_path, 2) as found:
        yield found


def test_a_rollout_and_its_way_back_lose_no_request(rollout: Rollout) -> None:
    for server in rollout.fleet.servers:
        server.set_cold(3)
    planned = rollout.play("deploy", check_mode=True)
    assert planned.code == 0, planned.output
    assert rollout.current == [BEFORE] * 4
    assert rollout.drains() == 0
    for name in ("app-1", "app-2", "app-3", "app-4"):
        assert f"{name} would be drained: 4 of 4 serve now, 3 meanwhile, at least 2 must." in planned.output
    with rollout.fleet.users().visiting() as users:
        done = rollout.play("deploy")
        assert done.code == 0, done.output
        assert rollout.current == [AFTER] * 4
        assert rollout.drains() == 4
        again = rollout.play("deploy")
        assert again.code == 0, again.output
        assert {counts["changed"] for counts in again.recap.values()} == {0}
        assert rollout.drains() == 4
        assert rollout.play("health").code == 0
        for server in rollout.fleet.servers:
            server.set_cold(0)
        back = rollout.play("roll_back")
        assert back.code == 0, back.output
        assert rollout.current == [BEFORE] * 4
    assert users.failures == []
    assert users.requests > 1000
    assert rollout.states == ["UP"] * 4


@pytest.mark.parametrize("lease_seconds", [60, 0], ids=["with a keeper", "without"])
def test_a_reload_of_the_balancer_in_each_drain_loses_no_request(pair: Rollout, lease_seconds: int) -> None:
    """What is under way stays with the old worker; the new one knows nothing of the drain."""
    balancer = pair.fleet.haproxy

    def reload_in_drains(over: threading.Event, reloads: list[str]) -> None:
        while not over.wait(0.02):
            for server in pair.fleet.servers:
                if server.name not in reloads and balancer.states().get(server.name, ("",))[0] == "DRAIN":
                    balancer.reload()
                    reloads.append(server.name)

    # Whoever waits so long is still with the old worker when the new one is asked.
    patient = pair.fleet.users(count=4, page="/slow/3")
    over, reloads = threading.Event(), list[str]()
    reloader = threading.Thread(target=reload_in_drains, args=(over, reloads))
    with pair.fleet.users().visiting() as users, patient.visiting():
        reloader.start()
        try:
            done = pair.play("deploy", balancer_lease_seconds=lease_seconds)
        finally:
            over.set()
            reloader.join(10)
    assert done.code == 0, done.output
    assert pair.current == [AFTER] * 2
    assert users.failures + patient.failures == []
    # Else no drain has met a reload.
    assert reloads == ["app-1", "app-2"]
    wait_until(lambda: pair.states == ["UP"] * 2)


def test_the_public_address_is_asked_beside_the_servers(pair: Rollout) -> None:
    assert pair.play("health", app_proven_release=BEFORE).code == 0
    nobody = f"http://127.0.0.1:{haproxy_fixture.free_ports(1)[0]}"
    blind = pair.play(
        "health", app_proven_release=BEFORE, app_public_url=nobody, app_health_timeout_seconds=1
    )
    assert blind.code != 0
    assert f"{nobody}/api/health" in blind.output


def test_the_same_without_the_balancer_loses_requests(pair: Rollout) -> None:
    """The control: if these users saw nothing either, the test above would prove nothing."""
    server = pair.fleet.servers[0]
    server.set_cold(2)
    with pair.fleet.users().visiting() as users:
        server.restart()
        time.sleep(1.5)
    assert users.failures != []


def test_a_bad_release_goes_back_alone_and_stops_the_rollout(pair: Rollout) -> None:
    artifact, digest = pair.fleet.artifacts[SICK]
    with pair.fleet.users().visiting() as users:
        failed = pair.play(
            "deploy",
            app_release_after=SICK,
            app_artifact=str(artifact),
            app_artifact_sha256=digest,
            app_health_timeout_seconds=1.5,
        )
    assert failed.code != 0
    assert f"Cannot deploy {SICK} on app-1" in failed.output
    assert "it answers 503" in failed.output
    assert f"The server is back on {BEFORE} and in traffic." in failed.output
    assert "app-2" not in failed.recap
    assert pair.current == [BEFORE] * 2
    assert pair.states == ["UP"] * 2
    assert users.failures == []


def test_a_smoke_command_that_fails_keeps_users_away(pair: Rollout) -> None:
    with pair.fleet.users(count=2).visiting() as users:
        failed = pair.play("deploy", app_smoke_command=["false"])
    assert failed.code != 0
    assert "it ended with 1" in failed.output, failed.output
    assert pair.current == [BEFORE] * 2
    assert pair.states == ["UP"] * 2
    assert users.failures == []


@pytest.mark.parametrize("any_errors_fatal", [False, True])
def test_a_server_lost_after_its_drain_is_not_left_drained(pair: Rollout, any_errors_fatal: bool) -> None:
    """It is lost before its restart: the old release goes on answering, so its users get it back."""
    lose = ["touch", str(pair.folder / "lost-app-1")]
    with pair.fleet.users(count=2).visiting() as users:
        failed = pair.play("deploy", any_errors_fatal=any_errors_fatal, app_restart_command=lose)
    assert failed.code != 0
    assert f"The server still runs {BEFORE} and is in traffic." in failed.output, failed.output
    assert "app-2" not in failed.recap
    assert pair.drains() == 1
    assert pair.states == ["UP"] * 2
    assert users.failures == []
    if any_errors_fatal:
        return
    (pair.folder / "lost-app-1").unlink()
    done = pair.play("deploy")
    assert done.code == 0, done.output
    assert pair.current == [AFTER] * 2


def test_where_nobody_can_be_asked_any_more_both_causes_are_told(pair: Rollout) -> None:
    """Server and balancers' host are lost at once; the keeper, which lives there, gives users back."""
    path = pair.folder / "hosts.yml"
    inventory = yaml.safe_load(path.read_text())
    inventory["all"]["children"]["balancer"]["hosts"]["lb-1"] = {"ansible_connection": "losable"}
    path.write_text(yaml.safe_dump(inventory))
    lose = ["touch", *(str(pair.folder / f"lost-{name}") for name in ("app-1", "lb-1"))]
    with pair.fleet.users(count=2).visiting() as users:
        failed = pair.play("deploy", app_restart_command=lose, **LOSING)
        wait_until(lambda: pair.states == ["UP"] * 2, 25)
    assert failed.code != 0
    said = " ".join(failed.output.split())
    assert f"Cannot return app-1 to {BEFORE}: app-1 cannot be reached" in said, failed.output
    assert "It came to this because: lb-1 cannot be reached" in said
    assert "unless it was never drained: lb-1 cannot be reached" in said
    assert "app-2" not in failed.recap
    assert users.failures == []


def test_nothing_goes_on_after_a_lost_server_five_of_five(pair: Rollout) -> None:
    """Lost before each of the words that a deployment has for it, in turn."""
    hears = pair.folder / "hears-app-1"
    hears.write_text("  99")
    assert pair.play("deploy").code == 0
    words = 99 - int(hears.read_text())
    assert words > 0
    assert pair.play("roll_back").code == 0
    with pair.fleet.users(count=2).visiting() as users:
        for number in range(5):
            hears.write_text(f"{number % words:4}")
            failed = pair.play("deploy", any_errors_fatal=number % 2 == 1, **LOSING)
            assert failed.code != 0, f"{number} of {words}: {failed.output}"
            assert "app-2" not in failed.recap, f"{number} of {words}: {failed.output}"
            assert pair.current[1] == BEFORE
            wait_until(lambda: pair.states == ["UP"] * 2, 25)
    assert users.failures == []


def test_a_server_that_crashes_in_its_turn_is_left_out_and_nobody_else_is_touched(pair: Rollout) -> None:
    pid = pair.fleet.servers[0].folder / "shared" / "pid"
    crash = [sys.executable, "-c", f"import os; os.kill(int(open({str(pid)!r}).read()), 9)"]
    with pair.fleet.users(count=2).visiting() as users:
        failed = pair.play("deploy", app_restart_command=crash, **LOSING)
    assert failed.code != 0
    assert f"Cannot return app-1 to {BEFORE}" in failed.output, failed.output
    assert "gets no traffic" in failed.output
    assert "app-2" not in failed.recap
    assert pair.states[0] != "UP"
    assert pair.states[1] == "UP"
    assert users.failures == []
    # It is healed by the same command, once it can be started.
    done = pair.play("deploy")
    assert done.code == 0, done.output
    assert pair.states == ["UP"] * 2


def test_a_run_killed_between_drain_and_return_is_healed_by_the_next(pair: Rollout) -> None:
    pair.fleet.haproxy.ask("set server emailai/app-1 state drain")
    done = pair.play("roll_back")
    assert done.code == 0, done.output
    assert pair.states == ["UP"] * 2
