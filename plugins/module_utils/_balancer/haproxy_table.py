# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What HAProxy's answers mean: tables read by their headers, replies told apart. Touches nothing."""

from __future__ import annotations

import csv
import re
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._balancer.member import (
    CLOSED,
    DRAINED,
    READY,
    Member,
)

# srv_admin_state is a set of bits. What keeps a member out for good: our own maintenance, one
# inherited from a tracked server, one of the name resolution. 0x04 says only that the file has
# "disabled"; it stays set after the member was enabled and means nothing by itself.
_CLOSED_BITS: t.Final = 0x01 | 0x02 | 0x20 | 0x40
_DRAINED_BITS: t.Final = 0x08 | 0x10
_RUNNING: t.Final = "2"
# srv_check_state is a set of bits too: this one is set from the connection of a check to its answer.
_ASKING_BIT: t.Final = 0x01

_CURES: t.Final = {
    "permission denied": "Give the socket 'level admin' in the balancer's configuration",
    "no such server": "Name the member as the balancer's configuration does",
    "no such backend": "Name the backend as the balancer's configuration does",
    "can't find backend": "Name the backend as the balancer's configuration does",
}


class TableError(Exception):
    """An answer that is not the table asked for; the message is what was answered."""


def cure_for(reply: str) -> str:
    """What a person can do about a refusal."""
    lowered = reply.lower()
    return next((cure for sign, cure in _CURES.items() if sign in lowered), "")


def refusal(reply: str) -> str:
    """The first line of an answer to a command that says nothing when it worked."""
    lines = reply.strip().splitlines()
    return lines[0] if lines else ""


def read_statistics(text: str) -> list[dict[str, str]]:
    """Rows of ``show stat``. Columns are found by name: each release of HAProxy adds some."""
    if not text.startswith("# pxname,"):
        raise TableError(refusal(text) or "an empty answer")
    return list(csv.DictReader(text[2:].strip().splitlines()))


def read_states(text: str) -> list[dict[str, str]]:
    """Rows of ``show servers state``."""
    lines = text.strip().splitlines()
    if len(lines) < 2 or not lines[1].startswith("# be_id "):
        raise TableError(refusal(text) or "an empty answer")
    header = lines[1][2:].split()
    return [dict(zip(header, line.split())) for line in lines[2:]]


def _number(row: dict[str, str], column: str) -> int:
    """A figure that must be there: what cannot be read is not zero."""
    value = row.get(column) or ""
    if not re.fullmatch(r"\d+", value):
        raise TableError(f"column {column} of {row.get('svname', '?')} is {value!r}, not a number")
    return int(value)


def _health(row: dict[str, str]) -> tuple[t.Optional[int], t.Optional[int]]:
    """Health now and when full; (None, None) where nothing checks the member."""
    if not row.get("check_health"):
        return None, None
    return _number(row, "check_health"), _number(row, "check_rise") + _number(row, "check_fall") - 1


def admission(admin_state: str) -> str:
    """What an operator asked for, from the bits."""
    bits = int(admin_state)
    if bits & _CLOSED_BITS:
        return CLOSED
    return DRAINED if bits & _DRAINED_BITS else READY


def members(
    balancer: str,
    backend: str,
    statistics: t.Sequence[dict[str, str]],
    states: t.Sequence[dict[str, str]],
    old_statistics: t.Sequence[dict[str, str]] = (),
) -> list[Member]:
    """Bring both tables together. Old workers of a reload still hold connections; theirs are added."""
    figures = {row["svname"]: row for row in statistics if row["pxname"] == backend}
    old = [row for row in old_statistics if row["pxname"] == backend]
    found = []
    for state in states:
        name = state["srv_name"]
        row = figures.get(name)
        if row is None:
            raise TableError(f"the statistics do not show {backend}/{name}")
        elders = [elder for elder in old if elder["svname"] == name]
        health, full = _health(row)
        found.append(
            Member(
                balancer=balancer,
                name=name,
                address=state["srv_addr"],
                port=int(state["srv_port"]),
                admission=admission(state["srv_admin_state"]),
                is_running=state["srv_op_state"] == _RUNNING,
                weight=int(state["srv_uweight"]),
                sessions=sum(_number(each, "scur") for each in [row, *elders]),
                queued=sum(_number(each, "qcur") for each in [row, *elders]),
                connections=sum(_number(each, "used_conn_cur") for each in [row, *elders]),
                idle_connections=_number(row, "idle_conn_cur") + _number(row, "safe_conn_cur"),
                health=health,
                full_health=full,
                status=row["status"],
                # An old HAProxy does not tell; then a check counts as traffic, and the drain waits longer.
                checks_under_way=int(state.get("srv_check_state", "0")) & _ASKING_BIT,
            )
        )
    return found


def old_workers(text: str) -> list[int]:
    """Process ids of workers that a reload replaced and that still finish their connections."""
    if not text.startswith("#<PID>"):
        raise TableError(refusal(text) or "an empty answer")
    _ignored, _ignored, elders = text.partition("# old workers")
    elders = elders.partition("\n# programs")[0]
    return [int(line.split()[0]) for line in elders.splitlines()[1:] if line[:1].isdigit()]


def read_map(text: str) -> dict[str, str]:
    """Entries of ``show map <map>``: an address in memory, the key, the value to the end of the line."""
    entries = {}
    for line in text.strip().splitlines():
        if not line.startswith("0x"):
            raise TableError(line)
        _ignored, key, value = [*line.split(" ", 2), ""][:3]
        entries[key] = value
    return entries


def quoted(value: str) -> str:
    """A value as one word of a command."""
    return re.sub(r"([\\\s;\"'])", r"\\\1", value)


def process_id(text: str) -> str:
    """The worker that answers ``show info``: another one after each reload."""
    found = re.search(r"^Pid: (\d+)$", text, re.MULTILINE)
    if found is None:
        raise TableError(refusal(text) or "an empty answer")
    return found.group(1)
