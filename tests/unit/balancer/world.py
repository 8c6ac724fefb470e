# SPDX-License-Identifier: GPL-3.0-or-later
"""A balancer made of memory, and a clock that waits for nobody."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.emailai.migration.plugins.module_utils._balancer.member import Member
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError


def member(name: str, balancer: str = "lb-1", **more: t.Any) -> Member:
    whole = Member(
        balancer=balancer,
        name=name,
        address="10.0.0.1",
        port=3000,
        admission="ready",
        is_running=True,
        weight=1,
        sessions=0,
        queued=0,
        connections=0,
        idle_connections=0,
        health=3,
        full_health=3,
        status="UP",
    )
    return replace(whole, **more)


@dataclass
class Clock:
    now: float = 0.0
    each_tick: t.List[t.Callable[[], None]] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.now += seconds
        for act in self.each_tick:
            act()


@dataclass
class Memory:
    """Does what it is told, unless the order is among those it refuses."""

    name: str
    lock_folder: str
    fleet: t.Dict[str, Member]
    refuses: t.Set[str] = field(default_factory=set)
    heard: t.List[str] = field(default_factory=list)
    rests_as: t.Tuple[str, ...] = ("drained",)
    checks_while_out: t.Tuple[str, ...] = ("drained",)
    generation: str = "1"

    def members(self, backend: str) -> list[Member]:
        if "members" in self.refuses:
            raise MigrationError("ask", self.name, "it is dead")
        return list(self.fleet.values())

    def mark(self) -> str:
        if "members" in self.refuses:
            raise MigrationError("ask", self.name, "it is dead")
        return self.generation

    def may_write(self) -> bool:
        return "write" not in self.refuses

    def _obey(self, order: str, name: str, **change: t.Any) -> None:
        self.heard.append(order)
        if order in self.refuses:
            raise MigrationError(order, name, "Permission denied", "Give it level admin")
        self.fleet[name] = replace(self.fleet[name], **change)

    def drain(self, backend: str, member: str) -> None:
        self._obey("drain", member, admission="drained")

    def reopen(self, backend: str, member: str) -> None:
        self._obey("reopen", member, admission="drained", health=0, is_running=False)

    def admit(self, backend: str, member: str) -> None:
        self._obey("admit", member, admission="ready")

    def cut(self, backend: str, member: str) -> None:
        self._obey("cut", member, sessions=0, connections=0, queued=0)

    def change(self, name: str, **change: t.Any) -> None:
        self.fleet[name] = replace(self.fleet[name], **change)


def balancer(folder: str, name: str = "lb-1", count: int = 4, refuses: t.Iterable[str] = ()) -> Memory:
    names = [f"app-{number}" for number in range(1, count + 1)]
    return Memory(name, folder, {each: member(each, name) for each in names}, set(refuses))
