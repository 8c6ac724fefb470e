# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups may go. Pure: it decides, others delete."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass


@dataclass(frozen=True)
class Kept:
    """A backup as retention sees it. ``created_at`` is the manifest's own time, sortable as text."""

    id: str
    created_at: str
    is_proven: bool


@dataclass(frozen=True)
class Decision:
    remove: tuple[str, ...]
    reason: str


def decide(backups: t.Iterable[Kept], keep_proven: int, own: str) -> Decision:
    """Keep the newest ``keep_proven`` proven backups and everything younger than the oldest of them.

    Names are never sorted: a name can be chosen, the time of the snapshot
    cannot. Bad backups do not count, so a week of them cannot push out the last
    good one; and a run whose own backup is not proven removes nothing at all.
    """
    newest_first = sorted(backups, key=lambda backup: backup.created_at, reverse=True)
    proven = [backup for backup in newest_first if backup.is_proven]
    if own not in {backup.id for backup in proven}:
        return Decision((), f"backup {own or 'of this run'} is not proven, so nothing is removed")
    if len(proven) <= keep_proven:
        return Decision((), f"{len(proven)} proven backups, {keep_proven} are kept")
    oldest_kept = proven[keep_proven - 1].created_at
    remove = tuple(b.id for b in newest_first if b.created_at < oldest_kept and b.id != own)
    return Decision(remove, f"{len(proven)} proven backups, {keep_proven} are kept, {len(remove)} removed")
