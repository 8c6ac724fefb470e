# SPDX-License-Identifier: GPL-3.0-or-later
"""What an earlier attempt left is removed only if it is dead and ours."""

from __future__ import annotations

import datetime

from ansible_collections.emailai.migration.plugins.module_utils._archive import leftovers
from ansible_collections.emailai.migration.plugins.module_utils._archive.stored import Entry, Pending

NOW = datetime.datetime(2026, 11, 23, tzinfo=datetime.timezone.utc)
OLD = NOW - datetime.timedelta(days=2)
NEW = NOW - datetime.timedelta(minutes=5)


def entry(key: str, moved: datetime.datetime) -> Entry:
    return Entry(f"m/{key}", 1, moved)


ENTRIES = [
    entry("done/manifest.json", OLD),
    entry("done/schema.dump.zst", OLD),
    entry("old/schema.dump.zst", OLD),
    entry("alive/schema.dump.zst", OLD),
    entry("alive/data-rest.dump.zst", NEW),
    entry("dead/schema.dump.zst", NEW),
    entry("somebody/else.sql.gz", OLD),
    entry("emailai_prod_backup_20250101.sql.gz", OLD),
]
PENDING = [
    Pending("m/old/data-rest.dump.zst", "1", OLD),
    Pending("m/alive/data-1.dump.zst", "2", NEW),
    Pending("m/dead/data-rest.dump.zst", "3", NEW),
    Pending("m/somebody/else.sql.gz", "4", OLD),
]


def test_only_what_is_dead_and_ours_goes() -> None:
    found = leftovers.find(ENTRIES, PENDING, "m/", {"dead", "done"}, NOW)
    assert found.keys == ["m/old/schema.dump.zst", "m/dead/schema.dump.zst"]
    assert [pending.token for pending in found.pending] == ["1", "3"]
