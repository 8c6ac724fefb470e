# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases of the shapes that the presets know beside the runbook's, with people who keep no order."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._tenancy import identity
from integration.tenancy_world import Database

# Users point at a premium. Written from the facts of that model; only the columns that matter here.
EMAILAI = """
CREATE TYPE "PremiumTier" AS ENUM ('PRO_MONTHLY', 'BUSINESS_MONTHLY', 'LIFETIME');

CREATE TABLE "Premium" (
    id text NOT NULL,
    "createdAt" timestamp(3) without time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) without time zone NOT NULL,
    tier "PremiumTier",
    "emailAccountsAccess" integer,
    "pendingInvites" text[],
    CONSTRAINT "Premium_pkey" PRIMARY KEY (id)
);
CREATE TABLE "User" (
    id text NOT NULL,
    "createdAt" timestamp(3) without time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) without time zone NOT NULL,
    email text NOT NULL,
    name text,
    "premiumId" text,
    "premiumAdminId" text,
    CONSTRAINT "User_pkey" PRIMARY KEY (id)
);
CREATE UNIQUE INDEX "User_email_key" ON "User" (email);
CREATE TABLE "Account" (
    id text NOT NULL,
    "userId" text NOT NULL,
    provider text NOT NULL,
    CONSTRAINT "Account_pkey" PRIMARY KEY (id)
);
CREATE TABLE "EmailAccount" (
    email text NOT NULL,
    "createdAt" timestamp(3) without time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamp(3) without time zone NOT NULL,
    "userId" text NOT NULL,
    "accountId" text NOT NULL,
    id text NOT NULL,
    CONSTRAINT "EmailAccount_pkey" PRIMARY KEY (id)
);
CREATE UNIQUE INDEX "EmailAccount_email_key" ON "EmailAccount" (email);
CREATE UNIQUE INDEX "EmailAccount_accountId_key" ON "EmailAccount" ("accountId");
ALTER TABLE "User" ADD CONSTRAINT "User_premiumId_fkey" FOREIGN KEY ("premiumId")
    REFERENCES "Premium" (id) ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "User" ADD CONSTRAINT "User_premiumAdminId_fkey" FOREIGN KEY ("premiumAdminId")
    REFERENCES "Premium" (id) ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Account" ADD CONSTRAINT "Account_userId_fkey" FOREIGN KEY ("userId")
    REFERENCES "User" (id) ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "EmailAccount" ADD CONSTRAINT "EmailAccount_userId_fkey" FOREIGN KEY ("userId")
    REFERENCES "User" (id) ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "EmailAccount" ADD CONSTRAINT "EmailAccount_accountId_fkey" FOREIGN KEY ("accountId")
    REFERENCES "Account" (id) ON DELETE CASCADE ON UPDATE CASCADE;
"""

_PREMIUM = """
INSERT INTO "Premium" (id, "createdAt", "updatedAt", tier)
VALUES (%s, timestamp '2025-01-01', timestamp '2025-01-01', %s)
"""
_USER = """
INSERT INTO "User" (id, "createdAt", "updatedAt", email, name, "premiumId", "premiumAdminId")
VALUES (%s, timestamp '2025-01-01' + %s * interval '1 day', timestamp '2025-06-01', %s, %s, %s, %s)
"""
_BOX = """
WITH account AS (INSERT INTO "Account" VALUES (%(box)s, %(owner)s, 'google'))
INSERT INTO "EmailAccount" (id, email, "userId", "accountId", "updatedAt")
VALUES (%(box)s, %(email)s, %(owner)s, %(box)s, timestamp '2025-06-01')
"""

