# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Maintenance windows: which hours of which days, and whether a moment lies inside."""

from __future__ import annotations

import datetime
import re
import typing as t
import zoneinfo
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

DAYS: t.Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SUNDAY_TO_THURSDAY: t.Final = ("sunday", "monday", "tuesday", "wednesday", "thursday")
# As long as the presets' own.
_QUIET_HOURS: t.Final = 4


@dataclass(frozen=True)
class Window:
    """From ``begins`` until ``ends`` on ``days``, by the clocks of ``timezone``.

    A window that ends before it begins goes over midnight and belongs to the day it began on.
    """

    days: tuple[str, ...]
    begins: datetime.time
    ends: datetime.time
    timezone: str

    def holds(self, moment: datetime.datetime) -> bool:
        local = moment.astimezone(_zone(self.timezone))
        today, clock = local.weekday(), local.time().replace(tzinfo=None)
        if self.begins < self.ends:
            return DAYS[today] in self.days and self.begins <= clock < self.ends
        if clock >= self.begins:
            return DAYS[today] in self.days
        return clock < self.ends and DAYS[today - 1] in self.days

    def text(self) -> str:
        days = ", ".join(day[:3] for day in DAYS if day in self.days)
        return f"{self.begins:%H:%M} to {self.ends:%H:%M} {self.timezone} on {days}"


_PRESETS: t.Final = {
    "us": Window(_SUNDAY_TO_THURSDAY, datetime.time(2), datetime.time(6), "America/New_York"),
    "eu": Window(_SUNDAY_TO_THURSDAY, datetime.time(2), datetime.time(6), "Europe/Paris"),
}


def choose(wanted: t.Mapping[str, t.Any]) -> Window | None:
    """The window that was asked for; None allows any time. MigrationError if it cannot be known."""
    preset = str(wanted.get("preset") or "none")
    if preset == "none":
        return None
    if preset in _PRESETS:
        return _PRESETS[preset]
    if preset == "global":
        return quietest(wanted.get("requests_by_hour") or [])
    if preset != "custom":
        raise _unknown(f"preset {preset} is none of none, us, eu, global, custom")
    return _custom(wanted)


def quietest(requests_by_hour: t.Sequence[t.Any]) -> Window:
    """The four hours in a row, UTC, with the fewest requests of a day."""
    if len(requests_by_hour) != 24:
        raise _unknown(
            f"{len(requests_by_hour)} of 24 hours were measured",
            "Give requests_by_hour: the requests of each hour of a day, from 00:00 UTC on",
        )
    numbers = [float(number) for number in requests_by_hour]
    sums = [sum(numbers[(first + n) % 24] for n in range(_QUIET_HOURS)) for first in range(24)]
    first = sums.index(min(sums))
    return Window(DAYS, datetime.time(first), datetime.time((first + _QUIET_HOURS) % 24), "UTC")


def local_text(moment: datetime.datetime, timezone: str) -> str:
    local = moment.astimezone(_zone(timezone))
    return f"{DAYS[local.weekday()].capitalize()} {local:%H:%M} {timezone}"


def _custom(wanted: t.Mapping[str, t.Any]) -> Window:
    days = tuple(str(day).lower() for day in wanted.get("days") or DAYS)
    strange = [day for day in days if day not in DAYS]
    if strange:
        raise _unknown(f"{', '.join(strange)} is no day of the week", f"Days are: {', '.join(DAYS)}")
    zone = str(wanted.get("timezone") or "UTC")
    _zone(zone)
    return Window(days, _clock(wanted.get("begins")), _clock(wanted.get("ends")), zone)


def _clock(value: t.Any) -> datetime.time:
    found = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", str(value or ""))
    if not found:
        raise _unknown(f"{value!r} is no time of day", 'Write it as "22:30", in quotes')
    return datetime.time(int(found[1]), int(found[2]))


def _zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        raise _unknown(
            f"this host knows no time zone {name}", "Install tzdata there, or correct the name"
        ) from None


def _unknown(cause: str, cure: str = "") -> MigrationError:
    return MigrationError("find", "the maintenance window", cause, cure, kind="window")
