# SPDX-License-Identifier: GPL-3.0-or-later
"""A Compose project with two services: one that runs the release, and one that must be left in peace."""

from __future__ import annotations

import json
import sys
import typing as t
from dataclasses import dataclass
from pathlib import Path

from compose.docker import BASE, Docker, Registry
from integration.haproxy_fixture import run_module
from lab.ground import wait_until

# The interpreter stands in the image where it stands here.
_PYTHON = Path(sys.executable).resolve()

# Well unless its name says otherwise; it ends when it is told to.
_APP = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *ignored: sys.exit(0))
while True:
    time.sleep(60)
"""


def write_context(folder: Path, version: str) -> Path:
    """The folder an image is built from. A sick release never becomes healthy."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.py").write_text(_APP)
    (folder / "VERSION").write_text(version)
    check = [str(_PYTHON), "-S", "-c", f"raise SystemExit({int('sick' in version)})"]
    (folder / "Dockerfile").write_text(
        f"FROM {BASE}\n"
        "COPY app.py VERSION /srv/emailai/\n"
        f"HEALTHCHECK --interval=600ms --timeout=5s --retries=2 CMD {json.dumps(check)}\n"
        f"CMD {json.dumps([str(_PYTHON), '-S', '/srv/emailai/app.py'])}\n"
    )
    return folder


@dataclass
class Project:
    """A host's folder, its services, and the modules as Ansible runs them there."""

    docker: Docker
    registry: Registry
    folder: Path
    # The repository; tests that only read may share one.
    repository: str
    # The container that ran the release at the start.
    former: str = ""

    @property
    def image(self) -> str:
        return f"{self.registry.host}/emailai/{self.repository}"

    @property
    def pin(self) -> Path:
        return self.folder / "compose.pin.json"

    def build(self, version: str, **more: t.Any) -> dict[str, t.Any]:
        context = write_context(self.folder / f"context-{version}", version)
        return self.build_in(context, version, **more)

    def build_in(
        self, context: Path, version: str, check_mode: bool = False, **more: t.Any
    ) -> dict[str, t.Any]:
        params = {
            "name": version,
            "image": self.image,
            "folder": str(context),
            "engine_command": self.docker.command,
        }
        return run_module("app_image", {**params, **more}, check_mode)

    def params(self, version: str, state: str, **more: t.Any) -> dict[str, t.Any]:
        params = {
            "name": version,
            "state": state,
            "folder": str(self.folder),
            "services": ["app"],
            "image": self.image,
            "engine_command": self.docker.command,
            "start_timeout_seconds": 30,
        }
        return {**params, **more}

    def ask(self, version: str, state: str, check_mode: bool = False, **more: t.Any) -> dict[str, t.Any]:
        return run_module("compose_service", {**self.params(version, state), **more}, check_mode)

    def start(self, version: str) -> None:
        """As an operator had it before us: a tag, and everything up."""
        services = {
            "app": {"image": f"{self.image}:{version}", "network_mode": "host", "depends_on": ["other"]},
            "other": {
                "image": f"{self.image}:{version}",
                "network_mode": "host",
                "healthcheck": {"disable": True},
            },
        }
        self.folder.mkdir()
        # Not built here: what runs is known by the registry's digest.
        (self.folder / "compose.yml").write_text(json.dumps({"services": services}))
        self.compose("up", "--detach")
        self.former = self.container()
        health = ("container", "inspect", "--format", "{{.State.Health.Status}}", self.former)
        wait_until(lambda: self.docker.read(*health) == "healthy", 30, "a healthy container")

    def compose(self, *words: str) -> str:
        return self.docker.read("compose", "--project-directory", str(self.folder), *self._files(), *words)

    def _files(self) -> list[str]:
        names = ["compose.yml", *([self.pin.name] if self.pin.exists() else [])]
        return [word for name in names for word in ("-f", str(self.folder / name))]

    def container(self, service: str = "app") -> str:
        return self.compose("ps", "--quiet", service)

    def containers(self) -> list[str]:
        """All that run on this engine."""
        return self.docker.read("ps", "--quiet", "--no-trunc").split()

    @property
    def version(self) -> str:
        """What the container says of itself."""
        program = "print(open('/srv/emailai/VERSION').read())"
        return self.docker.read("exec", self.container(), str(_PYTHON), "-S", "-c", program)

    def images(self) -> set[str]:
        """The tags of this project's repository on the host."""
        return set(self.docker.read("image", "ls", "--format", "{{.Tag}}", self.image).split()) - {
            "<none>",
            "latest",
        }

    def publish(self, version: str, content: str = "") -> str:
        """An image that the registry has and this host has not, as if it was built elsewhere; its digest."""
        context = write_context(self.folder.parent / f"{self.repository}-context", content or version)
        name = f"{self.image}:{version}"
        self.docker.run("build", "--tag", name, str(context))
        self.docker.run("push", name)
        self.docker.run("image", "rm", name)
        return self.registry.digest(self.image, version)

    def clear(self) -> None:
        """No container and no image of this repository is left on the engine."""
        if ids := self.docker.read("ps", "--all", "--quiet").split():
            self.docker.run("rm", "--force", *ids)
        if ids := self.docker.read("image", "ls", "--quiet", self.image).split():
            self.docker.run("image", "rm", "--force", *sorted(set(ids)))
