# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a member that a lost run took out comes back by itself, as lines of the readiness table."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._balancer import lease as leases
from ansible_collections.emailai.migration.plugins.module_utils._balancer import lease_file
from ansible_collections.emailai.migration.plugins.module_utils._balancer.lease import Lease
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

Line = t.Dict[str, str]


def _line(item: str, required: str, found: str, read_by: str, state: str) -> Line:
    return {
        "item": item,
        "kind": "balancer",
        "required": required,
        "found": found,
        "read_by": read_by,
        "state": state,
    }


def hindrance(folder: str) -> str:
    """Why no keeper could work here; '' when one can. Makes nothing."""
    if not folder:
        return "no host keeps leases (balancer_lease_host, balancer_lease_seconds)"
    existing = folder
    while not os.path.exists(existing):
        existing = os.path.dirname(existing)
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"this user may not write {existing}"
    return "" if os.path.isdir(existing) else f"{existing} is no folder"


def _left_behind(lease: Lease) -> Line:
    is_well = lease.state == leases.READMITTED and not lease.reason
    return _line(
        f"{lease.member} left by an earlier run",
        "no server is left out of traffic",
        lease.sentence(),
        "the lease of its drain",
        "met" if is_well else "open",
    )


def lines(folder: str, backend: str) -> t.List[Line]:
    """Where nothing heals, the first line asks to be accepted by name; then one line a lease."""
    reason = hindrance(folder)
    found = [
        _line(
            f"drains of {backend} heal themselves",
            "a keeper on the balancers' side brings a server back when its run is lost",
            f"not self-healing: {reason}" if reason else f"a keeper can work in {folder}",
            "lb_member_info",
            "not_watched" if reason else "met",
        )
    ]
    try:
        return found + [_left_behind(lease) for lease in lease_file.all_in(folder, backend) if folder]
    except MigrationError as exc:
        return [*found, _line(f"leases in {folder}", "readable", str(exc), "lb_member_info", "open")]
