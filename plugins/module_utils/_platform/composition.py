# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to happen to the services of a Compose project, decided from what is there. Touches nothing.

Two things are told apart: what is pinned (the pin file) and what runs (the containers). Only if
both are the release that is wanted is there nothing to do; so whoever was killed in between is
made up for by the next.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform import reference

# Compose reads over what begins with x-: pin and record are one file, written in one step.
_RECORD: t.Final = "x-emailai"


@dataclass(frozen=True)
class Runs:
    """The containers of a service: the images they run, and '' or why they are not well."""

    images: t.FrozenSet[str] = frozenset()
    trouble: str = ""


@dataclass(frozen=True)
class Stand:
    """A project as it is.

    ``releases`` holds the reference by digest of each release, oldest first; ``images`` the ids of
    those that are on this host.
    """

    current: str = ""
    previous: str = ""
    releases: t.Mapping[str, str] = field(default_factory=dict)
    images: t.Mapping[str, str] = field(default_factory=dict)
    services: t.Mapping[str, Runs] = field(default_factory=dict)

    def _said(self, runs: Runs) -> str:
        known = {self.images.get(reference): name for name, reference in self.releases.items()}
        # Two releases may have one image; what is pinned goes first.
        known[self.images.get(self.releases.get(self.current, ""))] = self.current
        names = sorted(known.get(image) or image for image in runs.images)
        return ", ".join([*(names or ["nothing"]), *([runs.trouble] if runs.trouble else [])])

    def as_row(self) -> dict[str, t.Any]:
        return {
            "current": self.current,
            "previous": self.previous,
            "releases": dict(self.releases),
            "pulled": sorted(name for name, each in self.releases.items() if each in self.images),
            "services": {service: self._said(runs) for service, runs in self.services.items()},
        }


@dataclass(frozen=True)
class Order:
    """What somebody wants of a project; ``reference`` names the image by its digest."""

    name: str
    state: str
    reference: str
    keep_releases: int = 5
    must_recreate: bool = False


@dataclass(frozen=True)
class Work:
    """What is left to do for it, in this order."""

    pull: bool = False
    flip: bool = False
    start: bool = False
    remove: t.Tuple[str, ...] = ()


def adopt(stand: Stand, name: str, running: str) -> Stand:
    """Give a name to what runs, where nothing is recorded yet: it has served, so it can be gone back to."""
    if stand.current or not (name and running):
        return stand
    return replace(stand, current=name, releases={**stand.releases, name: running})


def _refuse_another(stand: Stand, order: Order) -> None:
    known = stand.releases.get(order.name, order.reference)
    if known != order.reference and order.name in (stand.current, stand.previous):
        raise MigrationError(
            "use",
            f"release {order.name}",
            f"it is in use here as {known}, not as {order.reference}",
            "Give the new image a version of its own",
        )


def runs_well(stand: Stand, order: Order) -> bool:
    """Whether each service runs the image of the order, and nothing else."""
    image = stand.images.get(order.reference)
    return image is not None and all(
        runs.images == {image} and not runs.trouble for runs in stand.services.values()
    )


def _surplus(stand: Stand, keep: int) -> t.Tuple[str, ...]:
    """Old releases beyond those to keep; the current and the one to go back to stay in any case."""
    if keep < 1:
        return ()
    old = list(stand.releases)[:-keep]
    # Two releases may have one image: it goes with the last of them.
    needed = {each for name, each in stand.releases.items() if name not in old}
    needed |= {stand.releases.get(stand.current, ""), stand.releases.get(stand.previous, "")}
    return tuple(name for name in old if stand.releases[name] not in needed)


def plan(stand: Stand, order: Order) -> Work:
    """Only what is missing."""
    _refuse_another(stand, order)
    pull = order.reference not in stand.images
    if order.state == "present":
        return Work(pull=pull)
    flip = stand.current != order.name
    work = Work(pull=pull, flip=flip, start=flip or order.must_recreate or not runs_well(stand, order))
    return replace(work, remove=_surplus(outcome(stand, order, work), order.keep_releases))


def outcome(stand: Stand, order: Order, work: Work) -> Stand:
    """The project after the work: what check mode promises and what the work is held to."""
    releases = dict(stand.releases)
    if releases.get(order.name) != order.reference:
        releases.pop(order.name, None)
        releases[order.name] = order.reference
    gone = [releases.pop(name) for name in work.remove]
    # What is still to be pulled has no id yet; its own name stands for it.
    images = {order.reference: order.reference, **stand.images}
    after = replace(
        stand, releases=releases, images={key: image for key, image in images.items() if key not in gone}
    )
    if work.flip:
        after = replace(after, current=order.name, previous=stand.current or stand.previous)
    if work.start:
        healthy = Runs(frozenset({images[order.reference]}))
        after = replace(after, services=dict.fromkeys(stand.services, healthy))
    return after


def written(stand: Stand) -> str:
    """The pin file. JSON is YAML, and needs no library to be read again."""
    content: dict[str, t.Any] = {
        _RECORD: {"current": stand.current, "previous": stand.previous, "releases": dict(stand.releases)}
    }
    if stand.current:
        pin = {"image": stand.releases[stand.current]}
        content["services"] = dict.fromkeys(stand.services, pin)
    return json.dumps(content, indent=2) + "\n"


def read(text: str, place: str) -> Stand:
    """The record of a pin file; '' is a project that was never pinned."""
    if not text:
        return Stand()
    try:
        record = json.loads(text)[_RECORD]
        stand = Stand(
            str(record["current"]),
            str(record["previous"]),
            {str(name): str(each) for name, each in record["releases"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise MigrationError(
            "read", place, f"it is not the record that was written there ({type(exc).__name__})",
            "Put the file back, or move it away and give the digests of both releases",
        ) from exc  # fmt: skip
    strange = [each for each in stand.releases.values() if not reference.is_pinned(each)]
    if strange or not {stand.current, stand.previous} <= {"", *stand.releases}:
        raise MigrationError(
            "read", place, "it names an image without a digest, or a release it does not hold"
        )
    return stand
