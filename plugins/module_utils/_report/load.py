# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the users saw of the service while the run went on, as a load generator or a log wrote it down."""

from __future__ import annotations

import json
import os
import typing as t

Window = t.Dict[str, t.Any]

# More points than a page has room for would only make it slow.
MOST_WINDOWS: t.Final = 480


def read(path: str) -> dict[str, t.Any]:
    """``{requests, failed, windows}``. A file that cannot be read is named: the report goes on without it.

    One JSON document with ``windows``, or JSON lines with a window each; the
    last line may be half written by somebody who still works.
    """
    try:
        with open(path, encoding="utf-8") as handle:
            document = _parse(handle.read())
    except (OSError, ValueError) as exc:
        return {"not_readable": f"{os.path.basename(path)}: {type(exc).__name__}"}
    windows = [row for row in document.pop("windows", None) or [] if isinstance(row, dict)]
    totals = {name: sum(_number(row.get(name)) for row in windows) for name in ("requests", "failed")}
    return {**totals, **document, "windows": thin(windows)}


def thin(windows: t.Sequence[Window], most: int = MOST_WINDOWS) -> list[Window]:
    """At most so many windows: neighbours are joined, failures added up, the slowest kept."""
    size = -(-len(windows) // most) if windows else 1
    return [_join(windows[start : start + size]) for start in range(0, len(windows), size)]


def _join(windows: t.Sequence[Window]) -> Window:
    slowest = [row["p95_ms"] for row in windows if isinstance(row.get("p95_ms"), (int, float))]
    return {
        "at": windows[0].get("at"),
        "requests": sum(_number(row.get("requests")) for row in windows),
        "failed": sum(_number(row.get("failed")) for row in windows),
        "p95_ms": max(slowest, default=None),
    }


def _parse(text: str) -> dict[str, t.Any]:
    try:
        document = json.loads(text)
    except ValueError:
        document = {"windows": _lines(text)}
    if isinstance(document, dict) and "at" in document:
        document = {"windows": [document]}
    if not isinstance(document, dict):
        raise ValueError("neither a document nor lines")
    return document


def _lines(text: str) -> list[t.Any]:
    *whole, last = text.rstrip("\n").split("\n")
    rows = [json.loads(line) for line in whole]
    try:
        return [*rows, json.loads(last)]
    except ValueError:
        if not rows:
            raise
        return rows


def _number(value: t.Any) -> t.Union[int, float]:
    return value if isinstance(value, (int, float)) else 0
