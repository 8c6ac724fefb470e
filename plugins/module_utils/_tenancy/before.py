# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was wrong before the run: later it is a finding, not a failure of ours."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._postgres import catalog
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    join,
    row,
    rows,
    run,
    value,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import checks

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Model

Known = t.Dict[str, t.List[str]]

# More than this is not a list of exceptions but another problem.
MOST: t.Final = 10_000


def read(connection: Connection, model: Model) -> Known:
    """From data and catalog as they are now. Reads only."""
    orphans = rows(
        connection,
        compose(
            "SELECT id FROM ({parts}) o ORDER BY id LIMIT {most}",
            parts=join(checks.orphan_parts(model), " UNION ALL "),
            most=value(MOST),
        ),
    )
    tables = catalog.read_tables(connection, model.schema, list(model.tables))
    return {
        "orphans": [key for (key,) in orphans],
        "invalid_indexes": sorted(
            i.name for table in tables.values() for i in table.indexes if not i.is_valid
        ),
        "invalid_keys": sorted(
            f"{n} {k.name}" for n, table in tables.items() for k in table.keys if not k.is_valid
        ),
    }


def record(connection: Connection, model: Model, run_id: str) -> None:
    """Once a run, before its first change; commits."""
    run(
        connection,
        compose(
            "INSERT INTO emailai_migration.baseline (run_id, name, figures) VALUES ({run}, 'known',"
            " {figures})"
            " ON CONFLICT DO NOTHING",
            run=value(run_id),
            figures=value(json.dumps(read(connection, model))),
        ),
    )
    connection.commit()


def recorded(connection: Connection) -> Known:
    """The list of the first run of this database that has one. Reads only."""
    if row(connection, compose("SELECT to_regclass('emailai_migration.baseline') IS NULL"))[0]:
        return {}
    found = rows(
        connection,
        compose(
            "SELECT figures FROM emailai_migration.baseline WHERE database = emailai_migration.here()"
            " AND name = 'known' ORDER BY taken_at LIMIT 1"
        ),
    )
    return dict(found[0][0]) if found else {}
