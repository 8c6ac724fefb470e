# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of one Compose project on this host: pinned to a digest, exchanged, their images tidied up.

Other services of the project, its networks and volumes are never touched, and nothing is taken down.
"""

from __future__ import annotations

import os
import time
import typing as t
from dataclasses import dataclass, replace
from pathlib import Path

from ansible_collections.emailai.migration.plugins.module_utils import _folder_lock
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform import composition, reference
from ansible_collections.emailai.migration.plugins.module_utils._platform.engine import Engine

PIN: t.Final = "compose.pin.json"
_ONCE: t.Final = "com.docker.compose.oneoff"
# What does not get better by waiting.
_FINAL: t.Final = ("unhealthy", "exited", "dead")
_PAUSE_SECONDS: t.Final = 0.3


@dataclass(frozen=True)
class Wish:
    """What somebody wants, before the digest is known."""

    name: str
    state: str
    image: str
    digest: str = ""
    serving: str = ""
    keep_releases: int = 5
    must_recreate: bool = False
    awaits_build: bool = False


@dataclass(frozen=True)
class Project:
    """A folder with Compose files, and the services of it that run the release."""

    folder: Path
    files: t.Sequence[str]
    services: t.Sequence[str]
    engine: Engine
    start_timeout_seconds: float

    @property
    def pin(self) -> Path:
        return self.folder / PIN

    def _words(self, *words: str) -> list[str]:
        files = [*self.files, *([PIN] if self.pin.exists() else [])]
        return ["compose", "--progress", "quiet", *(word for name in files for word in ("-f", name)), *words]

    def look(self) -> composition.Stand:
        """Read what is pinned, what is on this host and what runs."""
        text = self.pin.read_text("utf-8") if self.pin.exists() else ""
        stand = composition.read(text, str(self.pin))
        found = {each: self.engine.image(each) for each in stand.releases.values()}
        return replace(
            stand,
            images={each: image["Id"] for each, image in found.items() if image},
            services={service: self._runs(service) for service in self.services},
        )

    def _runs(self, service: str) -> composition.Runs:
        question = self._words("ps", "--all", "--quiet", service)
        ids = self.engine.tell("look at", f"service {service}", *question).split()
        # Commands that somebody runs once in a container of their own are no part of the service.
        found = [
            each for each in self.engine.containers(ids) if each["Config"]["Labels"].get(_ONCE) != "True"
        ]
        trouble = {_trouble(container["State"]) for container in found} - {""}
        return composition.Runs(frozenset(each["Image"] for each in found), ", ".join(sorted(trouble)))

    def running(self, stand: composition.Stand, image: str) -> str:
        """The reference by digest of what runs, '' if nothing does."""
        ids = {each for runs in stand.services.values() for each in runs.images}
        if len(ids) != 1:
            return ""
        found = self.engine.image(ids.pop()) or {}
        return reference.preferred(found.get("RepoDigests") or [], image)

    def settle(self, stand: composition.Stand, wish: Wish) -> composition.Order:
        """Find the digest: the one that was asked for, else the recorded one, else the registry's."""
        known = stand.releases.get(wish.name, "")
        asked = reference.pinned(wish.image, wish.digest) if wish.digest else known
        # What the host has recorded is pulled as it is, wherever its tag leads by now.
        if not asked or asked not in (*stand.images, known):
            asked = self._registered(wish, asked)
        return composition.Order(wish.name, wish.state, asked, wish.keep_releases, wish.must_recreate)

    def _registered(self, wish: Wish, asked: str) -> str:
        """What is to be pulled; a tag that leads elsewhere was moved since somebody decided for a digest."""
        tag = reference.tagged(wish.image, wish.name)
        digest = self.engine.registered(tag)
        if not digest and not asked:
            if wish.awaits_build:
                return reference.pinned(wish.image, "(to be built)")
            raise MigrationError(
                "pull", tag, "the registry has no such image", "Build and push it, or give its digest"
            )
        if digest and asked and digest != reference.digest_of(asked):
            raise MigrationError(
                "pull", tag, f"the registry has {digest} under it, not {reference.digest_of(asked)}",
                "Nothing was changed. Give the digest that was tested, or the new image a version of its own",
            )  # fmt: skip
        return asked or reference.pinned(wish.image, digest)

    def write(self, stand: composition.Stand) -> None:
        """Pin and record, in one step."""
        draft = self.folder / f".draft-{PIN}"
        with draft.open("w", encoding="utf-8") as stream:
            stream.write(composition.written(stand))
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(self.pin)

    def fetch(self, order: composition.Order) -> None:
        """Under a tag as well: an image without one counts as waste, and is gone at the next tidying up."""
        self.engine.pull(order.reference)
        tag = reference.tagged(reference.repository_of(order.reference), order.name)
        self.engine.tell("tag", order.reference, "image", "tag", order.reference, tag)

    def start(self, is_recreated: bool) -> None:
        """These services and no others, until each is well."""
        seconds = self.start_timeout_seconds
        again = ["--force-recreate"] if is_recreated else []
        words = self._words("up", "--detach", "--no-deps", "--no-build", "--pull", "never", *again)
        # What runs is stopped first, which may take its own time; so the waiting begins afterwards.
        self.engine.tell("start", ", ".join(self.services), *words, *self.services, cure=self._cure)
        deadline = time.monotonic() + seconds
        while troubles := self._troubles():
            is_over = time.monotonic() > deadline
            if is_over or any(each.startswith(_FINAL) for each in troubles.values()):
                told = ", ".join(f"{service} is {trouble}" for service, trouble in troubles.items())
                late = f" after {seconds:g} s" if is_over else ""
                raise MigrationError("start", ", ".join(self.services), f"{told}{late}", self._cure)
            time.sleep(_PAUSE_SECONDS)

    @property
    def _cure(self) -> str:
        return f"See docker compose logs in {self.folder}"

    def _troubles(self) -> dict[str, str]:
        """Compose itself could wait, but takes a health check that is disabled for one that fails."""
        runs = {service: self._runs(service) for service in self.services}
        return {
            service: found.trouble or "not running"
            for service, found in runs.items()
            if found.trouble or not found.images
        }

    def used(self, stand: composition.Stand, names: t.Sequence[str]) -> dict[str, str]:
        """Of these releases those whose image a container has, of this project or of another."""
        if not names:
            return {}
        ids = self.engine.tell("look at", "the containers", "ps", "--all", "--quiet", "--no-trunc").split()
        in_use = {container["Image"] for container in self.engine.containers(ids)}
        images = {name: stand.images.get(stand.releases[name]) for name in names}
        return {name: "a container uses it" for name, image in images.items() if image in in_use}

    def discard(self, pinned: str) -> str:
        """Remove an image by all its names in our repository; '' or why that was refused."""
        image = self.engine.image(pinned) or {}
        repository = reference.repository_of(pinned)
        names = [*(image.get("RepoTags") or []), *(image.get("RepoDigests") or [])]
        ours = [name for name in names if name.startswith((f"{repository}:", f"{repository}@"))]
        return self.engine.forget(ours) if ours else ""


