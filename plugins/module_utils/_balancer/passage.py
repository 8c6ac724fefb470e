# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way out of traffic and the way back in, on all balancers or on none."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from ansible_collections.emailai.migration.plugins.module_utils._balancer import capacity as room
from ansible_collections.emailai.migration.plugins.module_utils._balancer.member import (
    CLOSED,
    READY,
    Balancer,
    Member,
)
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._folder_lock import locked

_LOOK_SECONDS: t.Final = 0.1
# A quiet member is looked at again soon: what an earlier look has missed shows at once.
_QUIET_SECONDS: t.Final = 0.1
_CUT_SECONDS: t.Final = 5.0

# Connections of the app that none of the balancers accounts for; None where this cannot be seen.
Strangers = t.Callable[[t.Sequence[Member]], t.Optional[int]]


# Raises if somebody else has taken over what we are about to change.
Fence = t.Callable[[], None]


def no_fence() -> None:
    """For a member without a lease: nobody can have taken it over."""


class Clock(t.Protocol):
    """The part of module ``time`` that waiting needs."""

    def monotonic(self) -> float: ...
    def sleep(self, seconds: float, /) -> None: ...


@dataclass(frozen=True)
class Wish:
    """One member, where it should be, and how far we go for it."""

    backend: str
    member: str
    timeout_seconds: float = 120
    on_timeout: str = "fail"
    min_healthy: int = 1
    min_healthy_percent: int = 50
    stable_polls: int = 3
    poll_seconds: float = 0.25


def pick(view: t.Sequence[Member], name: str, backend: str, balancer: str) -> Member:
    """The member among those a balancer shows."""
    for member in view:
        if member.name == name:
            return member
    known = ", ".join(member.name for member in view) or "nobody"
    raise MigrationError("find", f"{backend}/{name}", f"{balancer} does not know it; it knows {known}")


def look(balancers: t.Sequence[Balancer], wish: Wish) -> list[Member]:
    return [
        pick(balancer.members(wish.backend), wish.member, wish.backend, balancer.name)
        for balancer in balancers
    ]


def _undo(acts: t.Iterable[t.Callable[[], None]]) -> str:
    """Take back what can be taken back; a sentence for what could not."""
    failures = []
    for act in acts:
        try:
            act()
        except MigrationError as exc:
            failures.append(str(exc))
    return " ".join(failures)


def _on_all(steps: t.Iterable[tuple[t.Callable[[], None], t.Callable[[], None]]]) -> None:
    """Do each step; when one is refused, undo those before it and say so."""
    done: list[t.Callable[[], None]] = []
    for act, back in steps:
        try:
            act()
        except MigrationError as exc:
            left = _undo(reversed(done))
            raise MigrationError(
                exc.act, exc.thing, exc.cause, f"{exc.cure}. {left}" if left else exc.cure, **exc.facts
            ) from exc
        done.append(back)


def _way_out(balancer: Balancer, wish: Wish) -> t.Callable[[], None]:
    return lambda: balancer.drain(wish.backend, wish.member)


def _way_in(balancer: Balancer, wish: Wish) -> t.Callable[[], None]:
    return lambda: balancer.admit(wish.backend, wish.member)


def answer(before: t.Sequence[Member], after: t.Sequence[Member], **more: t.Any) -> dict[str, t.Any]:
    """``changed`` and ``diff`` come from the same two looks."""
    was = {member.balancer: member.admission for member in before}
    now = {member.balancer: member.admission for member in after}
    return {
        "changed": was != now,
        "diff": {"before": was, "after": now},
        "members": [member.as_row() for member in after],
        **more,
    }


def _refuse_unless_safe(wish: Wish, before: t.Sequence[Member], capacity: room.Capacity) -> None:
    unchecked = [member.balancer for member in before if not member.is_checked]
    if unchecked:
        raise MigrationError(
            "drain",
            wish.member,
            f"{unchecked[0]} does not check its health, so it could never be readmitted safely",
            "Give the member a health check in the balancer's configuration",
        )
    if not capacity.is_enough:
        raise MigrationError(
            "drain",
            wish.member,
            f"{capacity.healthy_after} of {capacity.members} members would go on serving at"
            f" {capacity.balancer}, and at least {capacity.minimum} must",
            "Bring the other members back to health first",
            capacity=capacity.as_row(),
        )


