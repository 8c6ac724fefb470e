# SPDX-License-Identifier: GPL-3.0-or-later
"""The release before, on the schemas of the other presets."""

from __future__ import annotations

import typing as t

from integration.writer import Act, Writer


class OldApplication(Writer):
    """Signs up, buys, joins, leaves and deletes, where users point at a premium."""

    own_keys = ("User_premiumId_fkey", "Account_userId_fkey", "EmailAccount_userId_fkey")

    def acts(self) -> list[Act]:
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

    def acts(self) -> list[Act]:
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
