# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who belongs where: the looks and small corrections that the repairs are made of."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    raw,
    row,
    rows,
    run,
    value,
    values,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import (
    identity,
    mailboxes,
    premiums,
    sql,
)

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.sql import Composable

    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Link, Model

_MOST: t.Final = 10_000


@dataclass(frozen=True)
class Ownerless:
    """An organization without OWNER. ``user`` is whose it is by its id, ``member`` its oldest membership."""

    id: str
    user: str
    member: str
    is_ours: bool

    @property
    def can_be_repaired(self) -> bool:
        return bool(self.user or self.member)

    @property
    def remedy(self) -> str:
        if self.user:
            return f"its user {self.user} becomes OWNER"
        if self.member:
            return f"its oldest membership {self.member} becomes OWNER"
        return (
            "the sweep removes it, its user is gone"
            if self.is_ours
            else "nobody belongs to it: decide by hand"
        )


def _parts(model: Model) -> dict[str, t.Any]:
    return {
        "users": model.at(model.users.table),
        "user": model.users.id,
        "organizations": model.at(model.organizations.table),
        "organization": model.organizations.id,
        "members": model.at(model.members.table),
        "member_id": model.members.id,
        "member_user": model.members.subject,
        "member_organization": model.members.organization,
        "role": model.members.role,
        "created": model.members.created_at,
        "owner_role": value(model.roles.owner),
    }


def without_owner(connection: Connection, model: Model) -> list[Ownerless]:
    found = rows(
        connection,
        compose(
            """
            SELECT o.{organization}::text,
                   coalesce((SELECT u.{user}::text FROM {users} u WHERE {home} = o.{organization}), ''),
                   coalesce((SELECT m.{member_id}::text FROM {members} m
                              WHERE m.{member_organization} = o.{organization}
                              ORDER BY m.{created}, m.{member_id} LIMIT 1), ''), {ours}
              FROM {organizations} o
             WHERE NOT EXISTS (SELECT 1 FROM {members} m
                                WHERE m.{member_organization} = o.{organization} AND m.{role}::text =
                                {owner_role}) AND NOT ({waits})
             ORDER BY 1 LIMIT {most}
            """,
            home=sql.organization_of(compose("u.{id}", id=model.users.id)),
            waits=_waits(model),
            ours=sql.is_ours(compose("o.{id}", id=model.organizations.id)),
            most=value(_MOST),
            **_parts(model),
        ),
    )
    return [Ownerless(*one) for one in found]


def _waits(model: Model) -> Composable:
    """Whether organization ``o`` waits for the first account of its user."""
    if not model.has_member_accounts:
        return raw("false")
    user = compose("u.{id}", id=model.users.id)
    return compose(
        "NOT EXISTS (SELECT 1 FROM {members} m WHERE m.{member_organization} = o.{organization})"
        " AND EXISTS (SELECT 1 FROM {users} u WHERE {home} = o.{organization} AND NOT {has_any})",
        home=sql.organization_of(user),
        has_any=mailboxes.has_any(model, user),
        **_parts(model),
    )


def give_owner(connection: Connection, model: Model, one: Ownerless) -> bool:
    """In the caller's transaction; True if somebody is OWNER now."""
    parts = _parts(model)
    if one.user and model.has_member_accounts:
        return mailboxes.own(connection, model, one.user, one.id)
    if one.user and not is_member(connection, model, one.user, one.id):
        person = sql.people(model, compose("u.{id} = {user}", id=model.users.id, user=value(one.user)))
        statement = compose(
            "WITH {create} SELECT count(*) FROM joined",
            create=sql.create(model, sql.by_themselves(model, person)),
        )
        return bool(row(connection, statement)[0])
    if one.user:
        condition = compose("m.{member_user} = {one}", one=value(one.user), **parts)
    elif one.member:
        condition = compose("m.{member_id} = {one}", one=value(one.member), **parts)
    else:
        return False
    changed = run(
        connection,
        compose(
            "UPDATE {members} m SET {role} = {owner_role} WHERE m.{member_organization} = {id} AND"
            " {condition}",
            id=value(one.id),
            condition=condition,
            **parts,
        ),
    )
    return changed > 0


def wrongly_linked(connection: Connection, model: Model, link: Link) -> list[str]:
    """Rows in a stranger's organization. Reads only."""
    if not link.organization:
        return mailboxes.strangers(connection, model)
    found = rows(
        connection,
        compose(
            # The limit stands outside: within it the server hopes for an early end, and there is mostly none.
            "WITH strange AS MATERIALIZED (SELECT t.{id} AS id FROM {table} t{joins}"
            " WHERE t.{link} IS NOT NULL AND u.{user} IS NOT NULL AND NOT {belongs})"
            " SELECT id::text FROM strange ORDER BY strange.id LIMIT {most}",
            id=link.id,
            table=model.at(link.table),
            joins=sql.path(model, link).joins,
            link=link.organization,
            belongs=sql.belongs(
                model, compose("u.{id}", id=model.users.id), compose("t.{link}", link=link.organization)
            ),
            most=value(_MOST),
            **_parts(model),
        ),
    )
    return [key for (key,) in found]


