# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kinds of balancers there are, and how an inventory describes one."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._balancer.haproxy import Haproxy
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

BALANCERS_OPTION: t.Final[dict[str, t.Any]] = {
    "type": "list",
    "elements": "dict",
    "required": True,
    "options": {
        "kind": {"type": "str", "default": "haproxy", "choices": ["haproxy"]},
        "socket": {"type": "str", "required": True},
        "master_socket": {"type": "str"},
    },
}

CAPACITY_OPTIONS: t.Final[dict[str, t.Any]] = {
    "min_healthy": {"type": "int", "default": 1},
    "min_healthy_percent": {"type": "int", "default": 50},
}

LEASE_OPTION: t.Final[dict[str, t.Any]] = {
    "type": "dict",
    "options": {
        "folder": {"type": "path", "required": True},
        "seconds": {"type": "float", "default": 60},
        # Says which run, and opens nothing.
        "token": {"type": "str", "default": "", "no_log": False},
        "health_url": {"type": "str", "default": ""},
        "versions": {"type": "list", "elements": "str", "default": []},
        "consecutive": {"type": "int", "default": 3},
    },
}

_KINDS: t.Final[dict[str, t.Callable[[t.Mapping[str, t.Any]], Haproxy]]] = {
    "haproxy": lambda description: Haproxy(description["socket"], description.get("master_socket") or ""),
}


def open_all(descriptions: t.Sequence[t.Mapping[str, t.Any]]) -> list[Haproxy]:
    """The balancers an inventory describes; nobody is spoken to yet."""
    if not descriptions:
        raise MigrationError("reach", "the balancers", "none is named")
    return [_KINDS[description["kind"]](description) for description in descriptions]
