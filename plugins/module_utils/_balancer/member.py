# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A member as a balancer sees it, and the face that every kind of balancer shows."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

READY: t.Final = "ready"
DRAINED: t.Final = "drained"
CLOSED: t.Final = "closed"


@dataclass(frozen=True)
class Member:
    """``admission`` is what an operator asked for, everything else is what the balancer observes.

    ready: gets traffic while healthy. drained: keeps what it has, gets nothing new, is still
    checked. closed: out, and not even checked, so nothing that is said about its health is true.
    """

    balancer: str
    name: str
    address: str
    port: int
    admission: str
    is_running: bool
    weight: int
    sessions: int
    queued: int
    connections: int
    idle_connections: int
    health: t.Optional[int]
    full_health: t.Optional[int]
    status: str
    # Health checks that are connected at this moment, asking; no user waits for them.
    checks_under_way: int = 0

    @property
    def is_checked(self) -> bool:
        return self.health is not None and self.full_health is not None

    @property
    def is_fully_healthy(self) -> bool:
        """Every check that could count against it has passed: half way up is not up."""
        return self.is_running and self.is_checked and self.health == self.full_health

    @property
    def is_serving(self) -> bool:
        return self.admission == READY and self.is_fully_healthy and self.weight > 0

    @property
    def in_flight(self) -> int:
        # A session and the connection it uses are one request to a person.
        return self.queued + max(self.sessions, self.connections)

    def as_row(self) -> dict[str, t.Any]:
        """The line of the table that people and playbooks get."""
        return {
            "balancer": self.balancer,
            "member": self.name,
            "address": f"{self.address}:{self.port}",
            "state": self.admission,
            "status": self.status,
            "serving": self.is_serving,
            "health": self.health,
            "full_health": self.full_health,
            "sessions": self.sessions,
            "queued": self.queued,
            "connections": self.connections,
        }


class Balancer(t.Protocol):
    """What the acts below need of a balancer. Each method raises MigrationError with a sentence."""

    @property
    def name(self) -> str:
        """How a sentence calls it."""

    @property
    def lock_folder(self) -> str:
        """A folder that all who decide about this balancer's capacity on one host can lock."""

    def members(self, backend: str) -> t.List[Member]:
        """Everybody in the backend, read now."""

    @property
    def rests_as(self) -> t.Tuple[str, ...]:
        """The admissions in which our own drain leaves a member; any other is somebody else's."""

    @property
    def checks_while_out(self) -> t.Tuple[str, ...]:
        """The admissions, other than ready, in which it still checks a member's health."""

    def mark(self) -> str:
        """Changes when it has forgotten what it was told at run time; '' for one that never forgets."""

    def may_write(self) -> bool:
        """Whether our way in allows changes; asked without making one."""

    def drain(self, backend: str, member: str) -> None:
        """Nothing new; what is in flight goes on; checks go on."""

    def reopen(self, backend: str, member: str) -> None:
        """From closed to drained, with a health that the checks have to prove from nothing."""

    def admit(self, backend: str, member: str) -> None:
        """Traffic again."""

    def cut(self, backend: str, member: str) -> None:
        """End what is still in flight."""
