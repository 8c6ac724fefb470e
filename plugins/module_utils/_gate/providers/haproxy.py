# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Error rates of each server from the counters of HAProxy's statistics socket."""

from __future__ import annotations

import csv
import io
import socket
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import (
    Event,
    Look,
    Position,
    Reading,
)

_TIMEOUT_SECONDS: t.Final = 5.0
_ANSWERS: t.Final = ("hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other")
# Requests that a server never answered properly: HAProxy answered in its place.
_UNANSWERED: t.Final = ("econ", "eresp")


class HAProxy:
    measures: tuple[str, ...] = ("errors",)

    def __init__(self, description: t.Mapping[str, t.Any]) -> None:
        self.address = str(description["socket"])
        self.backend = str(description["backend"])

    def observe(self, reading: Reading, position: Position | None, look: Look) -> None:
        answer = _ask(self.address, "show info;show stat")
        process = _process(answer)
        rows = _servers(answer, self.backend)
        if not rows:
            raise MigrationError(
                "read",
                f"HAProxy's statistics at {self.address}",
                f"it knows no server in a backend {self.backend}",
            )
        now = {server: _counters(row) for server, row in rows.items()}
        then = (position or {}).get("counters", {})
        has_restarted = bool(then) and (position or {}).get("process") != process
        if has_restarted:
            reading.notes.append("HAProxy was reloaded: what its old process counted last is not known")
        if then:
            for server, counters in now.items():
                before = {} if has_restarted else then.get(server, {})
                requests, errors = _since(before, counters)
                tally = reading.tally(look.slot(look.now), server)
                tally.requests += requests
                tally.errors += errors
        reading.position = {"process": process, "counters": now}
        reading.figures["servers"] = {server: row["status"] for server, row in rows.items()}
        reading.events += [
            Event("server_down", f"{server} is {row['status']} by HAProxy's own health checks", server)
            for server, row in rows.items()
            if row["status"].startswith("DOWN")
        ]


def _since(then: t.Mapping[str, int], now: t.Mapping[str, int]) -> tuple[int, int]:
    """Requests and errors between two states of the counters; one that fell began again at zero."""

    def grown(name: str) -> int:
        value = now[name] - then.get(name, 0)
        return now[name] if value < 0 else value

    unanswered = sum(grown(name) for name in _UNANSWERED)
    answered = sum(grown(name) for name in _ANSWERS)
    return answered + unanswered, grown("hrsp_5xx") + unanswered


def _counters(row: t.Mapping[str, str]) -> dict[str, int]:
    return {name: int(row.get(name) or 0) for name in (*_ANSWERS, *_UNANSWERED)}


def _process(answer: str) -> str:
    """Names the process that counts: after a reload all counters start again."""
    facts = dict(line.split(": ", 1) for line in answer.splitlines() if ": " in line and "," not in line)
    return facts.get("Pid", "")


def _servers(answer: str, backend: str) -> dict[str, dict[str, str]]:
    start = answer.find("# pxname,")
    if start < 0:
        raise MigrationError("read", "HAProxy's statistics", f"it answered {answer.strip()[:100]!r}")
    # Columns are found by name: their number grows with every version.
    table = csv.DictReader(io.StringIO(answer[start + 2 :]))
    return {
        row["svname"]: row
        for row in table
        if row["pxname"] == backend and row["svname"] not in ("FRONTEND", "BACKEND")
    }


def _ask(address: str, command: str) -> str:
    try:
        with _connect(address) as connection:
            connection.sendall(command.encode() + b"\n")
            chunks = []
            while True:
                chunk = connection.recv(65536)
                if not chunk:
                    break
                chunks.append(chunk)
    except OSError as exc:
        raise MigrationError(
            "read", f"HAProxy's statistics at {address}", str(exc) or type(exc).__name__
        ) from None
    return b"".join(chunks).decode("utf-8", "replace")


def _connect(address: str) -> socket.socket:
    """A UNIX socket by its path, or TCP by host:port."""
    if address.startswith("/"):
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(_TIMEOUT_SECONDS)
            connection.connect(address)
        except OSError:
            connection.close()
            raise
        return connection
    host, _colon, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=_TIMEOUT_SECONDS)
