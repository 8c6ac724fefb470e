# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image built once for a whole fleet: tagged with its version and latest, pushed, its digest read back."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ansible_collections.emailai.migration.plugins.module_utils import _folder_lock
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform import reference
from ansible_collections.emailai.migration.plugins.module_utils._platform.engine import Engine

_LATEST: t.Final = "latest"


@dataclass(frozen=True)
class Order:
    """Which image is wanted, and where it is to be."""

    name: str
    image: str
    digest: str = ""
    push: bool = True

    @property
    def tags(self) -> t.Tuple[str, str]:
        return self.name, _LATEST


def _look(engine: Engine, order: Order) -> dict[str, str]:
    """What each tag leads to: a digest in the registry, or an image of this host if nothing is pushed."""
    if order.push:
        return {tag: engine.registered(reference.tagged(order.image, tag)) for tag in order.tags}
    found = {tag: engine.image(reference.tagged(order.image, tag)) for tag in order.tags}
    return {tag: image["Id"] if image else "" for tag, image in found.items()}


def _refuse_another(order: Order, digest: str) -> None:
    if order.digest and digest and digest != order.digest:
        raise MigrationError(
            "use", reference.tagged(order.image, order.name), f"its digest is {digest}, not {order.digest}",
            "Give the digest that was tested, or the new image a version of its own",
        )  # fmt: skip


def _do(engine: Engine, order: Order, before: t.Mapping[str, str]) -> None:
    version, latest = (reference.tagged(order.image, tag) for tag in order.tags)
    if not before[order.name]:
        engine.tell("build", version, "build", "--tag", version, ".", cure="Nothing was pushed")
        if order.push:
            engine.tell("push", version, "push", version)
    elif order.push:
        # Built here or elsewhere: latest must become what the registry has, not what this host may have.
        pinned = reference.pinned(order.image, before[order.name])
        engine.pull(pinned)
        engine.tell("tag", version, "image", "tag", pinned, version)
    engine.tell("tag", latest, "image", "tag", version, latest)
    if order.push:
        engine.tell("push", latest, "push", latest)


def arrange(engine: Engine, order: Order, patience_seconds: float, check_mode: bool) -> dict[str, t.Any]:
    """Look, decide, do, look again. A version that is there is never built a second time."""
    reference.check(order.image, order.name, order.digest)
    with _folder_lock.locked([engine.folder], patience_seconds) as handles:
        engine = replace(engine, handles=handles)
        before = _look(engine, order)
        _refuse_another(order, before[order.name])
        is_due = not before[order.name] or before[_LATEST] != before[order.name]
        after = dict.fromkeys(order.tags, before[order.name] or "(to be built)") if is_due else before
        if is_due and not check_mode:
            _do(engine, order, before)
            after = _look(engine, order)
            if not after[order.name] or after[_LATEST] != after[order.name]:
                raise MigrationError("tag", order.image, f"its tags lead to {after}")
            _refuse_another(order, after[order.name])
    digest = after[order.name] if order.push and not after[order.name].startswith("(") else ""
    return {
        "changed": before != after,
        "diff": {"before": before, "after": after},
        "digest": digest,
        "reference": reference.pinned(order.image, digest) if digest else "",
        "is_built": not before[order.name],
        "is_pushed": order.push and is_due,
    }
