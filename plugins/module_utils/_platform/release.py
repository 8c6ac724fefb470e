# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to happen to the release folders of a host, decided from what is there. Touches nothing."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

_NAME: t.Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


@dataclass(frozen=True)
class Stand:
    """The release folders as they are.

    ``complete`` holds each whole release, oldest first, with the digest of the artifact it came
    from ('' if somebody else put it there). ``restart_due`` names a release that was made current
    by a process which ended before it had restarted the application.
    """

    current: str = ""
    previous: str = ""
    restart_due: str = ""
    complete: t.Mapping[str, str] = field(default_factory=dict)

    def as_row(self) -> dict[str, t.Any]:
        return {
            "current": self.current,
            "previous": self.previous,
            "restart_due": bool(self.restart_due),
            "releases": sorted(self.complete),
        }


@dataclass(frozen=True)
class Order:
    """What somebody wants of a host."""

    name: str
    state: str
    sha256: str = ""
    keep_releases: int = 5
    must_restart: bool = False


@dataclass(frozen=True)
class Work:
    """What is left to do for it, in this order."""

    unpack: bool = False
    flip: bool = False
    restart: bool = False
    remove: t.Tuple[str, ...] = ()


def _refuse_name(order: Order) -> None:
    if not _NAME.fullmatch(order.name):
        raise MigrationError(
            "use", f"release {order.name!r}", "the name of a release is one plain folder name"
        )


def _must_unpack(stand: Stand, order: Order) -> bool:
    if order.name not in stand.complete:
        return True
    known = stand.complete[order.name]
    if not known or not order.sha256 or known == order.sha256:
        return False
    if order.name in (stand.current, stand.previous):
        raise MigrationError(
            "unpack",
            f"release {order.name}",
            f"it is in use and came from another artifact ({known[:12]}…, not {order.sha256[:12]}…)",
            "Give the new artifact a version of its own",
        )
    return True


def _surplus(stand: Stand, keep: int) -> tuple[str, ...]:
    """Old releases beyond those to keep; the current and the one to go back to stay in any case."""
    if keep < 1:
        return ()
    in_use = {stand.current, stand.previous}
    old = list(stand.complete)[:-keep]
    return tuple(name for name in old if name not in in_use)


def plan(stand: Stand, order: Order) -> Work:
    """Only what is missing."""
    _refuse_name(order)
    if order.state == "absent":
        if order.name in (stand.current, stand.previous):
            raise MigrationError("remove", f"release {order.name}", "it is current or the one to go back to")
        return Work(remove=(order.name,) if order.name in stand.complete else ())
    unpack = _must_unpack(stand, order)
    if order.state == "present":
        return Work(unpack=unpack)
    flip = stand.current != order.name
    work = Work(unpack=unpack, flip=flip, restart=flip or order.must_restart or bool(stand.restart_due))
    return replace(work, remove=_surplus(outcome(stand, order, work), order.keep_releases))


def outcome(stand: Stand, order: Order, work: Work) -> Stand:
    """The folders after the work: what check mode promises and what the work is held to."""
    complete = dict(stand.complete)
    if work.unpack:
        complete.pop(order.name, None)
        complete[order.name] = order.sha256
    for name in work.remove:
        complete.pop(name, None)
    if not work.flip:
        return replace(stand, complete=complete, restart_due="" if work.restart else stand.restart_due)
    previous = stand.current or stand.previous
    return Stand(current=order.name, previous=previous, restart_due="", complete=complete)
