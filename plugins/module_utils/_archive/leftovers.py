# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What dead runs left in a store. Pure: it decides, others delete."""

from __future__ import annotations

import datetime
import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._archive import names

if t.TYPE_CHECKING:
    from ansible_collections.emailai.migration.plugins.module_utils._archive.stored import Entry, Pending

STALE_AFTER: t.Final = datetime.timedelta(hours=24)


@dataclass(frozen=True)
class Leftovers:
    pending: list[Pending]
    keys: list[str]


def find(
    entries: t.Sequence[Entry],
    pending: t.Sequence[Pending],
    prefix: str,
    dead: t.Collection[str],
    now: datetime.datetime,
) -> Leftovers:
    """Objects and uploads of backups that never got their manifest.

    A backup that is known to be dead goes at once. Others without a manifest may
    be somebody's work at this moment, and go only when nothing of theirs has
    moved for a day. What does not bear our names is never touched.
    """

    def identifier(key: str) -> str:
        return key[len(prefix) :].partition("/")[0]

    def is_dead(name: str, moved: datetime.datetime) -> bool:
        return name in dead or now - moved > STALE_AFTER

    complete = {identifier(entry.key) for entry in entries if entry.key.endswith(f"/{names.MANIFEST}")}
    moved: dict[str, datetime.datetime] = {}
    for entry in entries:
        name = identifier(entry.key)
        moved[name] = max(moved.get(name, entry.modified), entry.modified)
    keys = [
        entry.key
        for entry in entries
        if names.is_ours(entry.key[len(prefix) :])
        and identifier(entry.key) not in complete
        and is_dead(identifier(entry.key), moved[identifier(entry.key)])
    ]
    stale = [
        upload
        for upload in pending
        if names.is_ours(upload.key[len(prefix) :]) and is_dead(identifier(upload.key), upload.started)
    ]
    return Leftovers(stale, keys)
