# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The argument specification that the modules of the organization model share."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import CONNECTION_OPTIONS

MODEL_OPTIONS: t.Final[dict[str, dict[str, t.Any]]] = {
    **CONNECTION_OPTIONS,
    "run_id": {"type": "str", "default": ""},
    "preset": {"type": "str", "default": "runbook", "choices": ["runbook", "emailai", "inbox_zero"]},
    "map": {"type": "dict", "default": {}},
}
PATIENCE_OPTIONS: t.Final[dict[str, dict[str, t.Any]]] = {
    "lock_timeout_ms": {"type": "int", "default": 50},
    "deadline_seconds": {"type": "int", "default": 600},
}
