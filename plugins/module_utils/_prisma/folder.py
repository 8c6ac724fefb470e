# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A migrations folder as Prisma keeps it: which migrations there are, and what they say."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._prisma.statements import (
    Made,
    made_by,
    split,
)


@dataclass(frozen=True)
class Migration:
    name: str
    statements: tuple[str, ...]

    @property
    def made(self) -> list[Made]:
        """What it makes, as far as its text tells."""
        return [made for one in self.statements for made in made_by(one) or ()]

    @property
    def others(self) -> list[str]:
        """Statements that do something other than make an object."""
        return [one for one in self.statements if made_by(one) is None]


def read(folder: Path) -> list[Migration]:
    """In the order in which Prisma applies them."""
    if not folder.is_dir():
        raise MigrationError(
            "read", str(folder), "there is no such folder", "Name the one that holds Prisma's migrations"
        )
    files = sorted(folder.glob("*/migration.sql"))
    if not files:
        raise MigrationError(
            "read", str(folder), "it holds no migration", "Name the one with migration_lock.toml"
        )
    return [Migration(file.parent.name, tuple(split(_text(file)))) for file in files]


def chosen(migrations: t.Sequence[Migration], names: t.Sequence[str], folder: Path) -> list[Migration]:
    """The named ones; a name that is not there is a mistake."""
    known = {one.name for one in migrations}
    missing = [name for name in names if name not in known]
    if missing:
        raise MigrationError("find", f"migration {', '.join(missing)}", f"{folder} does not hold it")
    return [one for one in migrations if one.name in names]


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise MigrationError("read", str(file), str(exc)) from exc