# Who has, and who manages, which premium: id, age in days after the first, name, has, manages.
PEOPLE: t.Final[list[tuple[str, int, t.Optional[str], t.Optional[str], t.Optional[str]]]] = [
    ("alone", 1, "Alone", "alone", None),  # the premium of an old user has the user's id
    ("payer", 2, None, "p-own", "p-own"),
    ("free", 3, "  ", None, None),
    ("boss", 9, "N" * 1000, "p-team", "p-team"),  # younger than the others, but the admin
    ("early", 4, "李小龍", "p-team", None),
    ("late", 5, "Ünï 100%", "p-team", None),
    ("pair-b", 7, 'O\'Neil & "Sons"', "p-pair", None),  # nobody is the admin: the oldest
    ("pair-a", 8, "", "p-pair", None),
    ("twin-b", 6, "Twin", "p-twins", "p-twins"),  # two admins of one age: the smaller id
    ("twin-a", 6, "Twin", "p-twins", "p-twins"),
    ("manager", 1, "Manager", "p-mine", "p-managed"),  # manages what he does not have
    ("guest-a", 10, "Guest", "p-managed", None),
    ("guest-b", 11, "Guest", "p-managed", None),
    ("keeper", 12, "Keeper", None, "p-kept"),  # an admin, and nobody has it
    ("{q}'\"%\\", 13, "Odd", "p-'\"%\\ {x}", None),
]
FORGOTTEN: t.Final = "p-forgotten"
SOLE: t.Final = {"alone": "alone", "payer": "p-own", "manager": "p-mine", "{q}'\"%\\": "p-'\"%\\ {x}"}
FIRST: t.Final = {"boss": "p-team", "pair-b": "p-pair", "twin-a": "p-twins", "guest-a": "p-managed"}
SHARED: t.Final = {"p-team": 3, "p-pair": 2, "p-twins": 2, "p-managed": 2}
OWNERLESS: t.Final = {"p-kept", FORGOTTEN}
BOXES: t.Final = {"alone": 3, "boss": 15, "early": 1, "guest-a": 2, "free": 1, "{q}'\"%\\": 1}


class Shop(Database):
    """A database of a preset, in which every call names it."""

    preset = "emailai"

    def call(self, module: str, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        return super().call(module, check, **{"preset": self.preset, **options})

    def links(self) -> dict[str, str]:
        """Which organization has which premium."""
        return dict(self.rows('SELECT id, "premiumId" FROM "Organization" WHERE "premiumId" IS NOT NULL'))

    def premium_of(self, user: str) -> t.Optional[str]:
        return t.cast(t.Optional[str], self.links().get(identity.organization_id(user)))

    def memberships(self) -> dict[str, tuple[str, str]]:
        """Where each user belongs, and as what."""
        found = self.rows('SELECT "userId", "organizationId", role::text FROM "OrganizationMember"')
        assert len({user for user, *_rest in found}) == len(found)
        return {user: (organization, role) for user, organization, role in found}


class MailShop(Shop):
    """The same people, where each mailbox is a member."""

    preset = "inbox_zero"

    def members(self) -> dict[str, tuple[str, str]]:
        """Where each mailbox belongs, and as what."""
        found = self.rows('SELECT "emailAccountId", "organizationId", role FROM "Member"')
        return {box: (organization, role) for box, organization, role in found}

    def home(self, box: str) -> t.Optional[str]:
        return self.members().get(box, (None,))[0]

    def sweep(self) -> dict[str, t.Any]:
        answer = self.call("org_migration", state="swept", grace_seconds=0)
        assert not answer["failed"], answer
        return answer


def build(database: Database) -> Database:
    database.rows(EMAILAI)
    for premium in sorted({one for person in PEOPLE for one in person[3:] if one} | OWNERLESS):
        database.rows(_PREMIUM, (premium, None if premium == "alone" else "PRO_MONTHLY"))
    for user, age, name, has, manages in PEOPLE:
        database.rows(_USER, (user, age, f"{user}@example.com", name, has, manages))
    for user, number in BOXES.items():
        for count in range(number):
            # The address of a box is another user's own.
            email = "late@example.com" if (user, count) == ("boss", 0) else f"box{count}.{user}@example.com"
            database.rows(_BOX, {"box": f"box-{user}-{count}", "owner": user, "email": email})
    database.rows("ANALYZE")
    return database


def crowd(database: Database, users: int, premiums: int) -> None:
    """Many more people; about one in four premiums is shared."""
    database.rows(
        """
        INSERT INTO "Premium" (id, "updatedAt") SELECT 'q' || n, timestamp '2025-06-01'
          FROM generate_series(1, %(premiums)s) n;
        INSERT INTO "User" (id, "createdAt", "updatedAt", email, name, "premiumId")
        SELECT 'c' || n, timestamp '2025-06-01' + n * interval '1 second', timestamp '2025-06-01',
               'c' || n || '@example.com', 'Crowd ' || n,
               CASE WHEN n <= 1.25 * %(premiums)s THEN 'q' || 1 + (n - 1) %% %(premiums)s END
          FROM generate_series(1, %(users)s) n;
        INSERT INTO "Account" SELECT 'x' || n, 'c' || n, 'google' FROM generate_series(1, %(users)s) n;
        INSERT INTO "EmailAccount" (id, email, "userId", "accountId", "updatedAt")
        SELECT 'x' || n, 'x' || n, 'c' || n, 'x' || n, timestamp '2025-06-01'
          FROM generate_series(1, %(users)s) n;
        ANALYZE
        """,
        {"users": users, "premiums": premiums},
    )
