# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of the readiness table, and the rule by which each reading becomes met or open. Reads nothing."""

from __future__ import annotations

import datetime
import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._readiness import window

Line = t.Dict[str, str]

# PostgreSQL's own support ends below.
OLDEST_VERSION: t.Final = 130000

CONFIRMED: t.Final = {
    "team_notified": "all stakeholders know the schedule",
    "maintenance_window": "the window is scheduled",
    "rollback_plan": "the way back is written down and the team briefed",
    "on_call": "an engineer is there for the whole window",
    "communication": "the status page is updated and users are told",
}
# What this run makes and proves by itself, before it changes the live database.
DUE: t.Final = {
    "backup_created": ("storage", "playbooks/back_up.yml makes it"),
    "backup_tested": ("storage", "playbooks/back_up.yml restores and compares it"),
    "migration_tested": ("database", "playbooks/rehearse.yml does it on staging"),
}


@dataclass(frozen=True)
class Server:
    """What the server says of itself."""

    version_number: int
    version: str
    database: str
    is_standby: bool


@dataclass(frozen=True)
class Connections:
    """Limits and use. A limit of -1 is none."""

    most: int
    reserved: int
    used: int
    role: str
    role_limit: int
    role_used: int
    database_limit: int
    database_used: int


@dataclass(frozen=True)
class Session:
    """Somebody whose transaction or lock stands in the way."""

    pid: int
    who: str
    seconds: float
    what: str

    def text(self) -> str:
        return f"pid {self.pid} ({self.who}) {self.what} for {self.seconds:.0f} s"


@dataclass(frozen=True)
class Disk:
    """Free bytes where the database lies; None where they cannot be read."""

    free_bytes: int | None
    database_bytes: int
    read_by: str
    why_not: str = ""


def line(item: str, kind: str, required: str, found: str, read_by: str, state: str) -> Line:
    return {
        "item": item, "kind": kind, "required": required, "found": found, "read_by": read_by, "state": state,
    }  # fmt: skip


def unreadable(item: str, kind: str, required: str, exc: Exception) -> Line:
    """What could not be read is open, with the reason in place of the figure."""
    return line(item, kind, required, " ".join(str(exc).split()), "could not be read", "open")


def server(found: Server) -> Line:
    is_met = found.version_number >= OLDEST_VERSION and not found.is_standby
    role = "a standby, which cannot be written" if found.is_standby else "a primary"
    return line(
        "database reachable",
        "database",
        f"PostgreSQL {OLDEST_VERSION // 10000} or newer, a primary",
        f"{found.database}: PostgreSQL {found.version}, {role}",
        "server_version_num, pg_is_in_recovery()",
        _state(is_met),
    )


def connections(found: Connections, workers: int, share: float) -> Line:
    """Room for our workers under each limit that there is, the tightest told."""
    limits = {
        f"{share:.0%} of max_connections": (int(found.most * share), found.used),
        "max_connections without the reserved": (found.most - found.reserved, found.used),
        f"the limit of role {found.role}": (found.role_limit, found.role_used),
        "the limit of the database": (found.database_limit, found.database_used),
    }
    room = {name: most - used for name, (most, used) in limits.items() if most >= 0}
    tightest = min(room, key=lambda name: room[name])
    most, used = limits[tightest]
    return line(
        "free connections",
        "database",
        f"room for {workers} more" if workers else "within every limit",
        f"room for {max(0, room[tightest])}: {used} of {most} ({tightest}) are used",
        "pg_settings, pg_roles, pg_stat_database",
        _state(room[tightest] >= workers),
    )


def prisma(failed: t.Sequence[str] | None) -> Line:
    """None: no such table, so nothing of Prisma's can have failed here."""
    if failed is None:
        found = "no table _prisma_migrations"
    else:
        found = f"failed: {', '.join(failed)}" if failed else "none"
    return line(
        "failed Prisma migrations",
        "database",
        "none",
        found,
        "_prisma_migrations: neither finished nor rolled back",
        _state(not failed),
    )


def transactions(found: t.Sequence[Session], sees_all: bool, most_seconds: float) -> Line:
    """A role that cannot see the others' sessions has seen nothing."""
    required = f"none older than {most_seconds:.0f} s"
    if found:
        return line(
            "long transactions",
            "database",
            required,
            _several(found),
            "pg_stat_activity, pg_prepared_xacts",
            "open",
        )
    if not sees_all:
        return line(
            "long transactions",
            "database",
            required,
            "sessions of other roles cannot be seen: grant pg_read_all_stats",
            "pg_stat_activity",
            "not_watched",
        )
    return line(
        "long transactions", "database", required, "none", "pg_stat_activity, pg_prepared_xacts", "met"
    )


def locks(found: t.Sequence[Session]) -> Line:
    return line(
        "locks on tables",
        "database",
        "none that our locks would wait for",
        _several(found) if found else "none",
        "pg_locks: SHARE and stronger",
        _state(not found),
    )


def disk(found: Disk, factor: float, label: str = "") -> Line:
    needed = int(found.database_bytes * factor)
    item = f"free disk space on {label}" if label else "free disk space"
    required = f"{size(needed)} ({factor:g} x the database's {size(found.database_bytes)})"
    if found.free_bytes is None:
        return line(item, "storage", required, found.why_not, found.read_by, "not_watched")
    return line(
        item, "storage", required, size(found.free_bytes), found.read_by, _state(found.free_bytes >= needed)
    )


def windows(wanted: t.Mapping[str, t.Any], now: datetime.datetime) -> Line:
    item, read_by = "inside the maintenance window", "the clock"
    try:
        chosen = window.choose(wanted)
        if chosen is None:
            found = window.local_text(now, "UTC")
            return line(item, "window", "any time (no window is asked for)", found, read_by, "met")
        found = window.local_text(now, chosen.timezone)
        return line(item, "window", chosen.text(), found, read_by, _state(chosen.holds(now)))
    except MigrationError as exc:
        return unreadable(item, "window", f"window {wanted.get('preset')}", exc)


def confirmations(given: t.Mapping[str, t.Any], required: t.Sequence[str]) -> list[Line]:
    """A name is a name: yes, true and 1 say that something was ticked, not who answers for it."""
    result = []
    for item in required:
        name = given.get(item)
        is_name = isinstance(name, str) and name.strip().lower() not in (
            "",
            "yes",
            "no",
            "true",
            "false",
            "1",
            "0",
        )
        what = CONFIRMED.get(item, "it is so")
        found = f"confirmed by {name}" if is_name else ("nobody" if not name else f"{name!r} is no name")
        result.append(
            line(
                item,
                "person",
                f"confirmed by name: {what}",
                found,
                "migration_confirmations",
                _state(is_name),
            )
        )
    return result


def due(items: t.Sequence[str]) -> list[Line]:
    result = []
    for item in items:
        kind, how = DUE.get(item, ("person", "this run does it"))
        result.append(line(item, kind, "proven in this run before expand", how, "the journal", "due"))
    return result


def size(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return ""


def _several(found: t.Sequence[Session]) -> str:
    """The three longest; the rest is counted."""
    longest = sorted(found, key=lambda session: -session.seconds)
    rest = f" and {len(longest) - 3} more" if len(longest) > 3 else ""
    return "; ".join(session.text() for session in longest[:3]) + rest


def _state(is_met: bool) -> str:
    return "met" if is_met else "open"
