# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes what is missing of the organization model, and takes back exactly what it made."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import tables as journal
from ansible_collections.emailai.migration.plugins.module_utils._postgres import catalog, ddl
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    cause_of,
    compose,
    driver_error,
    join,
    raw,
    row,
    rows,
    value,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import (
    before,
    mailboxes,
    rights,
    stage,
    wanted,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.compare import (
    Comparison,
    Found,
    Grant,
    Step,
    compare,
    compare_grants,
    map_differences,
)

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.sql import Composable

    from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target
    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Model


@dataclass
class Outcome:
    changed: bool
    objects: list[dict[str, str]]
    warnings: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Builder:
    connection: Connection
    target: Target
    model: Model
    run_id: str
    patience: ddl.Patience


def read(connection: Connection, model: Model) -> Found:
    names = list(model.tables)
    found = catalog.read_tables(connection, model.schema, names)
    kind, labels = catalog.read_labels(connection, model.schema, model.roles.type)
    new = [model.organizations.table, model.members.table]
    return Found(
        tables=found,
        enum_kind=kind,
        enum_labels=labels,
        empty=frozenset(name for name in new if name in found and _is_empty(connection, model, name)),
        privileges={
            name: frozenset(catalog.read_privileges(connection, model.schema, name))
            for name in [*new, model.accounts.table]
        },
    )


def exists(connection: Connection, model: Model) -> bool:
    """Whether there are tables for organizations and members at all."""
    names = [model.organizations.table, model.members.table]
    return len(catalog.read_tables(connection, model.schema, names)) == len(names)


def _is_empty(connection: Connection, model: Model, table: str) -> bool:
    query = compose("SELECT NOT EXISTS (SELECT 1 FROM {table})", table=model.at(table))
    try:
        return bool(row(connection, query)[0])
    except driver_error():
        # A reader without rights on it: what cannot be seen counts as full, which only ever refuses more.
        connection.rollback()
        return False


def compared(connection: Connection, model: Model, with_indexes: bool) -> Comparison:
    """The plan and the faults, read from the catalog. Reads only."""
    found = read(connection, model)
    faults = map_differences(model, found)
    if faults:
        return Comparison(differences=faults)
    subject, key = model.subject
    subject_type = found.tables[subject].columns[key].type
    quoted = compose(
        "SELECT quote_ident({schema}) || '.' || quote_ident({name})",
        schema=value(model.schema),
        name=value(model.roles.type),
    )
    role_type = str(row(connection, quoted)[0]) if model.roles.type else "text"
    premium_type = found.tables[model.premium.table].columns[model.premium.id].type if model.sharing else ""
    things: list[t.Any] = list(wanted.expanded(model, subject_type, role_type, premium_type))
    if with_indexes:
        things += wanted.indexed(model)
    result = compare(things, found)
    result.differences += [
        f"trigger {name} of {model.members.table} fires on DELETE and may refuse what the old release"
        " deletes: disable it until contract.yml"
        for name in mailboxes.guards(connection, model)
    ]
    compare_grants([model.organizations.table, model.members.table], model.accounts.table, found, result)
    return result


def refuse(comparison: Comparison, act: str = "expand") -> None:
    if comparison.differences:
        raise MigrationError(
            act,
            "the schema",
            "it differs from the model map: " + "; ".join(comparison.differences),
            "Correct the map or those objects; nothing was changed",
            differences=comparison.differences,
        )


def ensure(builder: Builder, state: str, is_check: bool) -> Outcome:
    """state: expanded or indexed. Makes what is missing and reads again."""
    connection, model = builder.connection, builder.model
    with_indexes = state == "indexed"
    plan = compared(connection, model, with_indexes)
    connection.rollback()
    refuse(plan)
    is_open = bool(plan.steps) or stage.state_of(connection, stage.SCHEMA) != "completed"
    logs = state == "expanded" and is_open
    connection.rollback()
    outcome = Outcome(
        changed=bool(plan.steps) or logs,
        objects=[{"act": step.act, "object": step.thing} for step in plan.steps],
        warnings=plan.warnings,
        before=[],
        after=[f"{step.act} {step.thing}" for step in plan.steps],
    )
    if is_check or not outcome.changed:
        return outcome
    rights.refuse(connection, model, rights.OWNER, "expand", "the schema")
    journal.ensure(connection)
    before.record(connection, model, builder.run_id)
    if logs:
        stage.begin(connection, stage.SCHEMA)
    try:
        for step in plan.steps:
            _take(builder, step)
        _prove(builder, with_indexes)
    except MigrationError as exc:
        _close_failed(connection, logs, str(exc))
        raise
    except driver_error() as exc:
        _close_failed(connection, logs, cause_of(exc))
        raise MigrationError(
            "expand",
            "the schema",
            cause_of(exc),
            "What was made stays; run the same command again",
            kind="database",
        ) from None
    if logs:
        stage.end(connection, stage.SCHEMA, "completed")
    return outcome


def _close_failed(connection: Connection, logs: bool, sentence: str) -> None:
    connection.rollback()
    if logs:
        stage.end(connection, stage.SCHEMA, "failed", sentence)


def _prove(builder: Builder, with_indexes: bool) -> None:
    left = compared(builder.connection, builder.model, with_indexes)
    builder.connection.rollback()
    refuse(left)
    if left.steps:
        raise MigrationError(
            "expand",
            "the schema",
            "after all steps these are missing: " + "; ".join(s.thing for s in left.steps),
        )


def _take(builder: Builder, step: Step) -> None:
    if isinstance(step.wanted, wanted.NewIndex) and not _is_empty(
        builder.connection, builder.model, step.wanted.table
    ):
        builder.connection.rollback()
        build_index(builder, step.wanted, step.act == "rebuild")
        return
    builder.connection.rollback()
    for thing, statement in _statements(builder.model, step):
        table, name = _place(step)
        ddl.change(
            builder.connection,
            builder.target,
            thing,
            [statement],
            builder.patience,
            record=_recorder(builder, step, table, name),
        )


def _recorder(builder: Builder, step: Step, table: str, name: str) -> t.Callable[[], None] | None:
    if step.act != "make":
        return None

    def record() -> None:
        known = {thing for thing, _table, _name in stage.made(builder.connection)}
        if step.thing not in known:
            after = {"schema": builder.model.schema, "table": table, "name": name}
            stage.note(builder.connection, builder.run_id, "schema", step.thing, after=after)

    return record


def build_index(builder: Builder, index: wanted.NewIndex, is_rebuild: bool) -> None:
    """CONCURRENTLY, proven valid; an invalid one of that name is dropped first."""
    connection, model = builder.connection, builder.model
    place = model.at(index.name)
    thing = f"index {index.name}"
    if is_rebuild:
        ddl.outside_transaction(connection, compose("DROP INDEX CONCURRENTLY {index}", index=place))
    create = compose(
        "CREATE {unique} INDEX CONCURRENTLY {name} ON {table} ({columns})",
        unique=raw("UNIQUE" if index.is_unique else ""),
        name=index.name,
        table=model.at(index.table),
        columns=join(index.columns),
    )
    ddl.outside_transaction(connection, create)
    valid = rows(
        connection,
        compose(
            "SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {schema} AND c.relname"
            " = {name}",
            schema=value(model.schema),
            name=value(index.name),
        ),
    )
    if valid != [(True,)]:
        raise MigrationError(
            "make", thing, "it was left invalid", "Run the same command again: it is rebuilt"
        )
    if not is_rebuild:
        after = {"schema": model.schema, "table": index.table, "name": index.name}
        stage.note(connection, builder.run_id, "schema", thing, after=after)
    connection.commit()


def _place(step: Step) -> tuple[str, str]:
    thing = step.wanted
    if isinstance(thing, (wanted.Enum, wanted.NewTable)):
        return "", thing.name
    if isinstance(thing, wanted.NewColumn):
        return thing.table, thing.field.name
    if isinstance(thing, Grant):
        return thing.table, ""
    return thing.table, thing.name


def _statements(model: Model, step: Step) -> list[tuple[str, Composable]]:
    """Each in a transaction of its own: no transaction holds two heavy locks."""
    thing = step.wanted
    if step.act == "validate" and isinstance(thing, wanted.NewKey):
        return [(step.thing, _validate(model, thing, step.thing[len("key ") :]))]
    if isinstance(thing, Grant):
        return [(step.thing, _grant(model, thing, role, right)) for role, right in thing.rights]
    if isinstance(thing, wanted.NewKey):
        return [(step.thing, _add_key(model, thing)), (step.thing, _validate(model, thing, thing.name))]
    return [(step.thing, _create(model, thing))]


def _create(model: Model, thing: t.Any) -> Composable:
    if isinstance(thing, wanted.Enum):
        labels = join([value(label) for label in thing.labels])
        return compose("CREATE TYPE {name} AS ENUM ({labels})", name=model.at(thing.name), labels=labels)
    if isinstance(thing, wanted.NewTable):
        return compose(
            "CREATE TABLE {name} ({fields}, CONSTRAINT {key} PRIMARY KEY ({primary}))",
            name=model.at(thing.name),
            fields=join([_field(one) for one in thing.fields]),
            key=thing.primary_name,
            primary=thing.primary,
        )
    if isinstance(thing, wanted.NewColumn):
        return compose(
            "ALTER TABLE {table} ADD COLUMN {field}", table=model.at(thing.table), field=_field(thing.field)
        )
    return compose(
        "CREATE {unique} INDEX {name} ON {table} ({columns})",
        unique=raw("UNIQUE" if thing.is_unique else ""),
        name=thing.name,
        table=model.at(thing.table),
        columns=join(thing.columns),
    )


def _field(one: wanted.Field) -> Composable:
    default = raw("")
    if one.default == "now":
        default = raw("DEFAULT CURRENT_TIMESTAMP")
    elif one.default:
        default = compose("DEFAULT {label}", label=value(one.default))
    return compose(
        "{name} {type} {required} {default}",
        name=one.name,
        type=raw(one.type),
        required=raw("NOT NULL" if one.is_required else ""),
        default=default,
    )


def _add_key(model: Model, key: wanted.NewKey) -> Composable:
    return compose(
        "ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({column}) REFERENCES {target}"
        " ({target_column})"
        " ON DELETE {action} ON UPDATE CASCADE NOT VALID",
        table=model.at(key.table),
        name=key.name,
        column=key.column,
        target=model.at(key.target),
        target_column=key.target_column,
        action=raw(key.on_delete),
    )


def _validate(model: Model, key: wanted.NewKey, name: str) -> Composable:
    return compose("ALTER TABLE {table} VALIDATE CONSTRAINT {name}", table=model.at(key.table), name=name)


def _grant(model: Model, grant: Grant, role: str, right: str) -> Composable:
    return compose(
        "GRANT {right} ON {table} TO {role}",
        right=raw(right),
        table=model.at(grant.table),
        role=role or raw("PUBLIC"),
    )


def withdraw(builder: Builder, is_check: bool) -> Outcome:
    """Drop what the ledger says we made, newest first; refuses while data would go with it."""
    connection, model = builder.connection, builder.model
    ours = list(reversed(stage.made(connection)))
    ours = [one for one in ours if stands(connection, model, one)]
    outcome = Outcome(
        changed=bool(ours),
        objects=[{"act": "drop", "object": thing} for thing, _table, _name in ours],
        before=[thing for thing, _table, _name in ours],
    )
    if not ours:
        connection.rollback()
        return outcome
    losses = _losses(connection, model)
    connection.rollback()
    if losses:
        raise MigrationError(
            "withdraw",
            "the schema",
            "; ".join(losses),
            "First run org_migration with state=unlinked and keep_organizations=false",
            losses=losses,
        )
    if is_check:
        return outcome
    rights.refuse(connection, model, rights.OWNER, "withdraw", "the schema")
    for thing, table, name in ours:
        ddl.change(
            connection,
            builder.target,
            thing,
            [_drop(model, thing, table, name)],
            builder.patience,
            record=lambda thing=thing: stage.note(connection, builder.run_id, "schema withdrawn", thing),  # type: ignore[misc]
        )
    return outcome


def stands(connection: Connection, model: Model, one: tuple[str, str, str]) -> bool:
    """Whether an object of the ledger is still there; somebody may have dropped it by hand."""
    thing, table, name = one
    kind = thing.split(" ", 1)[0]
    if kind == "type":
        return bool(catalog.read_labels(connection, model.schema, name)[0])
    relation = catalog.read_tables(connection, model.schema, [table or name]).get(table or name)
    if relation is None or kind == "table":
        return relation is not None
    there = {
        "column": set(relation.columns),
        "index": {index.name for index in relation.indexes},
        "key": {key.name for key in relation.keys},
    }
    return name in there[kind]


def _losses(connection: Connection, model: Model) -> list[str]:
    losses = []
    found = catalog.read_tables(connection, model.schema, list(model.tables))
    triggers = rows(
        connection,
        compose(
            "SELECT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
            " JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace"
            " WHERE n.nspname = 'emailai_migration' AND NOT t.tgisinternal"
        ),
    )
    if triggers:
        losses.append(f"the sync triggers still fire on {', '.join(sorted({name for (name,) in triggers}))}")
    for table in (model.organizations.table, model.members.table):
        if table in found:
            number = row(connection, compose("SELECT count(*) FROM {table}", table=model.at(table)))[0]
            losses += [f"{table} has {number} rows"] if number else []
    for link in model.links:
        if link.table in found and link.organization in found[link.table].columns:
            query = compose(
                "SELECT count(*) FROM {table} WHERE {link} IS NOT NULL",
                table=model.at(link.table),
                link=link.organization,
            )
            number = row(connection, query)[0]
            losses += [f"{number} rows of {link.table} are linked"] if number else []
    return losses


def _drop(model: Model, thing: str, table: str, name: str) -> Composable:
    kind = thing.split(" ", 1)[0]
    templates = {
        "type": "DROP TYPE {place}",
        "table": "DROP TABLE {place}",
        "index": "DROP INDEX {place}",
        "column": "ALTER TABLE {table} DROP COLUMN {name}",
        "key": "ALTER TABLE {table} DROP CONSTRAINT {name}",
    }
    return compose(templates[kind], place=model.at(name), table=model.at(table), name=name)
