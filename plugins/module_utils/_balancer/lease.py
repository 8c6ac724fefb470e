# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a member may stay out without word from its run, and what may happen then. Touches nothing."""

from __future__ import annotations

import hashlib
import typing as t
from dataclasses import asdict, dataclass, field, fields, replace

from ansible_collections.emailai.migration.plugins.module_utils._balancer.member import READY, Member

# held: the run is at work. returning: the run is bringing it back itself. The rest are ends.
HELD: t.Final = "held"
RETURNING: t.Final = "returning"
READMITTED: t.Final = "readmitted"
LEFT_OUT: t.Final = "left_out"
GONE: t.Final = "gone"
_LIVE: t.Final = (HELD, RETURNING)


@dataclass(frozen=True)
class Terms:
    """What a caller asks of a lease. ``token`` is the one he was given; empty takes the lease over."""

    folder: str
    seconds: float
    token: str = ""
    health_url: str = ""
    versions: t.Sequence[str] = ()
    consecutive: int = 3


@dataclass(frozen=True)
class Lease:
    """One member out of traffic. ``renewal`` rises with each word from the run; a keeper counts from there
    by its own clock, so that a clock that is set meanwhile changes nothing. ``empty`` has each balancer's
    mark from before the last proof that nothing was in flight: while it stands, nothing was forgotten."""

    token: str
    backend: str
    member: str
    balancers: t.List[t.Dict[str, t.Any]]
    before: t.Dict[str, str]
    seconds: float
    versions: t.List[str] = field(default_factory=list)
    health_url: str = ""
    consecutive: int = 3
    renewal: int = 1
    state: str = HELD
    reason: str = ""
    changed_at: str = ""
    empty: t.Dict[str, t.Optional[str]] = field(default_factory=dict)

    @property
    def is_live(self) -> bool:
        return self.state in _LIVE

    def renewed(self, seconds: float, state: str, now: str) -> Lease:
        return replace(self, seconds=seconds, renewal=self.renewal + 1, state=state, changed_at=now)

    def was_empty(self, marks: t.Mapping[str, t.Optional[str]]) -> bool:
        """Whether these balancers were proven empty, and each is what it was then; None is not known."""
        return bool(marks) and all(
            mark is not None and self.empty.get(name) == mark for name, mark in marks.items()
        )

    def ended(self, state: str, reason: str, now: str) -> Lease:
        return replace(self, state=state, reason=reason, changed_at=now)

    def as_document(self) -> t.Dict[str, t.Any]:
        return asdict(self)

    def sentence(self) -> str:
        """What a person is told about a lease that an earlier run left behind."""
        told = {
            HELD: f"a run took {self.member} out and has not been heard of again; its lease still runs",
            RETURNING: f"a run was bringing {self.member} back and has not been heard of again",
            READMITTED: f"no run came back for {self.member}, so its keeper gave it its traffic again",
            LEFT_OUT: f"no run came back for {self.member}, and its keeper left it out of traffic",
            GONE: f"somebody else changed {self.member} at a balancer while it was leased",
        }[self.state]
        return f"{told} ({self.changed_at}){': ' + self.reason if self.reason else ''}"


def read(document: t.Mapping[str, t.Any]) -> Lease:
    """From a file; a field that is missing or of another release is a TypeError or KeyError."""
    if not isinstance(document, dict):
        raise TypeError("it is not a lease")
    known = {each.name for each in fields(Lease)}
    lease = Lease(**{key: value for key, value in document.items() if key in known})
    if lease.state not in (*_LIVE, READMITTED, LEFT_OUT, GONE):
        raise KeyError(lease.state)
    return lease


def file_name(backend: str, member: str) -> str:
    """A name for a file, whatever characters a member has."""
    readable = "".join(each if each.isalnum() or each in "-_." else "-" for each in member)
    digest = hashlib.sha256(f"{backend}\0{member}".encode()).hexdigest()[:12]
    return f"lease-{readable[:80]}-{digest}.json"


def before_of(members: t.Sequence[Member], former: t.Optional[Lease]) -> t.Dict[str, str]:
    """How each balancer had it before we came: what a run that was lost has written down is truer than
    what its drain left us to see."""
    known = former.before if former is not None and former.state != GONE else {}
    return {
        member.balancer: READY if member.admission == READY else known.get(member.balancer, member.admission)
        for member in members
    }


def is_ours(lease: Lease, member: Member, rests_as: t.Collection[str]) -> bool:
    """Out, as our own drain leaves a member, and in traffic before it: only such a one do we bring back."""
    return lease.before.get(member.balancer) == READY and member.admission in rests_as


def fault_of_version(version: str, versions: t.Sequence[str]) -> str:
    """Why this release must not get users by itself; '' when it may."""
    if not versions or version in versions:
        return ""
    return f"it runs {version or 'a release it does not name'}, not {' or '.join(versions)}"
