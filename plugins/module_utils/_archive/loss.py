# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a swap costs: the writes since the backup, and how long the live name cannot be reached."""

from __future__ import annotations

import contextlib
import datetime
import time
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._archive import (
    catalog,
    content,
    databases,
    digests,
    preflight,
    stream,
)
from ansible_collections.emailai.migration.plugins.module_utils._archive.watch import Progress
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres import connection as postgres

Loss = t.Dict[str, t.Any]
Manifest = t.Mapping[str, t.Any]

# What a swap takes beside its statements, on a disk that is busy: two commits that wait for it.
_USUAL_OUTAGE_SECONDS: t.Final = 0.2
_STATEMENTS: t.Final = 6


def count(
    target: postgres.Target,
    manifest: Manifest,
    purpose: str,
    jobs: int,
    progress: Progress | None = None,
    crew: stream.Crew | None = None,
) -> Loss:
    """What the live database holds that the backup does not; an estimate, for it is still written to.

    It is being replaced because it cannot be trusted: a table that cannot be read is named and stands
    in nobody's way, and a database that cannot be read at all is lost uncounted.
    """
    progress, crew = progress or Progress(), crew or stream.Crew()
    progress.begin("count what is lost", 0, tables=len(manifest["content"]["tables"]))
    readers = _Patient(target, purpose, progress, crew)
    try:
        with postgres.session(target, purpose) as connection:
            names = list(catalog.table_sizes(connection))
    except MigrationError:
        crew.ensure_wanted()
        return {}
    found, unreadable = readers.read(names, jobs)
    before = {name: was for name, was in manifest["content"]["tables"].items() if name not in unreadable}
    changed = content.changed_tables({"tables": before}, {"tables": found})
    return {
        "since": manifest["created_at"],
        "tables": changed,
        "unreadable": unreadable,
        "rows_added": sum(max(0, c["rows_now"] - c["rows_then"]) for c in changed.values()),
        "rows_removed": sum(max(0, c["rows_then"] - c["rows_now"]) for c in changed.values()),
    }


class _Patient(t.NamedTuple):
    """Reads all tables at once, and one by one if one of them cannot be read."""

    target: postgres.Target
    purpose: str
    progress: Progress
    crew: stream.Crew

    def read(self, names: t.Sequence[str], jobs: int) -> tuple[dict[str, t.Any], list[str]]:
        with contextlib.suppress(MigrationError):
            return self._digest(names, jobs), []
        found: dict[str, t.Any] = {}
        unreadable = []
        for name in names:
            self.crew.ensure_wanted()
            try:
                found.update(self._digest([name], 1))
            except MigrationError:
                unreadable.append(name)
        self.crew.ensure_wanted()
        return found, sorted(unreadable)

    def _digest(self, names: t.Sequence[str], jobs: int) -> dict[str, dict[str, t.Any]]:
        readers = digests.Readers(
            self.target, self.purpose, on_table=self.progress.add_table, sessions=self.crew.sessions
        )
        return readers.read(names, jobs)


def predict(server: t.Any, live: str, manifest: Manifest, proofs: t.Sequence[Manifest]) -> dict[str, t.Any]:
    """How long restore and swap will take; from the last proof, or else from the size."""
    began = time.monotonic()
    sessions = int(
        catalog.rows(server, "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", (live,))[0][0]
    )
    statement = time.monotonic() - began
    passed = [proof for proof in proofs if proof.get("passed")]
    usual = manifest["database_bytes"] / preflight.USUAL_BYTES_PER_SECOND
    seconds = sum(passed[-1]["seconds"].values()) if passed else usual
    return {
        "minutes": round(seconds / 60, 2),
        "predicted_from": "proof" if passed else "size",
        "sessions": sessions,
        "outage_seconds": round(_USUAL_OUTAGE_SECONDS + (_STATEMENTS + sessions) * statement, 2),
    }


def before_swap(live: str, manifest: Manifest, lost: Loss, prediction: t.Mapping[str, t.Any]) -> str:
    """What check mode says. Pure, but for the clock."""
    source = {"proof": "as its proof took", "size": "by its size"}[prediction["predicted_from"]]
    return (
        f"{_writes(manifest['created_at'], lost, 'would be')} The backup would be restored in about"
        f" {prediction['minutes']} min, {source}, while {live} goes on. Then its {prediction['sessions']}"
        f" sessions would be ended, and it could not be reached for about {prediction['outage_seconds']} s;"
        f" where they do not end within {databases.PATIENCE_SECONDS} s, nothing is swapped."
    )


def after_swap(result: Loss) -> str:
    """What has happened. Pure, but for the clock."""
    name, outage = result["database"], result["outage_seconds"]
    return (
        f"{_writes(result['snapshot_at'], result['lost'], 'are')} {name} could not be reached for {outage} s."
        f" The old database is kept as {result['before']}."
    )


def _writes(since: str, lost: Loss, verb: str) -> str:
    sentence = f"Writes since {since}, {age(since)}, {verb} lost"
    if not lost:
        return f"{sentence}; they could not be counted."
    names = ", ".join(sorted(lost["tables"])) or "none"
    sentence += f": {lost['rows_added']} rows added, {lost['rows_removed']} rows removed;"
    sentence += f" tables that had changed: {names}."
    if lost["unreadable"]:
        sentence += f" Tables that cannot be read, and are not counted: {', '.join(lost['unreadable'])}."
    return sentence


def age(since: str, now: datetime.datetime | None = None) -> str:
    """How long ago that was, as a person says it. Pure, but for the clock."""
    moment = datetime.datetime.fromisoformat(since)
    seconds = max(0, int(((now or datetime.datetime.now(datetime.timezone.utc)) - moment).total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days} d {hours % 24} h ago"
    if hours:
        return f"{hours} h {minutes % 60} min ago"
    return f"{minutes} min {seconds % 60} s ago"
