# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The troubleshooting cases: each looks first, and repairs what it saw only when told to."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import tables
from ansible_collections.emailai.migration.plugins.module_utils._postgres import ddl
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    rows,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import (
    abandoned,
    checks,
    giving,
    members,
    move,
    pages,
    premiums,
    schema,
    seats,
    stage,
    wanted,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.passes import linking, passes

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target
    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.engine import Work
    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Model

_CHUNK: t.Final = 500


@dataclass(frozen=True)
class Request:
    target: Target
    model: Model
    run_id: str = ""
    grace_seconds: float = 60
    email: str = ""
    organization: str = ""
    seats: int | None = None
    undo: bool = False


@dataclass
class Found:
    """``diagnosis`` is for people, ``rows`` are the things wrong, ``repaired`` what was done."""

    diagnosis: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    would_change: bool = False


def repair(connection: Connection, case: str, request: Request, is_check: bool) -> Found:
    """Look; act unless in check mode; one transaction a case or a batch."""
    if not schema.exists(connection, request.model):
        raise MigrationError(
            "repair", case, "there are no tables for organizations", "Run expand.yml and move.yml first"
        )
    if not is_check:
        tables.ensure(connection)
    found = CASES[case](connection, request, is_check)
    connection.commit()
    return found


def _late_users(connection: Connection, request: Request, is_check: bool) -> Found:
    """Users without organization, and what they own."""
    found = Found()
    for task in passes(request.model, request.grace_seconds):
        work = move.swept(task)
        keys = work.remaining(connection, checks.IDS_SHOWN * 100)
        found.rows += [f"{task.table} {key}" for key in keys]
        if task.name == "users":
            found.diagnosis.append(f"{len(keys)} users without organization")
            continue
        found.diagnosis.append(f"{len(keys)} rows of {task.table} without organization whose owner has one")
    found.would_change = bool(found.rows)
    if not is_check and found.rows:
        # Linking comes after creating, which makes more rows linkable.
        for task in passes(request.model, request.grace_seconds):
            found.repaired += _take_all(connection, move.swept(task))
    return found


def _take_all(connection: Connection, work: Work) -> list[str]:
    keys = work.remaining(connection, checks.IDS_SHOWN * 100)
    for at in range(0, len(keys), _CHUNK):
        work.apply(connection, pages.listed(keys[at : at + _CHUNK]))
        connection.commit()
    left = set(work.remaining(connection, checks.IDS_SHOWN * 100))
    return [f"{work.table} {key}" for key in keys if key not in left]


def _wrong_links(connection: Connection, request: Request, is_check: bool) -> Found:
    found = Found()
    for link in request.model.owned:
        keys = members.wrongly_linked(connection, request.model, link)
        found.diagnosis.append(
            f"{len(keys)} rows of {link.table} in an organization their owner is no member of"
        )
        found.rows += [f"{link.table} {key}" for key in keys]
        if not is_check:
            for key, before, after in members.relink(connection, request.model, link, keys):
                thing = f"{link.table} {key}"
                stage.note(connection, request.run_id, "relinked", thing, before, after)
                found.repaired.append(thing)
            connection.commit()
    if request.model.has_member_accounts and not is_check:
        # Who left a stranger's organization may have none yet.
        for task in passes(request.model, request.grace_seconds)[:2]:
            _take_all(connection, move.swept(task))
    if request.model.sharing:
        _strangers_premiums(connection, request, is_check, found)
    found.would_change = bool(found.rows)
    return found


def _strangers_premiums(connection: Connection, request: Request, is_check: bool, found: Found) -> None:
    """Taken away, and given to whom they belong."""
    model = request.model
    keys = premiums.strangers(connection, model, only_ours=False)
    found.diagnosis.append(f"{len(keys)} organizations with a premium that only strangers have")
    found.rows += [f"{model.organizations.table} {key}" for key in keys]
    if is_check:
        return
    for key, premium in premiums.free(connection, model, keys):
        thing = f"{model.organizations.table} {key}"
        stage.note(connection, request.run_id, "relinked", thing, premium)
        found.repaired.append(thing)
    _take_all(connection, giving.Giving(model, request.grace_seconds))
    connection.commit()


def _missing_owners(connection: Connection, request: Request, is_check: bool) -> Found:
    lost = members.without_owner(connection, request.model)
    found = Found(
        [f"{len(lost)} organizations without owner", *(f"{one.id}: {one.remedy}" for one in lost)],
        [one.id for one in lost],
        would_change=any(one.can_be_repaired for one in lost),
    )
    if not is_check:
        for one in lost:
            if members.give_owner(connection, request.model, one):
                stage.note(connection, request.run_id, "owner given", one.id, after=one.remedy)
                found.repaired.append(one.id)
    return found


def _twins(connection: Connection, request: Request, is_check: bool) -> Found:
    """Keep the organization that the new release made, for that is the one it uses."""
    model = request.model
    known = checks.of_data(model, request.grace_seconds)
    check = next((one for one in known if one.name == "twins"), None)
    number, users = checks.ask(connection, check).get("finding", (0, [])) if check else (0, [])
    found = Found(
        [f"{number} users with two organizations from one sign-up"], users, would_change=bool(users)
    )
    if not is_check:
        for user in users:
            ours, other = members.join_twins(connection, model, user)
            removed = abandoned.remove(connection, model, request.run_id, [ours])
            stage.note(
                connection, request.run_id, "twin removed" if removed else "twin left", user, ours, other
            )
            found.repaired.append(f"{user}: {other} kept")
            connection.commit()
    return found


def _no_access(connection: Connection, request: Request, is_check: bool) -> Found:
    """The runbook's three statements as one transaction, for one user."""
    model = request.model
    user = members.user_of(connection, model, request.email)
    found = Found(members.access(connection, model, user))
    owned = {link: members.owned_by(connection, model, link, user) for link in model.owned}
    wrong = {
        link: [key for key in members.wrongly_linked(connection, model, link) if key in keys]
        for link, keys in owned.items()
    }
    missing = {link: members.unlinked_of(connection, model, link, user) for link in model.owned}
    if not members.is_member(connection, model, user):
        found.rows.append("no organization")
    premium = _premium_due(connection, model, user)
    found.rows += [f"without organization: premium {key}" for key in premium]
    found.rows += [
        f"{link.table} {key} in a stranger's organization" for link, keys in wrong.items() for key in keys
    ]
    found.rows += [f"without organization: {key}" for keys in missing.values() for key in keys]
    found.would_change = bool(found.rows)
    if is_check or not found.rows:
        return found
    move.SweptWork(model, None, 0).apply(connection, pages.listed([user]))
    for link, keys in missing.items():
        if keys:
            linking(model, link, 0).apply(connection, pages.listed(keys))
        members.relink(connection, model, link, wrong[link])
    # One who had no organization was not due before.
    premium = _premium_due(connection, model, user)
    if premium:
        giving.Giving(model, 0).apply(connection, pages.listed(premium))
    connection.commit()
    found.repaired = found.rows
    found.diagnosis += ["after the repair:", *members.access(connection, model, user)]
    return found


def _premium_due(connection: Connection, model: Model, user: str) -> list[str]:
    """The user's premium, if the pass would give it to an organization now."""
    if model.sharing is None:
        return []
    due = giving.Giving(model, 0).remaining(connection, checks.IDS_SHOWN * 100)
    return [key for key in premiums.of_user(connection, model, user) if key in due]


def _billing(connection: Connection, request: Request, is_check: bool) -> Found:
    """Seats of one organization, set explicitly; the value before stays in the ledger."""
    model = request.model
    lines = seats.overview(connection, model, request.organization)
    found = Found([line.text() for line in lines], [line.premium for line in lines if line.differs])
    if request.undo:
        return _undo_seats(connection, request, is_check, found)
    if request.seats is None:
        return found
    if not request.organization or len(lines) != 1:
        raise MigrationError(
            "set",
            "the seats",
            f"the organization given has {len(lines)} premiums, not one",
            "Name one organization",
        )
    line = lines[0]
    found.would_change = line.used != request.seats
    if found.would_change and not is_check:
        seats.write(connection, model, line.premium, request.seats)
        stage.note(connection, request.run_id, "seats", line.premium, line.used, request.seats)
        found.repaired = [f"{line.premium}: {line.used} -> {request.seats}"]
    return found


def _undo_seats(connection: Connection, request: Request, is_check: bool, found: Found) -> Found:
    premiums = [line.premium for line in seats.overview(connection, request.model, request.organization)]
    for premium in premiums:
        last = seats.last_set(connection, premium)
        if last is None:
            continue
        before, after = last
        found.would_change = True
        if not is_check:
            seats.write(connection, request.model, premium, before)
            stage.note(connection, request.run_id, "seats undone", premium, after, before)
            found.repaired.append(f"{premium}: {after} -> {before}")
    return found


def _slow_queries(connection: Connection, request: Request, is_check: bool) -> Found:
    plan = schema.compared(connection, request.model, with_indexes=True)
    connection.rollback()
    due = [step for step in plan.steps if isinstance(step.wanted, wanted.NewIndex)]
    found = Found([f"{step.act} {step.thing}" for step in due] or ["every index is there and valid"])
    found.rows = [step.thing for step in due]
    found.diagnosis += seats.sequential_scans(connection, request.model)
    found.would_change = bool(due)
    if not is_check:
        builder = schema.Builder(connection, request.target, request.model, request.run_id, ddl.Patience())
        for step in due:
            if isinstance(step.wanted, wanted.NewIndex):
                schema.build_index(builder, step.wanted, step.act == "rebuild")
        move.analyze(connection, request.model, request.model.tables)
        found.repaired = [*found.rows]
    return found


def _failed_midway(connection: Connection, request: Request, is_check: bool) -> Found:
    """Only looks: the cure is the same command again, which goes on after the last batch."""
    del request, is_check
    found = Found()
    if not tables.exist(connection):
        return Found(["no migration was begun in this database"])
    for name, status, since, error in rows(
        connection,
        compose(
            "SELECT migration_name, status, started_at::timestamp(0)::text, coalesce(error_message, '')"
            " FROM public.migration_log WHERE status <> 'completed' ORDER BY id"
        ),
    ):
        found.rows.append(name)
        found.diagnosis.append(f"{name} is {status} since {since}. {error}".strip())
    for task, state, done, total in rows(
        connection,
        compose(
            "SELECT task, state, done, total FROM emailai_migration.progress"
            " WHERE database = emailai_migration.here() AND task <> 'move' ORDER BY started_at"
        ),
    ):
        found.diagnosis.append(f"{task}: {state}, {done} of {total} rows")
    if found.rows:
        playbook = "expand.yml" if found.rows[-1] == stage.SCHEMA else "move.yml"
        found.diagnosis.append(f"to go on after the last batch: ansible-playbook playbooks/{playbook}")
    else:
        found.diagnosis.append("nothing is open")
    return found


CASES: t.Final[dict[str, t.Callable[[t.Any, Request, bool], Found]]] = {
    "late_users": _late_users,
    "missing_owners": _missing_owners,
    "wrong_links": _wrong_links,
    "twins": _twins,
    "no_access": _no_access,
    "billing": _billing,
    "slow_queries": _slow_queries,
    "failed_midway": _failed_midway,
}
