# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who calls, and whether the run is his: the lease ``run`` and how it passes to the next controller."""

from __future__ import annotations

import platform
import typing as t
from dataclasses import dataclass, field

from ansible_collections.emailai.migration.plugins.module_utils._journal import lease, states, tables, view

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

LEASE: t.Final = "run"
# What makes two controllers neighbours: each can see whether the other's process lives.
_MACHINE: t.Final = ("host", "boot", "space")


@dataclass(frozen=True)
class Caller:
    """Who calls: the person, the controller's process, and the epoch it got when it took the lease.

    ``dead_epoch`` is a lease whose holder the caller has seen to be dead.
    """

    owner: str
    controller: dict[str, t.Any] = field(default_factory=dict)
    epoch: int | None = None
    dead_epoch: int = 0
    seize: bool = False
    budget_seconds: float | None = None

    @property
    def host(self) -> str:
        return str(self.controller.get("host") or platform.node())

    def holds(self, held: lease.Lease) -> bool:
        """Taken by this process, and by nobody since."""
        if self.epoch is not None:
            return held.epoch == self.epoch
        return bool(self.controller) and held.detail.get("controller") == self.controller

    def is_neighbour(self, held: lease.Lease) -> bool:
        theirs = held.detail.get("controller") or {}
        return bool(self.controller.get("boot")) and all(
            theirs.get(part) == self.controller.get(part) for part in _MACHINE
        )


def describe(held: lease.Lease) -> dict[str, t.Any]:
    """The holder as data for a playbook and a line for a person."""
    return {
        "owner": held.owner,
        "host": held.host,
        "pid": held.pid,
        "run_id": held.run_id,
        "epoch": held.epoch,
        "is_live": held.is_live,
        "since": view.moment(held.acquired_at),
        "expires_at": view.moment(held.expires_at),
        "phase": held.detail.get("phase", ""),
        "controller": held.detail.get("controller") or {},
        "text": held.holder(),
    }


def take(connection: Connection, caller: Caller, run_id: str, phase: str) -> lease.Lease | None:
    """The lease, new or still ours; None while somebody else has it."""
    seconds = caller.budget_seconds or states.PHASES[phase].budget_seconds
    held = lease.read(connection, LEASE)
    if held is not None and caller.holds(held):
        _prolong(connection, held, caller, phase, seconds)
        return held
    if caller.epoch is not None and not caller.seize:
        raise fenced(phase, held)
    if (
        held is not None
        and not caller.seize
        and caller.is_neighbour(held)
        and held.epoch != caller.dead_epoch
    ):
        # Silent or not: its process can be looked at, so it is not taken for dead before that was done.
        return None
    if caller.seize:
        lease.fence_others(connection, LEASE)
    return lease.acquire(
        connection,
        LEASE,
        run_id,
        caller.owner,
        seconds,
        seize=caller.seize,
        detail={"controller": caller.controller, "phase": phase},
        host=caller.host,
        pid=int(caller.controller.get("pid") or 0),
        dead_epoch=caller.dead_epoch,
    )


def _prolong(connection: Connection, held: lease.Lease, caller: Caller, phase: str, seconds: float) -> None:
    from psycopg2.extras import Json

    detail = {"controller": caller.controller, "phase": phase}
    with connection.cursor() as cursor:
        lease.extend(cursor, LEASE, held.epoch, seconds)
        cursor.execute(
            "UPDATE emailai_migration.lease SET detail = %s"
            " WHERE database = emailai_migration.here() AND name = %s",
            (Json(detail), LEASE),
        )
    connection.commit()


def held_by(connection: Connection, caller: Caller) -> lease.Lease:
    held = lease.read(connection, LEASE) if tables.exist(connection) else None
    if held is None or not caller.holds(held):
        raise fenced("this phase", held)
    return held


def fenced(phase: str, held: lease.Lease | None) -> lease.FencedError:
    cause = f"the lease was taken over by {held.holder()}" if held else "the lease was never taken"
    return lease.FencedError("go on with", phase, cause, "Look at playbooks/status.yml for who works now")