def relink(
    connection: Connection, model: Model, link: Link, keys: t.Sequence[str]
) -> list[tuple[str, t.Any, t.Any]]:
    """Into the organization of the owner, in the caller's transaction; key, before and after of each row."""
    if not keys:
        return []
    if not link.organization:
        return mailboxes.take_home(connection, model, keys)
    parts: dict[str, t.Any] = {
        "id": link.id,
        "table": model.at(link.table),
        "owner": link.owner,
        "link": link.organization,
        "keys": values(keys),
    }
    found = rows(
        connection,
        compose(
            "WITH owners AS MATERIALIZED (SELECT u.{key} AS id FROM {owners} u WHERE u.{key} IN"
            " (SELECT t.{owner} FROM {table} t WHERE t.{id} = ANY({keys})) FOR {strength} OF u SKIP LOCKED),"
            " held AS MATERIALIZED (SELECT t.{id} AS id, t.{link} AS link, {home} AS home"
            " FROM {table} t JOIN owners ON owners.id = t.{owner} WHERE t.{id} = ANY({keys})"
            " AND (SELECT count(*) FROM owners) >= 0 FOR NO KEY UPDATE OF t SKIP LOCKED)"
            " UPDATE {table} t SET {link} = held.home FROM held WHERE t.{id} = held.id"
            " AND held.home IS NOT NULL AND held.home IS DISTINCT FROM held.link"
            " RETURNING t.{id}::text, held.link, held.home",
            home=sql.home_for(model, link, compose("t.{owner}", owner=link.owner)),
            owners=model.at(model.owner_of(link)[0]),
            key=model.owner_of(link)[1],
            # A row that is hung on must not change hands meanwhile; a user has no other hands.
            strength=raw("SHARE" if link.owner_in else "KEY SHARE"),
            **parts,
        ),
    )
    return list(found)


def join_twins(connection: Connection, model: Model, user: str) -> tuple[str, str]:
    """The user's rows into the organization the new release made, our membership away; ours and the other."""
    ours = identity.organization_id(user)
    parts = _parts(model)
    other = row(
        connection,
        compose(
            "SELECT m.{member_organization}::text FROM {members} m WHERE m.{member_user} = {one}"
            " AND m.{member_organization} <> {ours} AND m.{role}::text = {owner_role}"
            " ORDER BY m.{created}, m.{member_id} LIMIT 1",
            one=value(user),
            ours=value(ours),
            **parts,
        ),
    )[0]
    for link in model.links:
        run(
            connection,
            compose(
                "UPDATE {table} t SET {link} = {other} WHERE t.{link} = {ours} AND t.{owner} = {one}",
                table=model.at(link.table),
                link=link.organization,
                other=value(other),
                ours=value(ours),
                owner=link.owner,
                one=value(user),
            ),
        )
    if model.sharing:
        for statement in premiums.hand_over(model, ours, str(other)):
            run(connection, statement)
    run(
        connection,
        compose(
            "DELETE FROM {members} m WHERE m.{member_user} = {one} AND m.{member_organization} = {ours}",
            one=value(user),
            ours=value(ours),
            **parts,
        ),
    )
    return ours, str(other)


def user_of(connection: Connection, model: Model, email: str) -> str:
    def matching(condition: str) -> list[t.Any]:
        parts = dict(_parts(model), email=model.users.email, given=value(email))
        return rows(connection, compose("SELECT u.{user}::text FROM {users} u WHERE " + condition, **parts))

    # Addresses may differ by case alone: the exact one wins.
    found = matching("u.{email} = {given}") or matching("lower(u.{email}::text) = lower({given})")
    if len(found) != 1:
        raise MigrationError(
            "find", "the user", f"{len(found)} users have that e-mail address", "Check the address"
        )
    return str(found[0][0])


def is_member(connection: Connection, model: Model, user: str, organization: str | None = None) -> bool:
    """Of one organization; without one, whether he needs none any more."""
    person = value(user)
    condition = (
        sql.belongs(model, person, value(organization)) if organization else sql.has_membership(model, person)
    )
    return bool(row(connection, compose("SELECT {condition}", condition=condition))[0])


def owned_by(connection: Connection, model: Model, link: Link, user: str) -> set[str]:
    return set(_keys(connection, model, link, user, False))


def unlinked_of(connection: Connection, model: Model, link: Link, user: str) -> list[str]:
    return _keys(connection, model, link, user, True)


def _keys(connection: Connection, model: Model, link: Link, user: str, only_unlinked: bool) -> list[str]:
    found = rows(
        connection,
        compose(
            "SELECT t.{id}::text FROM {table} t{joins} WHERE u.{key} = {user} AND ({unlinked} OR NOT {only})"
            " ORDER BY t.{id}",
            id=link.id,
            table=model.at(link.table),
            joins=sql.path(model, link).joins,
            key=model.users.id,
            user=value(user),
            unlinked=sql.is_unlinked(model, link),
            only=value(only_unlinked),
        ),
    )
    return [key for (key,) in found]


def access(connection: Connection, model: Model, user: str) -> list[str]:
    """What a person at the help desk wants to know: organizations, role, accounts in each."""
    if model.has_member_accounts:
        return mailboxes.access(connection, model, user)
    link = model.accounts
    found = rows(
        connection,
        compose(
            "SELECT m.{member_organization}::text, m.{role}::text, (SELECT count(*) FROM {table} t"
            " WHERE t.{link} = m.{member_organization}), (SELECT count(*) FROM {table} t"
            " WHERE t.{link} = m.{member_organization} AND t.{owner} = {one})"
            " FROM {members} m WHERE m.{member_user} = {one} ORDER BY m.{created}, m.{member_id}",
            table=model.at(link.table),
            link=link.organization,
            owner=link.owner,
            one=value(user),
            **_parts(model),
        ),
    )
    lines = [
        f"user {user} is {role} of {org}: {count} accounts, {own} of them his own"
        for org, role, count, own in found
    ]
    return lines or [f"user {user} belongs to no organization"]