def _in_flight(members: t.Sequence[Member], strangers: Strangers) -> int:
    # A connection of an old worker or of a balancer nobody named shows only on the app's port.
    return max(sum(member.in_flight for member in members), strangers(members) or 0)


def _wait_for_zero(
    balancers: t.Sequence[Balancer],
    wish: Wish,
    strangers: Strangers,
    seconds: float,
    clock: Clock,
    quiet: int = 0,
) -> int:
    """Look until nothing was in flight several times in a row, of which ``quiet`` were before; what is left
    at the end of the time."""
    deadline = clock.monotonic() + seconds
    while True:
        members = look(balancers, wish)
        back_in = [each for each, member in zip(balancers, members) if member.admission == READY]
        for balancer in back_in:
            # A reload forgets what it was told at run time: say it again and count anew.
            balancer.drain(wish.backend, wish.member)
        left = _in_flight(members, strangers)
        quiet = quiet + 1 if left == 0 and not back_in else 0
        if quiet >= wish.stable_polls:
            return 0
        if clock.monotonic() >= deadline:
            return max(left, 1)
        clock.sleep(min(wish.poll_seconds, _QUIET_SECONDS) if quiet else wish.poll_seconds)


def _empty(
    balancers: t.Sequence[Balancer], wish: Wish, strangers: Strangers, clock: Clock, was_empty: bool
) -> int:
    """Wait for zero by the policy; how many were cut off."""
    quiet = wish.stable_polls - 1 if was_empty else 0
    left = _wait_for_zero(balancers, wish, strangers, wish.timeout_seconds, clock, quiet)
    if left == 0:
        return 0
    if wish.on_timeout == "force":
        for balancer in balancers:
            balancer.cut(wish.backend, wish.member)
        if _wait_for_zero(balancers, wish, strangers, _CUT_SECONDS, clock) == 0:
            return left
    raise MigrationError(
        "drain",
        wish.member,
        f"{left} requests or connections are still in flight after {wish.timeout_seconds:g} s",
        "It gets traffic again. Allow more time, or cut them off with on_timeout=force",
        in_flight=left,
        timed_out=True,
    )


def _take_back(leaving: t.Sequence[Balancer], wish: Wish, fence: Fence) -> str:
    """Traffic again after a drain that failed, unless another run has it out for a purpose of its own."""
    try:
        fence()
    except MigrationError as exc:
        return str(exc)
    return _undo(_way_in(each, wish) for each in leaving)


def drain(
    balancers: t.Sequence[Balancer],
    wish: Wish,
    strangers: Strangers,
    check_mode: bool,
    clock: Clock,
    fence: Fence = no_fence,
    was_empty: bool = False,
) -> dict[str, t.Any]:
    """Out of traffic, and proven empty. On any failure the member gets traffic again as before.

    ``was_empty``: nothing was in flight so often in a row, and no balancer can have sent it anything since;
    if it is still out, one more such look is enough.
    """
    started = clock.monotonic()
    with locked(balancer.lock_folder for balancer in balancers):
        views = [balancer.members(wish.backend) for balancer in balancers]
        before = [
            pick(view, wish.member, wish.backend, balancer.name) for view, balancer in zip(views, balancers)
        ]
        capacity = room.narrowest(
            [
                room.after_drain(view, [wish.member], wish.min_healthy, wish.min_healthy_percent)
                for view in views
            ]
        )
        leaving = [each for each, member in zip(balancers, before) if member.admission == READY]
        if leaving:
            _refuse_unless_safe(wish, before, capacity)
        if not check_mode:
            _on_all((_way_out(each, wish), _way_in(each, wish)) for each in leaving)
    in_flight = _in_flight(before, strangers)
    if check_mode:
        after = [
            member if member.admission == CLOSED else replace(member, admission=each.rests_as[-1])
            for each, member in zip(balancers, before)
        ]
        return answer(
            before, after, capacity=capacity.as_row(), in_flight=in_flight, cut=0, waited_seconds=0.0
        )
    try:
        cut = _empty(balancers, wish, strangers, clock, was_empty and not leaving)
        after = look(balancers, wish)
    except BaseException as exc:
        left = _take_back(leaving, wish, fence)
        if left and isinstance(exc, MigrationError):
            raise MigrationError(exc.act, exc.thing, exc.cause, left, **exc.facts) from exc
        raise
    return answer(
        before,
        after,
        capacity=capacity.as_row(),
        in_flight=in_flight,
        cut=cut,
        waited_seconds=round(clock.monotonic() - started, 3),
    )


