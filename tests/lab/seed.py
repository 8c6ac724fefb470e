# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows a lab begins with: exact in number, the same at every run. Touches no server."""

from __future__ import annotations

import random
import typing as t
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

USERS, ACCOUNTS, PREMIUMS = 1250, 3420, 450
STAGING_SCALE = 50

# Users 30 to 49 are nobody's: the load leaves them alone, so that a test user may be one of them.
# User 44 has a subscription with five seats, accounts and enabled rules in every profile.
RESERVED = range(30, 50)
TEST_USER = "user00044@example.com"

_BIRTH = datetime(2024, 1, 8, 9, 0, tzinfo=timezone.utc)
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_TIERS = ("BASIC_MONTHLY", "PRO_MONTHLY", "BUSINESS_MONTHLY", "LIFETIME")
_FIRST = ("Ada", "Bela", "Chloe", "Dmitri", "Edsger", "Fatima", "Grace", "Hedy", "Ines", "Jun")
_LAST = ("Adler", "Brooks", "Codd", "Diaz", "Euler", "Floyd", "Goldberg", "Hopper", "Iverson", "Jones")

# Names people or attackers have typed into a form; each has broken somebody's slug or SQL once.
NASTY_NAMES: tuple[t.Optional[str], ...] = (
    None,
    "",
    "   ",
    "\t\n",
    "x" * 1500,
    "Ünïcödé Müller-Straße",
    "山田 太郎",
    "محمد علي",
    "👩‍🚀 Astro 🚀",
    "Zoe\u0301 (combining)",
    "\u202eright to left",
    "zero\u200bwidth",
    "Robert'); DROP TABLE users;--",
    'quote " and \\ backslash',
    "%s %d %(name)s {0} {{ lookup('env', 'HOME') }} ${HOME}",
    "<script>alert(1)</script>",
    "admin",
    "api",
    "-----",
    "\\N",
    "line\nbreak,comma;semi",
)

Row = tuple[t.Any, ...]


@dataclass
class Seed:
    """Rows by table, columns in the order of ``COLUMNS``."""

    users: list[Row] = field(default_factory=list)
    accounts: list[Row] = field(default_factory=list)
    premiums: list[Row] = field(default_factory=list)
    sessions: list[Row] = field(default_factory=list)
    rules: list[Row] = field(default_factory=list)

    def tables(self) -> dict[str, list[Row]]:
        return {
            "users": self.users,
            "EmailAccount": self.accounts,
            "Premium": self.premiums,
            "Session": self.sessions,
            "Rule": self.rules,
        }


COLUMNS = {
    "users": ("id", "email", "name", "createdAt", "updatedAt"),
    "EmailAccount": ("id", "email", "userId", "createdAt", "updatedAt"),
    "Premium": ("id", "userId", "tier", "usedSeats", "maxSeats", "createdAt", "updatedAt"),
    "Session": ("id", "sessionToken", "userId", "expires", "createdAt", "updatedAt"),
    "Rule": ("id", "name", "instructions", "enabled", "emailAccountId", "createdAt", "updatedAt"),
}


def make(
    profile: str = "clean", users: int = USERS, accounts: int = ACCOUNTS, premiums: int = PREMIUMS
) -> Seed:
    """All rows of a profile. ``clean`` passes every check; ``nasty`` has what real data has."""
    dice = random.Random(f"emailai {profile} {users}")
    return _Maker(dice, profile == "nasty").make(users, accounts, premiums)


def make_staging() -> Seed:
    """The small, older copy that staging has before a backup is restored there."""
    return make("clean", USERS // STAGING_SCALE, ACCOUNTS // STAGING_SCALE, PREMIUMS // STAGING_SCALE)


class _Maker:
    def __init__(self, dice: random.Random, is_nasty: bool) -> None:
        self.dice = dice
        self.is_nasty = is_nasty
        self.seed = Seed()

    def make(self, users: int, accounts: int, premiums: int) -> Seed:
        for number in range(users):
            self._add_user(number)
        for number, owner in enumerate(self._owners(accounts)):
            self._add_account(number, owner)
        for number in range(premiums):
            self._add_premium(number, premiums)
        return self.seed

    def _id(self) -> str:
        return "c" + "".join(self.dice.choices(_DIGITS, k=24))

    def _times(self, number: int) -> tuple[datetime, datetime]:
        born = _BIRTH + timedelta(minutes=37 * number, milliseconds=number % 1000)
        naive = born.replace(tzinfo=None)
        return naive, naive + timedelta(days=number % 90, seconds=11)

    def _name(self, number: int) -> t.Optional[str]:
        if self.is_nasty and number % 5 == 0:
            return NASTY_NAMES[number // 5 % len(NASTY_NAMES)]
        return f"{_FIRST[number % 10]} {_LAST[number // 10 % 10]}"

    def _add_user(self, number: int) -> None:
        key, born = self._id(), self._times(number)
        self.seed.users.append((key, f"user{number:05}@example.com", self._name(number), *born))
        expires = born[1] + timedelta(days=365 * 5)
        self.seed.sessions.append((self._id(), f"seed-{number:05}-{self._id()}", key, expires, *born))

    def _owners(self, accounts: int) -> t.Iterator[str]:
        """The owner of each account: even in a clean lab, from none to fifteen in a nasty one."""
        users = [row[0] for row in self.seed.users]
        if not self.is_nasty:
            yield from (users[number % len(users)] for number in range(accounts))
            return
        left = accounts
        counts = dict.fromkeys(users, 0)
        rich, plain = users[::40], [key for number, key in enumerate(users) if number % 40 and number % 7]
        for key in rich:
            counts[key] = 15
            left -= 15
        for number in range(left):
            counts[plain[number % len(plain)]] += 1
        for key in users:
            yield from [key] * counts[key]

    def _add_account(self, number: int, owner: str) -> None:
        key, born = self._id(), self._times(number)
        self.seed.accounts.append((key, f"box{number:05}@mail.example.com", owner, *born))
        if number % 2 == 0:
            text = "Label as newsletter when the subject contains 'digest'"
            self.seed.rules.append((self._id(), "Newsletters", text, number % 10 != 8, key, *born))

    def _add_premium(self, number: int, premiums: int) -> None:
        users = [row[0] for row in self.seed.users]
        stride = max(1, len(users) // premiums)
        owner: t.Optional[str] = users[number * stride]
        seats: tuple[t.Optional[int], t.Optional[int]] = (1, (None, 5, 10)[number % 3])
        if self.is_nasty:
            owner, seats = self._nasty_premium(number, users, seats)
        key, tier = self._id(), _TIERS[number % 4]
        self.seed.premiums.append((key, owner, tier, *seats, *self._times(number)))

    @staticmethod
    def _nasty_premium(
        number: int, users: list[str], seats: tuple[t.Optional[int], t.Optional[int]]
    ) -> tuple[t.Optional[str], tuple[t.Optional[int], t.Optional[int]]]:
        """Nobody's premiums, a second and third one for the same user, and seats that lie."""
        owner: t.Optional[str] = users[number * 2 % len(users)]
        if number % 15 == 0:
            owner = None
        elif number % 15 in (1, 2):
            owner = users[number // 15]
        wrong: dict[int, tuple[t.Optional[int], t.Optional[int]]] = {
            3: (None, None),
            4: (0, 5),
            5: (7, 5),
            6: (-1, 0),
        }
        return owner, wrong.get(number % 15, seats)
