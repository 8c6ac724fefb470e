# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A member's stay outside traffic: a drain begins a lease, the return ends it, and one run owns it."""

from __future__ import annotations

import secrets
import typing as t
from dataclasses import replace

from ansible_collections.emailai.migration.plugins.module_utils._balancer import keeping, lease_file, passage
from ansible_collections.emailai.migration.plugins.module_utils._balancer import lease as leases
from ansible_collections.emailai.migration.plugins.module_utils._balancer.lease import Lease, Terms
from ansible_collections.emailai.migration.plugins.module_utils._balancer.member import (
    READY,
    Balancer,
    Member,
)
from ansible_collections.emailai.migration.plugins.module_utils._balancer.passage import (
    Clock,
    Fence,
    Strangers,
    Wish,
)
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

Descriptions = t.Sequence[t.Mapping[str, t.Any]]
Marks = t.Dict[str, t.Optional[str]]


def _refusal(act: str, member: str, lease: t.Optional[Lease], token: str) -> t.Optional[MigrationError]:
    """Why a run that believes it has the lease has it no more."""
    if lease is not None and lease.is_live and lease.token == token:
        return None
    cause = "its lease is gone"
    if lease is not None:
        cause = "another run has taken its lease over" if lease.is_live else lease.sentence()
    return MigrationError(act, member, cause, "Nothing was changed. Give the command again")


def _fence(path: str, member: str, token: str) -> Fence:
    def check() -> None:
        refusal = _refusal("change", member, lease_file.read(path), token)
        if refusal is not None:
            raise refusal

    return check


def _renew(
    path: str, token: str, seconds: float, state: str, act: str, empty: t.Optional[Marks] = None
) -> Lease:
    """Another word from the run; the lease as it stood before."""
    with lease_file.locked_folder(path.rpartition("/")[0]):
        lease = lease_file.read(path)
        refusal = _refusal(act, lease.member if lease else path, lease, token)
        if refusal is not None or lease is None:
            raise refusal or MigrationError(act, path, "its lease is gone")
        renewed = lease.renewed(seconds, state, lease_file.now())
        lease_file.write(path, renewed if empty is None else replace(renewed, empty=empty))
    if not keeping.is_kept(path, token):
        keeping.start(path, token)
    return lease


def _marks(balancers: t.Sequence[Balancer]) -> Marks:
    """What changes with each reload; None where it cannot be read."""
    marks: Marks = {}
    for balancer in balancers:
        try:
            marks[balancer.name] = balancer.mark()
        except MigrationError:
            marks[balancer.name] = None
    return marks


def _take(
    path: str,
    members: t.Sequence[Member],
    descriptions: Descriptions,
    wish: Wish,
    terms: Terms,
    former: t.Optional[Lease],
) -> str:
    """A new lease, or that of a run that is lost, by a new token: its keeper has nothing to do any more."""
    token = secrets.token_hex(8)
    lease = Lease(
        token=token,
        backend=wish.backend,
        member=wish.member,
        balancers=[dict(each) for each in descriptions],
        before=leases.before_of(members, former),
        seconds=wish.timeout_seconds + terms.seconds,
        versions=list(terms.versions),
        health_url=terms.health_url,
        consecutive=terms.consecutive,
        renewal=former.renewal + 1 if former else 1,
        changed_at=lease_file.now(),
    )
    with lease_file.locked_folder(terms.folder):
        lease_file.write(path, lease)
    keeping.start(path, token)
    return token


def _answering(balancers: t.Sequence[Balancer], wish: Wish) -> t.Sequence[Balancer]:
    answering, _members, dead = passage.living(balancers, wish)
    if not answering:
        raise dead[0]
    return answering


def _end(path: str, token: str) -> None:
    with lease_file.locked_folder(path.rpartition("/")[0]):
        lease = lease_file.read(path)
        if lease is not None and (lease.token == token or not lease.is_live):
            lease_file.remove(path)


def _end_if_back(path: str, token: str, balancers: t.Sequence[Balancer], wish: Wish) -> None:
    """After a drain that failed: a member that is in traffic everywhere needs no keeper. Where that is not
    so, or cannot be seen, the keeper stays and does at its deadline what can be done."""
    try:
        members = passage.look(balancers, wish)
    except MigrationError:
        return
    if all(member.admission == READY for member in members):
        _end(path, token)


def _answer(done: dict[str, t.Any], terms: Terms, token: str, former: t.Optional[Lease]) -> dict[str, t.Any]:
    told = former.sentence() if former is not None and former.token != terms.token else ""
    return {
        **done,
        "lease": {"token": token, "seconds": terms.seconds} if token else {},
        "lease_found": told,
        **({"warnings": [told[:1].upper() + told[1:] + "."]} if told else {}),
    }


def drain(
    balancers: t.Sequence[Balancer],
    descriptions: Descriptions,
    wish: Wish,
    terms: t.Optional[Terms],
    strangers: Strangers,
    check_mode: bool,
    clock: Clock,
) -> dict[str, t.Any]:
    """Out of traffic under a lease, or longer out under the lease that the caller already has."""
    if terms is None:
        return passage.drain(balancers, wish, strangers, check_mode, clock)
    path = lease_file.path_of(terms.folder, wish.backend, wish.member)
    former = lease_file.read(path)
    if check_mode:
        return _answer(passage.drain(balancers, wish, strangers, True, clock), terms, terms.token, former)
    lease_file.prepare(terms.folder)
    budget = wish.timeout_seconds + terms.seconds
    token = terms.token
    was_empty = False
    if token:
        held = _renew(path, token, budget, leases.HELD, "keep out")
        # One that died meanwhile gives it no users; that it is dead is said when the member comes back.
        balancers = _answering(balancers, wish)
        marks = _marks(balancers)
        was_empty = held.was_empty(marks)
    else:
        marks = _marks(balancers)
        token = _take(path, passage.look(balancers, wish), descriptions, wish, terms, former)
    try:
        fence = _fence(path, wish.member, token)
        done = passage.drain(balancers, wish, strangers, False, clock, fence, was_empty)
    except BaseException:
        _end_if_back(path, token, balancers, wish)
        raise
    _renew(path, token, terms.seconds, leases.HELD, "keep out", marks)
    return _answer(done, terms, token, former)


def readmit(
    balancers: t.Sequence[Balancer],
    descriptions: Descriptions,
    wish: Wish,
    terms: t.Optional[Terms],
    check_mode: bool,
    clock: Clock,
) -> dict[str, t.Any]:
    """Back into traffic, which ends the lease. Meanwhile the lease is ours, so that nobody acts behind us."""
    if terms is None:
        return passage.readmit(balancers, wish, check_mode, clock)
    path = lease_file.path_of(terms.folder, wish.backend, wish.member)
    former = lease_file.read(path)
    if check_mode or former is None or not former.is_live:
        done = passage.readmit(balancers, wish, check_mode, clock)
        if not check_mode and former is not None:
            _end(path, former.token)
        return _answer(done, terms, "", former)
    token = terms.token or _take(path, passage.living(balancers, wish)[1], descriptions, wish, terms, former)
    _renew(path, token, wish.timeout_seconds + terms.seconds, leases.RETURNING, "readmit")
    done = passage.readmit(balancers, wish, False, clock, _fence(path, wish.member, token))
    _end(path, token)
    return _answer(done, terms, "", former)
