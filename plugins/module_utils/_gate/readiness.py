# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be said before a watch: which providers answer, and what would be watched."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._gate import policy, soak
from ansible_collections.emailai.migration.plugins.module_utils._gate.provider import name_of
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import Reading
from ansible_collections.emailai.migration.plugins.module_utils._gate.record import Record
from ansible_collections.emailai.migration.plugins.module_utils._gate.verdict import Question


def lines(
    readings: t.Sequence[Reading], descriptions: t.Sequence[t.Mapping[str, t.Any]]
) -> list[dict[str, str]]:
    """A readiness line for each provider, and one for each thing that none of them measures."""
    hosts = {name_of(d): d.get("host") or "" for d in descriptions}
    result = [
        {
            "item": f"gate provider {reading.name}",
            "kind": "gate",
            "required": "answers",
            "found": reading.error or _found(reading),
            "read_by": f"{reading.kind} on {hosts[reading.name]}"
            if hosts.get(reading.name)
            else reading.kind,
            "state": "open" if reading.error else "met",
        }
        for reading in readings
    ]
    for what, words in (("errors", "error rates"), ("p95", "response times")):
        if not any(what in reading.measures for reading in readings):
            result.append(
                {
                    "item": f"gate {words}",
                    "kind": "gate",
                    "required": "measured by a provider",
                    "found": "no provider that answers measures them"
                    if readings
                    else "gate_providers is empty, no provider: nobody would notice",
                    "read_by": "the list of providers",
                    "state": "open",
                }
            )
    return result


def preview(readings: t.Sequence[Reading], question: Question, plan: soak.Plan) -> dict[str, t.Any]:
    """The answer in check mode: one look, and what a real run would watch."""
    record = Record()
    record.take(readings, 0.0)
    servers = ", ".join(question.members) or "all servers"
    names = ", ".join(reading.name for reading in readings)
    dead = [f"{reading.name} cannot be read: {reading.error}" for reading in readings if reading.error]
    return {
        "verdict": "inconclusive",
        "action": policy.HOLD,
        "trigger": "inconclusive",
        "reasons": [f"check mode: would watch {servers} for {plan.soak_seconds:g} s by {names}", *dead],
        "findings": [],
        "alerts": [],
        "elapsed_seconds": 0.0,
        "baseline": {},
        "readiness": [],
        **soak.figures(record, question),
    }


def _found(reading: Reading) -> str:
    facts = [
        f"{name} {value}" for name, value in reading.figures.items() if isinstance(value, (int, float, str))
    ]
    servers = reading.figures.get("servers")
    if servers:
        facts.append(", ".join(f"{server} {status}" for server, status in servers.items()))
    return "; ".join(facts + reading.notes) or "answers"
