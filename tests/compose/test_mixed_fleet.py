# SPDX-License-Identifier: GPL-3.0-or-later
"""Two Compose hosts and two servers behind one HAProxy, with users: there and back by the playbooks."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from e2e.desk import Desk, Run
from e2e.last_words import last_words

from compose.docker import BASE, Docker, Registry
from lab import load
from lab.fleet import Fleet, build, release
from lab.ground import wait_until
from lab.migration import lost

BEFORE, AFTER, SICK = "v1.9.0", "v2.0.0-orgs", "v2.0.1-sick"
COMPOSE, SERVERS = ("app-1", "app-2"), ("app-3", "app-4")
_PYTHON = str(Path(sys.executable).resolve())
# All that deploy builds on; the rehearsal takes longest and knows nothing of platforms.
_FIRST = ("back_up", "expand", "move", "verify")
# Containers and services of one machine share its processors by different rules: whose answers take longer is
# not the question here.
_ANY_PACE = {"p95_ms": 0, "slower_floor_ms": 5000}


@dataclass
class Mixed:
    """The lab, with containers instead of services on two of its hosts."""

    desk: Desk
    docker: Docker
    registry: Registry

    @property
    def image(self) -> str:
        return f"{self.registry.host}/emailai/app"

    def context(self, version: str) -> Path:
        """The artifact of the lab's release, made an image."""
        folder = self.desk.layout.folder / "build" / version
        folder.mkdir(parents=True)
        artifact = build(self.desk.layout.artifacts, release(version))
        shutil.copy(artifact, folder)
        start = json.dumps([_PYTHON, "-m", "lab_app", "/srv/host"])
        (folder / "Dockerfile").write_text(f"FROM {BASE}\nADD {artifact.name} /srv/emailai/\nCMD {start}\n")
        return folder

    def publish(self, version: str) -> None:
        name = f"{self.image}:{version}"
        self.docker.run("build", "--tag", name, str(self.context(version)))
        self.docker.run("push", name)

    def move_in(self, name: str) -> None:
        """The service of a host ends, and the same release starts there as a container."""
        layout = self.desk.layout
        address = f"http://127.0.0.1:{layout.port(name)}/api/health"
        probe = f"import urllib.request as r; r.urlopen({address!r}, timeout=2)"
        service = {
            "image": f"{self.image}:{BEFORE}",
            "network_mode": "host",
            "volumes": ["./:/srv/host"],
            "stop_grace_period": "30s",
            "healthcheck": {"test": ["CMD", _PYTHON, "-c", probe], "interval": "1s", "retries": 3},
        }
        Fleet(layout).service(name).stop()
        (layout.host(name) / "compose.yml").write_text(
            json.dumps({"name": f"{layout.folder.parent.name}-{name}".lower(), "services": {"app": service}})
        )
        self.compose(name, "up", "--detach", "--wait")

    def compose(self, name: str, *words: str) -> str:
        return self.docker.read("compose", "-f", str(self.desk.layout.host(name) / "compose.yml"), *words)

    def write_inventory(self) -> Path:
        """Beside the lab's own: one variable says what a host is, and these say where its image is."""
        compose = {
            "app_platform": "compose",
            # The mail that was sent lies in a folder of this machine, which no container sees.
            "app_smoke_user": "",
            "app_compose_image": self.image,
            "app_compose_engine_command": self.docker.command,
            "app_compose_start_timeout_seconds": 30,
            "app_compose_build_host": "lb-1",
            "app_compose_build_folder": str(self.desk.layout.folder / "build" / AFTER),
        }
        path = self.desk.layout.folder.parent / "compose.yml"
        path.write_text(yaml.safe_dump({"app": {"hosts": dict.fromkeys(COMPOSE, compose)}}))
        return path

    def play(self, playbook: str, *words: str, **variables: t.Any) -> Run:
        inventories = ("-i", "inventories/lab", "-i", str(self.desk.layout.folder.parent / "compose.yml"))
        return self.desk.play(playbook, *words, *inventories, **variables)

    def pinned(self, name: str) -> dict[str, t.Any]:
        found: dict[str, t.Any] = json.loads((self.desk.layout.host(name) / "compose.pin.json").read_text())
        return found

    def running(self, name: str, field: str = "Config.Image") -> str:
        """The reference of the image that the one container of a host runs, or its id."""
        (container,) = self.compose(name, "ps", "--quiet").split()
        return self.docker.read("container", "inspect", "--format", f"{{{{.{field}}}}}", container)

    def down(self) -> None:
        for name in COMPOSE:
            if (self.desk.layout.host(name) / "compose.yml").exists():
                self.compose(name, "down")


@pytest.fixture(scope="module")
def mixed(docker: Docker, registry: Registry) -> t.Iterator[Mixed]:
    folder = Path(tempfile.mkdtemp(prefix="emailai-compose-"))
    folder.chmod(0o755)
    place = Mixed(Desk(folder / "lab"), docker, registry)
    try:
        place.desk.lab("up")
        place.publish(BEFORE)
        place.context(AFTER)
        for name in COMPOSE:
            place.move_in(name)
        place.write_inventory()
        yield place
    finally:
        place.desk.lab("load", "stop")
        place.down()
        place.desk.lab("down")
        shutil.rmtree(folder, ignore_errors=True)


