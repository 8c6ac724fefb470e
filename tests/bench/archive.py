# SPDX-License-Identifier: GPL-3.0-or-later
"""A mail service's database of a wanted size: prose, small rows, and the indexes that go with them."""

from __future__ import annotations

import hashlib
import itertools
import random
import typing as t

import psycopg2

from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target

# Rows for each megabyte of the finished database, indexes included: half of it is the
# largest table, so that no grouping can make two equal streams out of all.
_TABLES: t.Final = {
    "EmailMessage": (
        "id text, account text, thread text, sender text, subject text, at timestamptz, body text",
        600,
    ),
    "ExecutedRule": ("id text, account text, message text, rule int, reason text, at timestamptz", 800),
    "Action": ("id text, message text, kind int, done boolean, score double precision, at timestamptz", 1070),
}
_KEYS: t.Final = (
    'ALTER TABLE "{}" ADD PRIMARY KEY (id)',
    'CREATE INDEX ON "{}" (account, at)',
)
_SEED: t.Final = 20261123
# Four times the window of the better compressor: what comes again helps neither.
_PROSE_BYTES: t.Final = 8_000_000


class Rows:
    """Text that COPY reads; made as it is read, so that its size is no matter."""

    def __init__(self, lines: t.Iterator[str]) -> None:
        self._lines = lines

    def read(self, _size: int = -1) -> str:
        return "".join(itertools.islice(self._lines, 200))


def fill(target: Target, mebibytes: int) -> None:
    """The same rows for the same size, always."""
    connection = psycopg2.connect(**target.dsn())
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            prose = _prose(random.Random(_SEED), _PROSE_BYTES)
            for name, (columns, rows) in _TABLES.items():
                cursor.execute(f'CREATE TABLE "{name}" ({columns})')
                lines = _lines(name, rows * mebibytes, prose)
                cursor.copy_expert(f'COPY "{name}" FROM STDIN', Rows(lines))
                cursor.execute(_KEYS[0].format(name))
            for name in ("EmailMessage", "ExecutedRule"):
                cursor.execute(_KEYS[1].format(name))
            cursor.execute('CREATE INDEX ON "Action" (message)')
            cursor.execute("VACUUM (ANALYZE)")
            cursor.execute("CHECKPOINT")
    finally:
        connection.close()


def _prose(dice: random.Random, size: int) -> str:
    """Words as people use them: few of them often, most of them seldom."""
    syllables = [a + b for a in "bcdfghklmnprstvw" for b in ("a", "e", "i", "o", "u", "an", "er", "is")]
    words = ["".join(dice.choices(syllables, k=dice.randint(1, 4))) for _number in range(20_000)]
    weights = [1 / (rank + 3) for rank in range(len(words))]
    chosen = dice.choices(words, weights, k=size // 5)
    return " ".join(chosen)


def _lines(table: str, rows: int, prose: str) -> t.Iterator[str]:
    dice = random.Random(f"{_SEED} {table}")
    position = 0
    for number in range(rows):
        at = f"2026-{1 + number * 11 // rows:02}-{1 + number % 28:02} {number % 24:02}:{number % 60:02}:07+00"
        account, message = _id("a", dice.randrange(1 + rows // 300)), _id("m", number)
        length = int(dice.expovariate(1 / 700)) % 1600
        if position + 1700 > len(prose):
            position = dice.randrange(1000)
        text = prose[position : position + length]
        if table == "EmailMessage":
            position += length + 40
            sender, subject = f"{account[-6:]}@example.com", prose[position - 40 : position]
            fields = [message, account, _id("t", number // 3), sender, subject, at, text]
        elif table == "ExecutedRule":
            position += length // 7
            fields = [_id("r", number), account, message, str(number % 40), text[: length // 7], at]
        else:
            fields = [_id("x", number), message, str(number % 9), "tf"[number % 2], f"{dice.random()}", at]
        yield "\t".join(fields) + "\n"


def _id(kind: str, number: int) -> str:
    """As long and as random as the application's own keys."""
    return "c" + hashlib.md5(f"{kind}{number}".encode(), usedforsecurity=False).hexdigest()[:24]
