# SPDX-License-Identifier: GPL-3.0-or-later
"""The release before, as a session of its own that writes without a pause."""

from __future__ import annotations

import random
import threading
import typing as t

import psycopg2

from integration.tenancy_world import Database

# What another writer deleted meanwhile is no fault of the migration.
ITS_OWN_KEYS: t.Final = ("User_premiumId_fkey", "Account_userId_fkey", "EmailAccount_userId_fkey")


class OldApplication:
    """Signs up, buys, joins, leaves and deletes as the release before does, and never fails because of us."""

    def __init__(self, database: Database, seed: int) -> None:
        self.database, self.seed, self.number = database, seed, 0
        self.random = random.Random(seed)
        self.errors: list[str] = []
        self.done = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> OldApplication:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join(20)

    def _work(self) -> None:
        connection = self.database.connect()
        connection.autocommit = False
        acts = self._acts()
        while not self._stop.is_set():
            act = self.random.choice(acts)
            try:
                with connection.cursor() as cursor:
                    act(cursor)
                connection.commit()
                self.done += 1
            except psycopg2.Error as exc:
                connection.rollback()
                constraint = str(exc.diag.constraint_name)
                # Its own keys: another writer deleted the row it meant.
                if constraint not in ITS_OWN_KEYS:
                    self.errors.append(f"{act.__name__}: {exc}")
        connection.close()

    def _acts(self) -> list[t.Callable[[t.Any], None]]:
        return [self._sign_up, self._buy, self._join, self._leave, self._delete, self._end]

    def _new(self) -> str:
        self.number += 1
        return f"n{self.seed}-{self.number}"

    def _any(self, cursor: t.Any, table: str, most: int) -> str:
        cursor.execute(f'SELECT id FROM "{table}" OFFSET %s LIMIT 1', (self.random.randrange(most),))
        found = cursor.fetchone()
        return str(found[0]) if found else ""

    def _sign_up(self, cursor: t.Any) -> None:
        user = self._new()
        cursor.execute('INSERT INTO "User" (id, email, "updatedAt") VALUES (%s, %s, now())', (user, user))
        self._connect(cursor, user, user)
        if self.random.random() < 0.5:
            self._give(cursor, user, self._bought(cursor))

    def _connect(self, cursor: t.Any, user: str, box: str) -> None:
        cursor.execute("INSERT INTO \"Account\" VALUES (%s, %s, 'google')", (box, user))
        cursor.execute(
            'INSERT INTO "EmailAccount" (id, email, "userId", "accountId", "updatedAt")'
            " VALUES (%s, %s, %s, %s, now())",
            (box, box, user, box),
        )

    def _bought(self, cursor: t.Any) -> str:
        premium = self._new()
        cursor.execute('INSERT INTO "Premium" (id, "updatedAt") VALUES (%s, now())', (premium,))
        return premium

    def _give(self, cursor: t.Any, user: str, premium: t.Optional[str]) -> None:
        cursor.execute('UPDATE "User" SET "premiumId" = %s WHERE id = %s', (premium, user))

    def _buy(self, cursor: t.Any) -> None:
        self._give(cursor, self._any(cursor, "User", 40), self._bought(cursor))

    def _join(self, cursor: t.Any) -> None:
        self._give(cursor, self._any(cursor, "User", 40), self._any(cursor, "Premium", 20) or None)

    def _leave(self, cursor: t.Any) -> None:
        self._give(cursor, self._any(cursor, "User", 40), None)

    def _delete(self, cursor: t.Any) -> None:
        cursor.execute('DELETE FROM "User" WHERE id = %s', (self._any(cursor, "User", 700),))

    def _end(self, cursor: t.Any) -> None:
        cursor.execute('DELETE FROM "Premium" WHERE id = %s', (self._any(cursor, "Premium", 300),))


class MailApplication(OldApplication):
    """The same where mailboxes come, go and change hands more often than premiums."""

    def _acts(self) -> list[t.Callable[[t.Any], None]]:
        return [
            self._sign_up,
            self._add,
            self._add,
            self._hand_over,
            self._hand_over,
            self._drop,
            self._delete,
        ]

    def _add(self, cursor: t.Any) -> None:
        user = self._any(cursor, "User", 40)
        if user:
            self._connect(cursor, user, self._new())

    def _hand_over(self, cursor: t.Any) -> None:
        box, user = self._any(cursor, "EmailAccount", 300), self._any(cursor, "User", 300)
        if user:
            cursor.execute('UPDATE "EmailAccount" SET "userId" = %s WHERE id = %s', (user, box))

    def _drop(self, cursor: t.Any) -> None:
        cursor.execute('DELETE FROM "Account" WHERE id = %s', (self._any(cursor, "Account", 300),))
