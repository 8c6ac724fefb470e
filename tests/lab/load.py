# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's users: requests through the balancer, bounded in number and time, each one accounted for.

``python -m lab.load`` runs them; ``start``, ``stop`` and ``report`` are for everybody else.
LAB_LOAD_RATE (requests a second in all, 0 = as fast as it goes), LAB_LOAD_CONNECTIONS and
LAB_LOAD_SECONDS change the defaults.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import json
import os
import signal
import sys
import threading
import time
import typing as t
from pathlib import Path

from lab import seed
from lab.client import Answer, Client
from lab.expectation import State, doubtful, expected_state
from lab.layout import Layout
from lab.people import Crowd, Deed
from lab.process import Process

__all__ = ["acknowledged", "expected_state", "failures", "report", "start", "stop"]

RATE, CONNECTIONS = 80.0, 8
# It stops by itself, whoever forgot it.
MAX_SECONDS, MAX_REQUESTS = 1800.0, 2_000_000
_LONGEST_MS = 60_000


class Book:
    """Everything that happened: figures in memory, writes and failures in files at once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock = threading.Lock()
        self._acknowledged = (folder / "acknowledged.jsonl").open("a", buffering=1)
        self._failures = (folder / "failures.jsonl").open("a", buffering=1)
        self._series = (folder / "series.jsonl").open("a", buffering=1)
        self.began = time.time()
        self.requests = 0
        self.failed = 0
        self.by_operation: dict[str, dict[str, int]] = collections.defaultdict(
            lambda: {"requests": 0, "failed": 0}
        )
        self.by_release: collections.Counter[str] = collections.Counter()
        self.by_server: collections.Counter[str] = collections.Counter()
        self.histogram: collections.Counter[int] = collections.Counter()
        self._second: collections.Counter[int] = collections.Counter()
        self._second_failed = 0

    def note(self, deed: Deed, milliseconds: float, answer: t.Optional[Answer], problem: str) -> None:
        headers = answer.headers if answer else {}
        spot = min(int(milliseconds), _LONGEST_MS)
        with self._lock:
            self.requests += 1
            self.by_operation[deed.op]["requests"] += 1
            self.by_release[headers.get("x-release", "none")] += 1
            self.by_server[headers.get("x-server", "none")] += 1
            self.histogram[spot] += 1
            self._second[spot] += 1
            if problem:
                self.failed += 1
                self._second_failed += 1
                self.by_operation[deed.op]["failed"] += 1
                self._failures.write(json.dumps(self._failure(deed, milliseconds, answer, problem)) + "\n")

    @staticmethod
    def _failure(
        deed: Deed, milliseconds: float, answer: t.Optional[Answer], problem: str
    ) -> dict[str, t.Any]:
        return {
            "at": time.time(),
            "op": deed.op,
            "method": deed.method,
            "path": deed.path,
            "ids": deed.ids if deed.is_write else {},
            "status": answer.status if answer else 0,
            "problem": problem,
            "ms": round(milliseconds, 1),
            "release": answer.headers.get("x-release", "") if answer else "",
            "server": answer.headers.get("x-server", "") if answer else "",
        }

    def acknowledge(self, event: dict[str, t.Any]) -> None:
        with self._lock:
            self._acknowledged.write(json.dumps(dict(event, at=time.time())) + "\n")

    def save(self) -> None:
        """Close the present second and write the figures."""
        with self._lock:
            figures = self._figures()
            line = {
                "at": round(time.time(), 3),
                "requests": sum(self._second.values()),
                "failed": self._second_failed,
                "p95_ms": percentile(self._second, 0.95),
            }
            self._second.clear()
            self._second_failed = 0
        self._series.write(json.dumps(line) + "\n")
        draft = self.folder / "figures.draft"
        draft.write_text(json.dumps(figures))
        draft.replace(self.folder / "figures.json")

    def _figures(self) -> dict[str, t.Any]:
        return {
            "requests": self.requests,
            "failed": self.failed,
            "by_operation": {name: dict(entry) for name, entry in sorted(self.by_operation.items())},
            "p50_ms": percentile(self.histogram, 0.50),
            "p95_ms": percentile(self.histogram, 0.95),
            "p99_ms": percentile(self.histogram, 0.99),
            "by_release_counts": dict(self.by_release),
            "by_server_counts": dict(self.by_server),
            "seconds": round(time.time() - self.began, 1),
        }


def percentile(histogram: t.Mapping[int, int], share: float) -> t.Optional[int]:
    """The smallest number of milliseconds within which this share was answered; None of nothing."""
    total = sum(histogram.values())
    if not total:
        return None
    seen = 0
    for spot in sorted(histogram):
        seen += histogram[spot]
        if seen >= share * total:
            break
    return spot


class Load:
    """All crowds, each with a connection and a thread of its own."""

    def __init__(self, layout: Layout, environment: t.Mapping[str, str]) -> None:
        self.layout = layout
        self.rate = float(environment.get("LAB_LOAD_RATE") or RATE)
        self.connections = int(environment.get("LAB_LOAD_CONNECTIONS") or CONNECTIONS)
        self.seconds = min(float(environment.get("LAB_LOAD_SECONDS") or MAX_SECONDS), MAX_SECONDS)
        self.stop = threading.Event()
        self.tickets = itertools.count(1)

    def run(self) -> None:
        state, addresses = self._known()
        book = Book(self.layout.load)
        token = f"{int(time.time()):x}"
        threads = [
            threading.Thread(
                target=self._walk, args=(Crowd(number, self.connections, state, addresses, token), book)
            )
            for number in range(self.connections)
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + self.seconds
        while not self.stop.wait(1) and time.monotonic() < deadline:
            book.save()
        self.stop.set()
        for thread in threads:
            thread.join(30)
        book.save()

    def _known(self) -> tuple[State, dict[str, str]]:
        """The users there are: the seed's, less what earlier loads deleted or left in doubt."""
        rows = seed.make(self.layout.profile)
        state = expected_state(acknowledged(self.layout), rows)
        unsure = doubtful(failures(self.layout))
        state.users -= unsure
        state.accounts = {key: owner for key, owner in state.accounts.items() if key not in unsure}
        seeded = {row[0]: row[1] for number, row in enumerate(rows.users) if number not in seed.RESERVED}
        # Users of earlier loads are left in peace, and so are those that tests work with.
        state.users &= set(seeded)
        return state, seeded

    def _walk(self, crowd: Crowd, book: Book) -> None:
        client = Client(self.layout.port("front"))
        pause = self.connections / self.rate if self.rate else 0.0
        due = time.monotonic() + crowd.dice.random() * pause
        while not self.stop.wait(max(0.0, due - time.monotonic()) if pause else 0):
            if next(self.tickets) > MAX_REQUESTS:
                self.stop.set()
                break
            perform(client, crowd, book)
            # Never try to catch up what a stall has missed: that would be a burst, not users.
            due = max(due + pause, time.monotonic() - pause)
        client.close()


