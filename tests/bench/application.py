# SPDX-License-Identifier: GPL-3.0-or-later
"""The application beside the data step: its statements at a pace, and what the server's log says of waits."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import random
import re
import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target
from bench.people import People, connected, key_of
from lab.postgres import Server

_CLIENTS: t.Final = 2
_OURS: t.Final = "emailai.migration"
# Of 1,000 acts. What the triggers add to a sign-up is a figure of its own: one act in a thousand is more of
# them than a service has, and does not decide about the slowest hundredth of all acts.
_MIX: t.Final = {"user": 475, "account": 370, "sign_up": 1, "add": 50, "relink": 30, "touch": 74}
# Each application begins in a process of its own, and its keys are nobody else's.
_NUMBERS: t.Final = itertools.count(1)

_PREFIX = re.compile(
    r"\[(?P<pid>\d+)\] (?:\S+@\S+ (?P<application>.*?) )?(?:LOG|ERROR|DETAIL): +(?P<said>.*)"
)
_HOLDERS = re.compile(r"Process(?:es)? holding the lock: (?P<pids>[\d, ]+)\.")
_BLOCKED = re.compile(r"Process (\d+) waits for .*? blocked by process (\d+)")


class Application:
    """Two clients of the old release: four of five acts read; ``rate`` a second, 0 = all they can.

    In a process of its own, or whatever else the benchmark does would be in their times.
    """

    def __init__(self, people: People, target: Target, rate: float) -> None:
        self.people, self.target, self.interval = people, target, _CLIENTS / rate if rate else 0.0
        self.rate = 0.0
        self._took: list[float] = []
        self._over = threading.Event()
        self._ours, self._theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("fork").Process(target=self._run)

    def __enter__(self) -> Application:
        self._process.start()
        # Each end is held by one side only, so that the death of the other is seen.
        self._theirs.close()
        return self

    def __exit__(self, *_exc: object) -> None:
        with contextlib.suppress(OSError):
            self._ours.send(False)
        self._process.join()
        if self._process.exitcode:
            raise RuntimeError("the application broke off: what was measured was less than its work")

    def run_for(self, seconds: float) -> Application:
        with self:
            time.sleep(seconds)
            self.rate = len(self.take()) / seconds
        return self

    def take(self) -> list[float]:
        """Seconds of each act since the last call."""
        self._ours.send(True)
        taken: list[float] = self._ours.recv()
        return taken

    def _run(self) -> None:
        self._ours.close()
        with ThreadPoolExecutor(_CLIENTS) as pool:
            clients = [pool.submit(self._work, seed) for seed in range(_CLIENTS)]
            try:
                while self._theirs.recv():
                    taken, self._took = self._took, []
                    self._theirs.send(taken)
            finally:
                self._over.set()
            for client in clients:
                client.result()

    def _work(self, seed: int) -> None:
        chance = random.Random(seed)
        due = time.monotonic()
        with connected(self.target) as connection, connection.cursor() as cursor:
            while not self._over.is_set():
                due = max(due + self.interval, time.monotonic() - 1) if self.interval else time.monotonic()
                time.sleep(max(0.0, due - time.monotonic()))
                began = time.monotonic()
                act = chance.choices(list(_MIX), list(_MIX.values()))[0]
                getattr(self, f"_{act}")(cursor, chance)
                self._took.append(time.monotonic() - began)

    def _user(self, cursor: t.Any, chance: random.Random) -> None:
        self._one(cursor, "SELECT * FROM users WHERE id = %s", self._somebody(chance))

    def _account(self, cursor: t.Any, chance: random.Random) -> None:
        self._one(cursor, 'SELECT * FROM "EmailAccount" WHERE id = %s', self._some_account(chance))

    def _sign_up(self, cursor: t.Any, _chance: random.Random) -> None:
        user = f"n{os.getpid()}-{next(_NUMBERS)}"
        cursor.execute("BEGIN")
        cursor.execute("INSERT INTO users VALUES (%s, %s, 'New', now(), now())", (user, user))
        self._new_account(cursor, user)
        cursor.execute("COMMIT")

    def _add(self, cursor: t.Any, chance: random.Random) -> None:
        self._new_account(cursor, self._somebody(chance))

    def _relink(self, cursor: t.Any, chance: random.Random) -> None:
        statement = 'UPDATE "EmailAccount" SET "userId" = %s, "updatedAt" = now() WHERE id = %s'
        self._one(cursor, statement, self._somebody(chance), self._some_account(chance))

    def _touch(self, cursor: t.Any, chance: random.Random) -> None:
        statement = 'UPDATE "EmailAccount" SET "updatedAt" = now() WHERE id = %s'
        self._one(cursor, statement, self._some_account(chance))

    def _somebody(self, chance: random.Random) -> str:
        return key_of(chance.randint(1, self.people.users))

    def _some_account(self, chance: random.Random) -> str:
        return key_of(chance.randint(1, self.people.accounts))

    @staticmethod
    def _one(cursor: t.Any, statement: str, *values: str) -> None:
        cursor.execute(statement, values)
        if cursor.rowcount != 1:
            raise RuntimeError(f"nobody has the key {values[-1]}: what was measured was no work")

    @staticmethod
    def _new_account(cursor: t.Any, user: str) -> None:
        account = f"m{os.getpid()}-{next(_NUMBERS)}"
        cursor.execute(
            'INSERT INTO "EmailAccount" VALUES (%s, %s, %s, now(), now())', (account, account, user)
        )


class Waits:
    """Who waited for us for more than the server's ``deadlock_timeout`` (100 ms), from the server's own log.

    The log says which process held the lock; who that was it says when the process ends.
    """

    def __init__(self, server: Server, target: Target) -> None:
        self.server = server
        self.by_us = self.deadlocks = 0
        with connected(target) as connection, connection.cursor() as cursor:
            cursor.execute("ALTER SYSTEM SET log_disconnections = on")
            cursor.execute("SELECT pg_reload_conf()")

    def __enter__(self) -> Waits:
        self._begin = self.server.log.stat().st_size
        return self

    def __exit__(self, *_exc: object) -> None:
        time.sleep(0.5)
        with self.server.log.open() as log:
            log.seek(self._begin)
            self.by_us, self.deadlocks = read_waits(log.readlines())


def read_waits(lines: t.Sequence[str]) -> tuple[int, int]:
    """Waits of others in which we held the lock, and deadlocks that we took part in."""
    said = [found for found in map(_PREFIX.search, lines) if found]
    ours = {found["pid"] for found in said if (found["application"] or "").startswith(_OURS)}
    waits = deadlocks = 0
    for found in said:
        holders = _HOLDERS.search(found["said"])
        if holders and found["pid"] not in ours:
            waits += bool(ours & set(holders["pids"].replace(" ", "").split(",")))
        blocked = _BLOCKED.search(found["said"])
        deadlocks += bool(blocked and ours & set(blocked.groups()))
    return waits, deadlocks
