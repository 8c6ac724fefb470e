# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections of a member that no balancer accounts for: an old worker's, or somebody else's."""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._balancer import connections
from ansible_collections.emailai.migration.plugins.module_utils._balancer.member import Member
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError


def endpoint(app_address: str, members: t.Sequence[Member]) -> t.Optional[connections.Endpoint]:
    """Where the app listens: as told, else as the first balancer says; None for what has no port."""
    host, _c, port = app_address.rpartition(":") if app_address else (members[0].address, "", members[0].port)
    try:
        return ipaddress.ip_address(host.strip("[]")), int(port)
    except ValueError:
        if app_address:
            raise MigrationError(
                "watch", app_address, "it is not an address and a port", "Write it as 10.0.0.7:3000"
            ) from None
        return None


def count(app_address: str, members: t.Sequence[Member]) -> t.Optional[int]:
    """Connections in use on the app's port; None where this host cannot see them."""
    app = endpoint(app_address, members)
    tables = connections.read_tables()
    if app is None or not tables:
        return None
    found = connections.count(tables, app, connections.is_local(app[0]))
    # Balancers keep idle connections open for the next request, and ask how the app is; no user waits there.
    # A slow health page is asked half of the time: counted, its checks would keep the app busy for ever.
    own = sum(member.idle_connections + member.checks_under_way for member in members)
    return max(0, found - own)