def perform(client: Client, crowd: Crowd, book: Book) -> None:
    """One request and what follows from it."""
    deed = crowd.next()
    began = time.perf_counter()
    answer: t.Optional[Answer] = None
    problem = ""
    try:
        answer = client.call(deed.method, deed.path, deed.body)
        if answer.status not in deed.expected:
            problem = f"status {answer.status}: {str(answer.content.get('error', ''))[:200]}"
    except OSError as exc:
        problem = str(exc)
    book.note(deed, (time.perf_counter() - began) * 1000, answer, problem)
    if answer is not None and not problem:
        if deed.is_write:
            book.acknowledge(crowd.learn(deed, answer.content))
    elif deed.is_write:
        crowd.forget({value for name, value in deed.ids.items() if name != "email"})


# -- for everybody else ---------------------------------------------------------


def start(layout: Layout, environment: t.Optional[t.Mapping[str, str]] = None) -> None:
    """Let the users come; they stay until ``stop`` or their time is over."""
    from lab.whole import start_module

    known = os.environ if environment is None else environment
    settings = {name: value for name, value in known.items() if name.startswith("LAB_LOAD_")}
    settings.update(
        LAB_DIR=str(layout.folder), LAB_PORT_BASE=str(layout.port_base), LAB_PROFILE=layout.profile
    )
    start_module(layout, "load", [sys.executable, "-m", "lab.load"], settings)


def stop(layout: Layout) -> None:
    """Let them finish what they have asked, then go."""
    Process(layout.pids, "load").end(40)


def report(layout: Layout) -> dict[str, t.Any]:
    """The figures of the present or last load; an empty load has None where there is nothing to say."""
    path = layout.load / "figures.json"
    figures: dict[str, t.Any] = {"requests": 0, "failed": 0}
    if path.exists():
        figures = json.loads(path.read_text())
    return dict(figures, running=Process(layout.pids, "load").is_alive())


def acknowledged(layout: Layout) -> list[dict[str, t.Any]]:
    """Every write that was answered well, in order."""
    return _lines(layout.load / "acknowledged.jsonl")


def failures(layout: Layout) -> list[dict[str, t.Any]]:
    """Every request that was not."""
    return _lines(layout.load / "failures.jsonl")


def _lines(path: Path) -> list[dict[str, t.Any]]:
    found = []
    if path.exists():
        for line in path.read_text().splitlines():
            # The last line of a killed load may be torn.
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
    return found


def main() -> None:
    load = Load(Layout.from_environment(), os.environ)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_ignored: load.stop.set())
    load.run()


if __name__ == "__main__":
    main()
