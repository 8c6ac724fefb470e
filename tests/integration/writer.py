# SPDX-License-Identifier: GPL-3.0-or-later
"""A session of the release before that writes without a pause, and notes what it could not do."""

from __future__ import annotations

import abc
import random
import threading
import typing as t

import psycopg2

from integration.tenancy_world import Database

Act = t.Callable[[t.Any], None]


class Writer(abc.ABC):
    """It knows nothing of organizations, and must never fail because of us."""

    # What another writer deleted meanwhile is no fault of the migration: the application's own keys.
    own_keys: t.ClassVar[tuple[str, ...]] = ()

    def __init__(self, database: Database, seed: int, application: str = "old app") -> None:
        self.database, self.seed, self.application = database, seed, application
        self.random = random.Random(seed)
        self.number, self.done = 0, 0
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    @abc.abstractmethod
    def acts(self) -> list[Act]:
        """What it does, one after the other as the dice fall; each is a transaction."""

    def __enter__(self) -> t.Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join(20)

    def _work(self) -> None:
        connection = self.database.connect(self.application)
        connection.autocommit = False
        acts = self.acts()
        while not self._stop.is_set():
            act = self.random.choice(acts)
            try:
                with connection.cursor() as cursor:
                    act(cursor)
                connection.commit()
                self.done += 1
            except psycopg2.Error as exc:
                connection.rollback()
                if exc.diag.constraint_name not in self.own_keys:
                    self.errors.append(f"{act.__name__}: {exc}")
        connection.close()
