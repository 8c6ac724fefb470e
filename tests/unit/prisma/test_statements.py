# SPDX-License-Identifier: GPL-3.0-or-later
"""What a migration's text tells: its statements, what each makes, and what nobody can tell."""

from __future__ import annotations

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._prisma.statements import (
    Made,
    made_by,
    split,
)


def test_statements_end_at_their_own_semicolon_only() -> None:
    text = """-- one; two
    CREATE TABLE "a;b" (x text DEFAULT 'it''s; so'); /* ; */
    CREATE FUNCTION f() RETURNS int AS $body$ BEGIN; RETURN 1; END $body$ LANGUAGE plpgsql;
    SELECT 1"""
    assert split(text) == [
        "CREATE TABLE \"a;b\" (x text DEFAULT 'it''s; so')",
        "CREATE FUNCTION f() RETURNS int AS $body$ BEGIN; RETURN 1; END $body$ LANGUAGE plpgsql",
        "SELECT 1",
    ]
    assert split("-- nothing\n") == []


@pytest.mark.parametrize(
    ("statement", "made"),
    [
        ("CREATE TYPE \"R\" AS ENUM ('A')", [Made("type R", "", "R")]),
        ('CREATE TABLE "public"."T" ("id" TEXT NOT NULL)', [Made("table T", "", "T")]),
        ("CREATE TABLE Users (id text)", [Made("table users", "", "users")]),
        ('CREATE UNIQUE INDEX "T_a_key" ON "T"("a")', [Made("index T_a_key", "T", "T_a_key")]),
        (
            'CREATE INDEX CONCURRENTLY IF NOT EXISTS "i" ON "T" USING gin ("a")',
            [Made("index i", "T", "i")],
        ),
        (
            'ALTER TABLE "T" ADD COLUMN "a" DECIMAL(10,2) DEFAULT 1, ADD COLUMN "b" TEXT',
            [Made("column T.a", "T", "a"), Made("column T.b", "T", "b")],
        ),
        (
            'ALTER TABLE "T" ADD CONSTRAINT "k" FOREIGN KEY ("a","b") REFERENCES "U"("a","b")'
            " ON DELETE SET NULL ON UPDATE CASCADE",
            [Made("key k", "T", "k", "SET NULL")],
        ),
        (
            'ALTER TABLE "T" ADD CONSTRAINT "k" FOREIGN KEY ("a") REFERENCES "U"("a")',
            [Made("key k", "T", "k", "NO ACTION")],
        ),
    ],
)
def test_what_a_statement_makes(statement: str, made: list[Made]) -> None:
    assert made_by(statement) == made


@pytest.mark.parametrize(
    "statement",
    [
        'UPDATE "T" SET a = 1',
        'ALTER TABLE "T" DROP COLUMN "a"',
        'ALTER TABLE "T" ADD COLUMN "a" TEXT, ALTER COLUMN "b" SET NOT NULL',
        'ALTER TABLE "T" ADD CONSTRAINT "c" CHECK (a > 0)',
        "DROP INDEX i",
        'CREATE TABLE "T" AS SELECT 1',
    ],
)
def test_what_nobody_can_tell(statement: str) -> None:
    assert made_by(statement) is None
