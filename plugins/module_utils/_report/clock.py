# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times of the journal as moments, and as a person reads them. All in UTC."""

from __future__ import annotations

import datetime
import typing as t


def moment(text: t.Any) -> t.Optional[datetime.datetime]:
    """ISO text or seconds since the epoch; None for what is no time."""
    try:
        if isinstance(text, (int, float)):
            return datetime.datetime.fromtimestamp(text, datetime.timezone.utc)
        # Python 3.9 does not know the letter Z.
        read = datetime.datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except (ValueError, OverflowError, OSError):
        return None
    return read if read.tzinfo else read.replace(tzinfo=datetime.timezone.utc)


def shown(text: t.Any) -> str:
    read = moment(text)
    return read.astimezone(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S") if read else "\u2013"


def seconds_between(start: t.Any, end: t.Any) -> t.Optional[float]:
    first, last = moment(start), moment(end)
    return (last - first).total_seconds() if first and last else None


def duration(seconds: t.Optional[float]) -> str:
    """As short as it is exact enough: 0.4 s, 12 s, 3 m 07 s, 2 h 05 m, 3 d 4 h."""
    if seconds is None:
        return "\u2013"
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} m"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"
