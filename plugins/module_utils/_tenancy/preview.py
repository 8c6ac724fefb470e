# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the data migration would do, and the answer when there is nothing to do. Reads only."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._journal import tables
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import session
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    driver_error,
    run,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import (
    blockers,
    counts,
    move,
    premiums,
    report,
    sample,
    schema,
    unlink,
    worker,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.compare import (
    Comparison,
    map_differences,
)

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

# Shared premiums named in the table; the answer has more.
_SHOWN: t.Final = 100


def preview(job: worker.Job) -> dict[str, t.Any]:
    with session(job.target, "plan", autocommit=True) as connection:
        # The server itself refuses a write of ours.
        run(connection, compose("SET default_transaction_read_only = on"))
        if job.state == "unlinked":
            return _unlinking(connection, job)
        faults = map_differences(job.model, schema.read(connection, job.model))
        schema.refuse(Comparison(differences=faults), "plan with")
        found = counts.read(connection, job.model, job.settings.grace_seconds)
        shared = premiums.shared(connection, job.model) if job.model.sharing else []
        told = premiums.lines(job.model, shared, _SHOWN) if shared else []
        waiting_for = blockers.now(connection, job.model)
        read = sample.read(connection, job.model, found, job.settings.grace_seconds, job.settings.batch_rows)
        table, (low, high) = report.dry_run(found, job.settings.cost, told, blockers.lines(waiting_for), read)
        return {
            "changed": _would_change(connection, job, found),
            "finished": True,
            "progress": {},
            "counts": found.as_dict(),
            "plan": {
                "table": table,
                "counts": found.as_dict(),
                "seconds_from": round(low, 3),
                "seconds_to": round(high, 3),
                "blockers": waiting_for,
                **({"shared_premiums": shared} if job.model.sharing else {}),
            },
        }


def _would_change(connection: Connection, job: worker.Job, found: counts.Counts) -> bool:
    """The question the real run asks; a role that may not read our journal judges by the counts."""
    if not (schema.exists(connection, job.model) and tables.exist(connection)):
        return True
    if schema.compared(connection, job.model, with_indexes=job.state == "moved").steps:
        return True
    try:
        return not worker.is_done(connection, job)
    except driver_error():
        return bool(found.users.due or any(link.due for link in found.links.values()))


def _unlinking(connection: Connection, job: worker.Job) -> dict[str, t.Any]:
    done = unlink.is_unlinked(connection, job.model, job.settings.keep_organizations)
    return {"changed": not done, "finished": True, "progress": {}}


def settled(job: worker.Job) -> dict[str, t.Any]:
    """Nothing was to do: the same block, from the data as it is."""
    begun = time.monotonic()
    with session(job.target, "status", autocommit=True) as connection:
        if job.state == "unlinked":
            return {"changed": False, "finished": True, "progress": {}, "summary": "Nothing is linked by us."}
        found = counts.read(connection, job.model, job.settings.grace_seconds)
        verdicts = move.final_verdicts(connection, job.model, job.settings.grace_seconds)
    return {
        "changed": False,
        "finished": True,
        "progress": {},
        "counts": found.as_dict(),
        "summary": report.summary(found, verdicts, time.monotonic() - begun),
    }