def test_a_mixed_fleet_goes_forth_and_back_and_no_request_fails(mixed: Mixed) -> None:
    desk = mixed.desk
    desk.lab("load", "start")
    mixed.play(
        "playbooks/prepare.yml",
        *(f"playbooks/{name}.yml" for name in _FIRST),
        journal_without=["rehearse"],
    ).must_succeed()
    before = [mixed.running(name, "Image") for name in COMPOSE]
    mixed.play("playbooks/deploy.yml", "--check", gate_limits=_ANY_PACE).must_succeed()
    assert [mixed.running(name, "Image") for name in COMPOSE] == before
    assert {desk.releases()[name] for name in SERVERS} == {BEFORE}
    done = mixed.play("playbooks/deploy.yml", gate_limits=_ANY_PACE).must_succeed()
    assert set(mixed.play("playbooks/deploy.yml").must_succeed().changed.values()) == {0}
    digest = mixed.registry.digest(mixed.image, AFTER)
    assert digest == mixed.registry.digest(mixed.image, "latest")
    for name in COMPOSE:
        assert mixed.running(name) == f"{mixed.image}@{digest}", done.output[-3000:]
        assert mixed.pinned(name)["x-emailai"]["previous"] == BEFORE
    assert {desk.releases()[name] for name in SERVERS} == {AFTER}
    # The way back must need neither a build nor the registry.
    mixed.registry.down()
    try:
        mixed.play("playbooks/roll_back.yml").must_succeed()
        again = mixed.play("playbooks/roll_back.yml").must_succeed().changed
        # The report tells of users who came meanwhile; no server was touched.
        assert {again[name] for name in (*COMPOSE, *SERVERS)} == {0}
    finally:
        mixed.registry.up()
    desk.lab("load", "stop")
    for name in COMPOSE:
        assert mixed.running(name).startswith(f"{mixed.image}@sha256:")
        assert mixed.running(name) != f"{mixed.image}@{digest}"
        assert mixed.pinned(name)["x-emailai"]["current"] == BEFORE
    assert {desk.releases()[name] for name in SERVERS} == {BEFORE}
    report = desk.load_report()
    assert report["failed"] == 0, last_words(desk.layout)
    assert report["requests"] > 500
    assert set(report["by_server_counts"]) == {*COMPOSE, *SERVERS}
    assert {BEFORE, AFTER} <= set(report["by_release_counts"])
    assert lost(desk.layout) == []


def visiting(mixed: Mixed) -> None:
    """Users who know what those before them did; the figures are their own."""
    (mixed.desk.layout.load / "figures.json").unlink(missing_ok=True)
    mixed.desk.lab("load", "start")
    wait_until(lambda: mixed.desk.load_report()["requests"] > 50, 30, "the first users")


def test_an_image_that_never_gets_well_goes_back_and_no_request_fails(mixed: Mixed) -> None:
    """Host by host, as role app does it; the health check in the Compose file is never good."""
    faulty = build(mixed.desk.layout.artifacts, release(SICK, is_marked=False))
    folder = mixed.desk.layout.folder / "build" / SICK
    folder.mkdir()
    shutil.copy(faulty, folder)
    wait = json.dumps([_PYTHON, "-c", "import time; time.sleep(600)"])
    (folder / "Dockerfile").write_text(f"FROM {BASE}\nADD {faulty.name} /srv/emailai/\nCMD {wait}\n")
    playbook = mixed.desk.layout.folder.parent / "sick.yml"
    role = {"name": "emailai.migration.app", "tasks_from": "deploy"}
    task = {"name": "Deploy", "ansible.builtin.include_role": role}
    play = {"name": "Deploy", "hosts": "app", "gather_facts": False, "serial": 1, "tasks": [task]}
    playbook.write_text(yaml.safe_dump([play]))
    before = [mixed.running(name, "Image") for name in COMPOSE]
    sick = {
        "app_release_after": SICK,
        "app_artifact": str(faulty),
        "app_compose_build_folder": str(folder),
    }
    # In check mode the image is still to be built, so nobody misses it.
    planned = mixed.play(str(playbook), "--check", **sick).must_succeed()
    assert planned.output.count("would be drained") >= len(COMPOSE), planned.output[-3000:]
    with pytest.raises(OSError, match="404"):
        mixed.registry.digest(mixed.image, SICK)
    visiting(mixed)
    mixed.play(str(playbook), **sick).must_fail(
        f"Cannot deploy {SICK} on app-1", "unhealthy", f"The server is back on {BEFORE} and in traffic."
    )
    mixed.desk.lab("load", "stop")
    assert [mixed.running(name, "Image") for name in COMPOSE] == before
    assert mixed.desk.load_report()["failed"] == 0, last_words(mixed.desk.layout)


def test_the_same_exchange_without_the_balancer_fails_requests(mixed: Mixed) -> None:
    """The control: if these users saw nothing either, the tests above would prove nothing."""
    visiting(mixed)
    mixed.compose("app-1", "-f", str(mixed.desk.layout.host("app-1") / "compose.pin.json"), "up", "--detach",
                  "--no-deps", "--force-recreate", "--wait", "app")  # fmt: skip
    mixed.desk.lab("load", "stop")
    assert [each for each in load.failures(mixed.desk.layout) if each["status"] in (0, 502, 503)]