def _wait_for_health(balancers: t.Sequence[Balancer], wish: Wish, clock: Clock) -> None:
    deadline = clock.monotonic() + wish.timeout_seconds
    while True:
        members = look(balancers, wish)
        sick = [member for member in members if not member.is_fully_healthy]
        if not sick:
            return
        if clock.monotonic() >= deadline:
            first = sick[0]
            raise MigrationError(
                "readmit",
                wish.member,
                f"after {wish.timeout_seconds:g} s {first.balancer} sees it as {first.status} with health"
                f" {first.health} of {first.full_health}",
                "It stays as it is. Look at the application's own health and log",
                members=[member.as_row() for member in members],
            )
        clock.sleep(_LOOK_SECONDS)


def living(
    balancers: t.Sequence[Balancer], wish: Wish
) -> tuple[list[Balancer], list[Member], list[MigrationError]]:
    """Who answers, how it has the member, and the words of those who do not answer."""
    answering: list[Balancer] = []
    members: list[Member] = []
    dead: list[MigrationError] = []
    for balancer in balancers:
        try:
            view = balancer.members(wish.backend)
        except MigrationError as exc:
            dead.append(exc)
            continue
        members.append(pick(view, wish.member, wish.backend, balancer.name))
        answering.append(balancer)
    return answering, members, dead


def readmit(
    balancers: t.Sequence[Balancer], wish: Wish, check_mode: bool, clock: Clock, fence: Fence = no_fence
) -> dict[str, t.Any]:
    """Back into traffic once every balancer's own checks call it healthy in full.

    One that does not answer gives the member no users and keeps nobody from it: it comes back on the
    others, and then this fails by the name of the dead one.
    """
    answering, before, dead = living(balancers, wish)
    if not answering:
        raise dead[0]
    done = _readmit_on(answering, before, wish, check_mode, clock, fence)
    if dead:
        names = ", ".join(balancer.name for balancer in answering)
        raise MigrationError(
            dead[0].act,
            dead[0].thing,
            dead[0].cause,
            f"{dead[0].cure}. {wish.member} is back in traffic on {names}",
            members=done["members"],
        )
    return done


def _readmit_on(
    balancers: t.Sequence[Balancer],
    before: t.Sequence[Member],
    wish: Wish,
    check_mode: bool,
    clock: Clock,
    fence: Fence,
) -> dict[str, t.Any]:
    started = clock.monotonic()
    if check_mode:
        return answer(before, [replace(member, admission=READY) for member in before], waited_seconds=0.0)
    for balancer, member in zip(balancers, before):
        if member.admission == CLOSED:
            balancer.reopen(wish.backend, wish.member)
    _wait_for_health(balancers, wish, clock)
    fence()
    outside = [each for each, member in zip(balancers, before) if member.admission != READY]
    _on_all((_way_in(each, wish), _way_out(each, wish)) for each in outside)
    after = look(balancers, wish)
    out = [member.balancer for member in after if member.admission != READY]
    if out:
        raise MigrationError(
            "readmit",
            wish.member,
            f"{out[0]} accepted the order and still keeps it {after[0].admission}",
            "Look for a tracked server, an agent check or a name that does not resolve",
            members=[member.as_row() for member in after],
        )
    return answer(before, after, waited_seconds=round(clock.monotonic() - started, 3))