def _trouble(state: t.Mapping[str, t.Any]) -> str:
    """Why a container is not well; without a health check it is well when it runs."""
    if state["Status"] == "exited":
        return f"exited with {state['ExitCode']}"
    if state["Status"] != "running":
        return str(state["Status"])
    health = (state.get("Health") or {}).get("Status", "healthy")
    return "" if health in ("healthy", "none") else str(health)


def _do(
    project: Project, order: composition.Order, work: composition.Work, before: composition.Stand
) -> composition.Stand:
    """All but the tidying up. What is pinned is written before it is started: no start is forgotten."""
    if work.pull:
        project.fetch(order)
    kept = composition.outcome(before, order, replace(work, remove=()))
    if not project.pin.exists() or project.pin.read_text("utf-8") != composition.written(kept):
        project.write(kept)
    if work.start:
        project.start(order.must_recreate)
    found = project.look()
    if found.as_row() != kept.as_row():
        raise MigrationError(
            "arrange", str(project.folder), f"it holds {found.as_row()} instead of {kept.as_row()}"
        )
    return found


def _tidy(project: Project, found: composition.Stand, names: t.Sequence[str]) -> dict[str, str]:
    """Away with what is surplus. A record goes after its image, so that none is forgotten."""
    refused = {name: project.discard(found.releases[name]) for name in names}
    gone = [name for name, reason in refused.items() if not reason]
    if gone:
        left = {name: each for name, each in found.releases.items() if name not in gone}
        project.write(replace(found, releases=left))
    return {name: reason for name, reason in refused.items() if reason}


def _refuse_nothing(project: Project) -> None:
    missing = [name for name in project.files if not (project.folder / name).is_file()]
    if missing:
        raise MigrationError("read", str(project.folder / missing[0]), "there is no such Compose file")
    if not project.services:
        raise MigrationError("arrange", str(project.folder), "no service of it is named")


def arrange(project: Project, wish: Wish, patience_seconds: float, check_mode: bool) -> dict[str, t.Any]:
    """Look, decide, do, look again."""
    reference.check(wish.image, wish.name, wish.digest)
    _refuse_nothing(project)
    with _folder_lock.locked([str(project.folder)], patience_seconds) as handles:
        project = replace(project, engine=replace(project.engine, handles=handles))
        found = project.look()
        before = found
        if not found.current and wish.serving:
            before = _adopted(project, found, wish)
        order = project.settle(before, wish)
        work = composition.plan(before, order)
        kept = project.used(before, work.remove)
        work = replace(work, remove=tuple(name for name in work.remove if name not in kept))
        after = composition.outcome(before, order, work)
        if not check_mode:
            after = _do(project, order, work, before)
            if work.remove:
                kept.update(_tidy(project, after, work.remove))
                after = project.look()
    return _told(found, after, order, work, kept)


def _adopted(project: Project, found: composition.Stand, wish: Wish) -> composition.Stand:
    running = project.running(found, wish.image)
    stated = reference.pinned(wish.image, wish.digest) if wish.digest else running
    if wish.name == wish.serving and stated != running:
        return found  # Something else runs than what is to serve: it is exchanged, not adopted.
    if wish.name != wish.serving and not running:
        raise MigrationError(
            "record", f"release {wish.serving}",
            "its services run nothing, or an image without a digest, so there would be no way back to it",
            "Start it from an image that was pulled from a registry",
        )  # fmt: skip
    image = project.engine.image(running) if running else None
    known = {**found.images, running: image["Id"]} if image else found.images
    return composition.adopt(replace(found, images=known), wish.serving, running)


def _told(
    before: composition.Stand, after: composition.Stand, order: composition.Order, work: composition.Work,
    kept: t.Mapping[str, str],
) -> dict[str, t.Any]:  # fmt: skip
    was, now = before.as_row(), after.as_row()
    return {
        "changed": was != now or work.pull or work.start,
        "diff": {"before": was, "after": now},
        "before": before.current,
        "after": after.current,
        "previous": after.previous,
        "reference": order.reference,
        "digest": reference.digest_of(order.reference),
        "releases": list(after.releases),
        "pulled": work.pull,
        "started": work.start,
        "removed": [name for name in work.remove if name not in kept],
        "not_removed": dict(kept),
        "is_current": after.current == order.name and composition.runs_well(after, order),
    }
