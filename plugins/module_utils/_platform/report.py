# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the health of several servers comes to: one outcome, its lines, one sentence. Touches nothing."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform import health

_WORST_FIRST: t.Final = (health.SILENT, health.SICK, health.HEALTHY)


def _line(server: t.Mapping[str, t.Any], expected_version: str, consecutive: int) -> dict[str, str]:
    is_healthy = server["outcome"] == health.HEALTHY
    return {
        "item": f"{server['url']} healthy",
        "kind": "app",
        "required": expected_version or "any release",
        "found": server["version"] or "healthy" if is_healthy else server["reason"],
        "read_by": f"{consecutive} good answers in a row",
        "state": "met" if is_healthy else "open",
    }


def of(
    servers: t.Sequence[t.Mapping[str, t.Any]], expected_version: str, consecutive: int
) -> dict[str, t.Any]:
    """Nobody asked is nobody healthy."""
    outcomes = {server["outcome"] for server in servers} or {health.SILENT}
    versions = {server["version"] for server in servers}
    return {
        "changed": False,
        "outcome": next(each for each in _WORST_FIRST if each in outcomes),
        "version": versions.pop() if len(versions) == 1 else "",
        "servers": list(servers),
        "readiness": [_line(server, expected_version, consecutive) for server in servers],
    }


def failure(found: t.Mapping[str, t.Any]) -> MigrationError:
    """The first server that is not well speaks for all; the others stand in the facts."""
    sick = [server for server in found["servers"] if server["outcome"] != health.HEALTHY]
    if not sick:
        return MigrationError("confirm the health of", "the servers", "none is named", **found)
    others = f" ({len(sick) - 1} others are not well either)" if len(sick) > 1 else ""
    return MigrationError("confirm the health of", sick[0]["url"], f"{sick[0]['reason']}{others}", **found)
