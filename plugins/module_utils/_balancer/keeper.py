# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that keeps one lease: holds the member out while its run is heard of, and brings it back,
if that is safe, when the run is not heard of any more. Started by ``keeping``, ends by itself."""

from __future__ import annotations

import os
import signal
import sys
import time
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._balancer import kinds, lease_file
from ansible_collections.emailai.migration.plugins.module_utils._balancer import lease as leases
from ansible_collections.emailai.migration.plugins.module_utils._balancer.lease import Lease
from ansible_collections.emailai.migration.plugins.module_utils._balancer.member import (
    READY,
    Balancer,
    Member,
)
from ansible_collections.emailai.migration.plugins.module_utils._balancer.passage import Clock, pick
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

_LOOK_SECONDS: t.Final = 0.25
# At the deadline a server that has only just been started gets this long to become well.
_PATIENCE_SECONDS: t.Final = 10.0

# The release that answers after so many good answers in a row, and why it is not well: '' when it is.
Asked = t.Callable[[Lease], t.Tuple[str, str]]


def sign_path(path: str) -> str:
    return f"{path}.keeper"


def log_path(path: str) -> str:
    return f"{path}.log"


class Keeper:
    """One lease, by one token. With another token, or none, in the file it has nothing to do any more."""

    def __init__(
        self, path: str, token: str, balancers: t.Sequence[Balancer], ask: Asked, clock: Clock
    ) -> None:
        self._path = path
        self._token = token
        self._balancers = balancers
        self._ask = ask
        self._clock = clock
        self._marks = {balancer.name: self._mark(balancer) for balancer in balancers}

    def keep(self) -> None:
        """Until the lease is over, in one way or the other."""
        renewal, deadline = 0, 0.0
        while True:
            lease = self._current()
            if lease is None:
                return
            if lease.renewal != renewal:
                renewal, deadline = lease.renewal, self._clock.monotonic() + lease.seconds
            if self._clock.monotonic() >= deadline:
                if self._settle(lease):
                    return
                continue
            self._hold_out(lease)
            self._clock.sleep(_LOOK_SECONDS)

    def _current(self) -> t.Optional[Lease]:
        """The lease while it is ours; None once a run has ended it or another has taken it over."""
        lease = lease_file.read(self._path)
        return lease if lease is not None and lease.is_live and lease.token == self._token else None

    def _mark(self, balancer: Balancer) -> str:
        try:
            return balancer.mark()
        except MigrationError:
            return ""

    def _hold_out(self, lease: Lease) -> None:
        """A reload forgets a drain: the member would get users while its release is being exchanged."""
        for balancer in self._balancers:
            mark = self._mark(balancer)
            if not mark or mark == self._marks[balancer.name]:
                continue
            with lease_file.locked_folder(os.path.dirname(self._path)):
                current = self._current()
                if current is None or current.state != leases.HELD:
                    return
                try:
                    view = balancer.members(lease.backend)
                    member = pick(view, lease.member, lease.backend, balancer.name)
                    # Whatever else somebody made of it meanwhile is not ours to change.
                    if member.admission == READY and lease.before.get(balancer.name) == READY:
                        balancer.drain(lease.backend, lease.member)
                except MigrationError:
                    continue
                self._marks[balancer.name] = mark

    def _settle(self, lease: Lease) -> bool:
        """The deadline has come. False if the run was heard of meanwhile after all."""
        fault = self._wait_for_health(lease)
        with lease_file.locked_folder(os.path.dirname(self._path)):
            current = self._current()
            if current is None:
                return True
            if current.renewal != lease.renewal:
                return False
            state, reason = self._readmit(lease, fault)
            lease_file.write(self._path, lease.ended(state, reason, lease_file.now()))
            return True

    def _wait_for_health(self, lease: Lease) -> str:
        """Why users must not be sent there, or '' : the right release, and so many good looks in a row."""
        deadline = self._clock.monotonic() + _PATIENCE_SECONDS
        good = 0
        while True:
            fault = self._fault(lease)
            good = 0 if fault else good + 1
            if good >= lease.consecutive or self._is_renewed(lease):
                return ""
            if self._clock.monotonic() >= deadline:
                return fault or f"it was well only {good} of {lease.consecutive} times in a row"
            self._clock.sleep(_LOOK_SECONDS)

    def _is_renewed(self, lease: Lease) -> bool:
        current = self._current()
        return current is None or current.renewal != lease.renewal

    def _fault(self, lease: Lease) -> str:
        fault = self._fault_of_application(lease)
        if fault:
            return fault
        for balancer, member in self._look(lease)[0]:
            if leases.is_ours(lease, member, balancer.checks_while_out) and not member.is_fully_healthy:
                return f"{member.balancer} sees it as {member.status}, health {member.health}"
        return ""

    def _fault_of_application(self, lease: Lease) -> str:
        if not lease.health_url:
            return ""
        version, fault = self._ask(lease)
        return fault or leases.fault_of_version(version, lease.versions)

    def _look(self, lease: Lease) -> t.Tuple[t.List[t.Tuple[Balancer, Member]], t.List[str]]:
        """How each balancer has it, and the words of those who do not answer and give it no users."""
        found, silent = [], []
        for balancer in self._balancers:
            try:
                view = balancer.members(lease.backend)
                found.append((balancer, pick(view, lease.member, lease.backend, balancer.name)))
            except MigrationError as exc:
                silent.append(str(exc))
        return found, silent

    def _readmit(self, lease: Lease, fault: str) -> t.Tuple[str, str]:
        """Only where it is still as our drain left it; the state of the lease and what there is to say."""
        found, told = self._look(lease)
        outside = [(balancer, member) for balancer, member in found if member.admission != READY]
        ours = [balancer for balancer, member in outside if leases.is_ours(lease, member, balancer.rests_as)]
        if fault and ours:
            return leases.LEFT_OUT, " ".join([f"{fault}.", *told])
        for balancer in ours:
            try:
                balancer.admit(lease.backend, lease.member)
            except MigrationError as exc:
                told.append(str(exc))
        others = [
            f"{member.balancer} keeps it {member.admission}, which is not our doing."
            for balancer, member in outside
            if balancer not in ours
        ]
        return leases.GONE if others else leases.READMITTED, " ".join([*told, *others])


def ask(lease: Lease) -> t.Tuple[str, str]:
    """One question to the application itself."""
    from ansible_collections.emailai.migration.plugins.module_utils._platform import health, http

    answer = http.ask(lease.health_url, 5.0)
    return answer.version, health.fault(answer, "")


def main(path: str, token: str) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sys.stdin.close()
    sys.stdout = sys.stderr = open(log_path(path), "w", encoding="utf-8", buffering=1)  # noqa: SIM115
    lease = lease_file.read(path)
    if lease is None:
        return
    keeper = Keeper(path, token, kinds.open_all(lease.balancers), ask, time)
    lease_file.write_sign(sign_path(path), {"token": token, "pid": os.getpid()})
    try:
        keeper.keep()
    finally:
        # A later keeper of the same member has signed in our place.
        if lease_file.read_sign(sign_path(path)).get("token") == token:
            lease_file.remove(sign_path(path))
    if not sys.stdout.tell():
        lease_file.remove(log_path(path))


if __name__ == "__main__":
    main(*sys.argv[1:])
