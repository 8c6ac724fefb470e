# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of slo_gate as both of its halves understand them: module and action plugin."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._gate.provider import KINDS
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import CONNECTION_OPTIONS

FATAL_PATTERNS: t.Final = ("FATAL", "out of memory", "unhandled")
CONNECTION_PATTERNS: t.Final = (
    "Can't reach database server",
    "Timed out fetching a new connection from the connection pool",
    "too many clients",
    "remaining connection slots",
    "connection to server at",
    "Connection terminated unexpectedly",
)

_COUNTED: t.Final[dict[str, t.Any]] = {
    "trigger": {"type": "str", "required": True},
    "path": {"type": "str", "required": True},
    "from_status": {"type": "int", "default": 400},
    "to_status": {"type": "int", "default": 599},
}

PROVIDER: t.Final[dict[str, t.Any]] = {
    "kind": {"type": "str", "required": True, "choices": list(KINDS)},
    "name": {"type": "str"},
    "host": {"type": "str"},
    "lag_seconds": {"type": "float"},
    "socket": {"type": "str"},
    "backend": {"type": "str"},
    "path": {"type": "path"},
    "delimiter": {"type": "str", "default": " "},
    "columns": {"type": "list", "elements": "str", "default": []},
    "names": {"type": "dict", "default": {}},
    "time": {"type": "str", "choices": ["epoch_ms", "epoch", "iso"], "default": "epoch_ms"},
    "duration": {"type": "str", "choices": ["ms", "s"]},
    "counted": {"type": "list", "elements": "dict", "options": _COUNTED},
    "server": {"type": "str"},
    # An address may hold a secret. A header may not: its short words would be blacked out in the figures.
    "url": {"type": "str", "no_log": True},
    "token": {"type": "str", "no_log": True},
    "token_header": {"type": "str", "default": "Authorization", "no_log": False},
    "api_key": {"type": "str", "no_log": True},
    "application_key": {"type": "str", "no_log": True},
    "headers": {"type": "dict", "default": {}},
    "timeout_seconds": {"type": "float", "default": 10},
    "validate_certs": {"type": "bool", "default": True},
    "requests": {"type": "str"},
    "errors": {"type": "str"},
    "p95": {"type": "str"},
    "errors_may_be_absent": {"type": "bool", "default": False},
    "server_label": {"type": "str"},
    "organization": {"type": "str"},
    "projects": {"type": "list", "elements": "str", "default": []},
    "environment": {"type": "str"},
    "query": {"type": "str", "default": ""},
    "dataset": {"type": "str", "choices": ["spans", "transactions", "errors"], "default": "spans"},
    "requests_of": {"type": "str"},
    "project": {"type": "str"},
    "deployment": {"type": "str"},
    "team_id": {"type": "str"},
    "team_slug": {"type": "str"},
    **CONNECTION_OPTIONS,
}

ARGUMENTS: t.Final[dict[str, t.Any]] = {
    "state": {
        "type": "str",
        "choices": ["soaked", "baseline", "checked", "judged", "passed"],
        "default": "soaked",
    },
    "providers": {"type": "list", "elements": "dict", "default": [], "options": PROVIDER},
    "members": {"type": "list", "elements": "str", "default": []},
    "others": {"type": "list", "elements": "str", "default": []},
    "soak_seconds": {"type": "float", "default": 300},
    "since": {"type": "float"},
    "figures_from": {"type": "str", "choices": ["now", "history"], "default": "now"},
    "window_seconds": {"type": "int", "default": 60},
    "poll_seconds": {"type": "float", "default": 2},
    "minimum_requests": {"type": "int", "default": 100},
    "limits": {"type": "dict", "default": {}},
    "baseline": {"type": "dict", "default": {}},
    "fatal_patterns": {"type": "list", "elements": "str", "default": list(FATAL_PATTERNS)},
    "connection_patterns": {"type": "list", "elements": "str", "default": list(CONNECTION_PATTERNS)},
    "queries_of": {"type": "str", "default": "Organization"},
    "attended": {"type": "bool", "default": False},
    "unattended_action": {"type": "dict", "default": {}},
    "complaints": {"type": "int"},
    "integrity": {"type": "list", "elements": "dict"},
    "judgement": {"type": "dict", "default": {}},
    "positions": {"type": "dict", "default": {}},
}
