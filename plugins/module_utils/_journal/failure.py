# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A failed phase in words: what happened, whom to ask, how to go on, how to go back."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._journal import states
from ansible_collections.emailai.migration.plugins.module_utils._readiness import contact


def reduce(result: t.Mapping[str, t.Any] | None) -> dict[str, str]:
    """Message and kind of a failed task's result; nothing else of it is looked at or kept.

    A loop carries its messages in the results of its items.
    """
    if not result:
        return {}
    failed = [item for item in result.get("results") or () if isinstance(item, dict) and item.get("failed")]
    messages = [str(item["msg"]) for item in failed if item.get("msg")] or [str(result.get("msg") or "")]
    kinds = [str(item.get("kind") or "") for item in (*failed, result)]
    return {
        "msg": " ".join(dict.fromkeys(message.strip() for message in messages if message.strip())),
        "kind": next((kind for kind in kinds if kind), ""),
    }


def command(playbook: str, limit: str) -> str:
    return f"ansible-playbook {playbook} -l {limit or '<side>'}"


def sentence(phase: str, error: str, kind: str, contacts: t.Mapping[str, t.Any], limit: str) -> str:
    """What a person needs to read when a phase has failed."""
    lines = [f"Phase {phase} failed: {error}", f"Ask {contact.name(kind, contacts)}."]
    again = states.playbook(phase) if phase not in states.FORWARD else "migrate.yml"
    alone = states.playbook(phase)
    # The journal may be out of reach: whether it is a later release is known to the reader.
    later = f" (a later release: {command(alone, limit)})" if phase in states.RELEASE else ""
    lines.append(f"To go on at this phase: {command(again, limit)}{later}")
    if phase in states.WAYS_BACK:
        lines.append(f"If it fails again, the last resort: {command('playbooks/restore.yml', limit)}")
    elif phase != "contract":
        lines.append(f"To go back: {command('playbooks/roll_back.yml', limit)}")
    return "\n".join(lines)
