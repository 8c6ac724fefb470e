# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kinds of balancers there are, and how an inventory describes one."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._balancer.haproxy import Haproxy
from ansible_collections.emailai.migration.plugins.module_utils._balancer.member import Balancer
from ansible_collections.emailai.migration.plugins.module_utils._balancer.nginx import Nginx
from ansible_collections.emailai.migration.plugins.module_utils._balancer.nginx_plus import NginxPlus
from ansible_collections.emailai.migration.plugins.module_utils._balancer.target_group import TargetGroup
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

Description = t.Mapping[str, t.Any]

BALANCERS_OPTION: t.Final[dict[str, t.Any]] = {
    "type": "list",
    "elements": "dict",
    "required": True,
    "options": {
        "kind": {
            "type": "str",
            "default": "haproxy",
            "choices": ["haproxy", "nginx", "nginx_plus", "target_group"],
        },
        "socket": {"type": "str"},
        "master_socket": {"type": "str"},
        "file": {"type": "path"},
        "command": {"type": "list", "elements": "str", "default": ["nginx"]},
        "pid_file": {"type": "path", "default": "/run/nginx.pid"},
        "health_path": {"type": "str", "default": "/api/health"},
        "url": {"type": "str"},
        "members": {"type": "dict"},
        "region": {"type": "str"},
        "profile": {"type": "str"},
        "endpoint_url": {"type": "str"},
    },
    "required_if": [
        ["kind", "haproxy", ["socket"]],
        ["kind", "nginx", ["file"]],
        ["kind", "nginx_plus", ["url"]],
        ["kind", "target_group", ["members"]],
    ],
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


def _word(description: Description, key: str) -> str:
    return str(description.get(key) or "")


def _haproxy(description: Description) -> Haproxy:
    return Haproxy(description["socket"], _word(description, "master_socket"))


def _nginx(description: Description) -> Nginx:
    return Nginx(
        description["file"], description["command"], description["pid_file"], description["health_path"]
    )


def _nginx_plus(description: Description) -> NginxPlus:
    return NginxPlus(description["url"], description.get("members") or {})


def _target_group(description: Description) -> TargetGroup:
    return TargetGroup(
        description["members"],
        _word(description, "region"),
        _word(description, "profile"),
        _word(description, "endpoint_url"),
    )


_KINDS: t.Final[dict[str, t.Callable[[Description], Balancer]]] = {
    "haproxy": _haproxy,
    "nginx": _nginx,
    "nginx_plus": _nginx_plus,
    "target_group": _target_group,
}


def open_all(descriptions: t.Sequence[Description]) -> list[Balancer]:
    """The balancers an inventory describes; nobody is spoken to yet."""
    if not descriptions:
        raise MigrationError("reach", "the balancers", "none is named")
    return [_KINDS[description["kind"]](description) for description in descriptions]


def open_pages(descriptions: t.Sequence[Description]) -> list[Haproxy]:
    """Those whose rules read a map at each request, for the maintenance page."""
    others = sorted({each["kind"] for each in descriptions} - {"haproxy"})
    if others:
        raise MigrationError(
            "switch the page of",
            ", ".join(others),
            "only HAProxy reads a map while it runs",
            "Show the page by that balancer's own means",
        )
    return [_haproxy(description) for description in descriptions]
