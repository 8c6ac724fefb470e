# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pieces of SQL that the triggers, the batches and the checks share: one rule, written once."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    join,
    raw,
    value,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import identity

if t.TYPE_CHECKING:
    from psycopg2.sql import Composable

    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Link, Model


class Ownership(t.NamedTuple):
    """``joins`` follow ``FROM table t``; somebody on the way has no owner, or one that does not exist."""

    joins: Composable
    is_ownerless: Composable
    is_orphan: Composable


def organization_of(column: Composable) -> Composable:
    """f(user) where ``column`` is SQL for the user's id."""
    return _filled(identity.organization_id_sql("{c}"), c=column)


def team_of(column: Composable) -> Composable:
    """The same for those who share a premium, where ``column`` is SQL for its id."""
    return _filled(identity.team_id_sql("{c}"), c=column)


def member_of(column: Composable) -> Composable:
    """The id of our membership, where ``column`` is SQL for the id of the user or account."""
    return _filled(identity.member_id_sql("{c}"), c=column)


def _filled(template: str, **parts: Composable) -> Composable:
    return compose(template, **parts)


def is_ours(column: Composable) -> Composable:
    return _filled(identity.is_ours_sql("{c}"), c=column)


def home_of(model: Model, owner: Composable) -> Composable:
    """The organization a user's things belong to: f(user) if a member there, else the oldest membership."""
    member = model.members
    if model.has_member_accounts:
        return compose(
            "coalesce((SELECT o.{id} FROM {organizations} o WHERE o.{id} = {ours}),"
            " (SELECT m.{organization} FROM {members} m JOIN {accounts} b ON b.{account} = m.{subject}"
            " WHERE b.{owns} = {owner} ORDER BY m.{created}, m.{member} LIMIT 1))",
            id=model.organizations.id,
            organizations=model.at(model.organizations.table),
            ours=organization_of(owner),
            organization=member.organization,
            owner=owner,
            created=member.created_at,
            member=member.id,
            **_of_accounts(model),
        )
    # Two looks, for most need only the first: one with both in its order would sort for each row.
    return compose(
        "coalesce((SELECT m.{organization} FROM {members} m"
        " WHERE m.{user} = {owner} AND m.{organization} = {ours} LIMIT 1),"
        " (SELECT m.{organization} FROM {members} m WHERE m.{user} = {owner}"
        " ORDER BY m.{created}, m.{id} LIMIT 1))",
        organization=member.organization,
        members=model.at(member.table),
        user=member.user,
        owner=owner,
        ours=organization_of(owner),
        created=member.created_at,
        id=member.id,
    )


def link_of(model: Model, link: Link, alias: str) -> Composable:
    """The organization of a row of what users own."""
    if link.organization:
        return compose("{alias}.{link}", alias=raw(alias), link=link.organization)
    return compose(
        "(SELECT m.{organization} FROM {members} m WHERE m.{subject} = {alias}.{id})",
        organization=model.members.organization,
        members=model.at(model.members.table),
        subject=model.members.subject,
        alias=raw(alias),
        id=link.id,
    )


def home_for(model: Model, link: Link, owner: Composable) -> Composable:
    """The organization for a row of a link: that of its user, or of the row it hangs on."""
    if not link.owner_in:
        return home_of(model, owner)
    parent = model.parent(link)
    return compose(
        "(SELECT {link} FROM {parents} p WHERE p.{id} = {owner})",
        link=link_of(model, parent, "p"),
        parents=model.at(parent.table),
        id=parent.id,
        owner=owner,
    )


def user_of(model: Model, link: Link, owner: Composable) -> Composable:
    """The user behind the owner of a row, along the path from row to row."""
    if not link.owner_in:
        return owner
    parent = model.parent(link)
    above = compose(
        "(SELECT p.{owner} FROM {parents} p WHERE p.{id} = {key})",
        owner=parent.owner,
        parents=model.at(parent.table),
        id=parent.id,
        key=owner,
    )
    return user_of(model, parent, above)


def path(model: Model, link: Link) -> Ownership:
    """From row ``t`` to user ``u``, each step there or not."""
    joins, lost, missing = [raw("")], [], []
    alias, step = "t", link
    for number in range(len(model.owned) + 1):
        above = f"p{number}" if step.owner_in else "u"
        table, key = model.owner_of(step)
        parts: dict[str, t.Any] = {"a": raw(alias), "owner": step.owner, "b": raw(above), "key": key}
        joins.append(
            compose(" LEFT JOIN {table} {b} ON {b}.{key} = {a}.{owner}", table=model.at(table), **parts)
        )
        is_here = compose("{a}.{id} IS NOT NULL", a=raw(alias), id=step.id)
        lost.append(compose("({here} AND {a}.{owner} IS NULL)", here=is_here, **parts))
        missing.append(compose("({a}.{owner} IS NOT NULL AND {b}.{key} IS NULL)", **parts))
        if not step.owner_in:
            break
        alias, step = above, model.parent(step)
    return Ownership(join(joins, ""), join(lost, " OR "), join(missing, " OR "))


def is_of_rule(model: Model, owner: Composable, organization: Composable) -> Composable:
    """Whether the rule put what ``owner`` has into ``organization``.

    His own, or a team whose membership is of our making. So it is found again whatever he shares by now.
    """
    alone = compose("{organization} = {home}", organization=organization, home=organization_of(owner))
    if not model.sharing:
        return alone
    return compose(
        "({alone} OR (left({organization}::text, 4) = {team} AND {ours} AND EXISTS (SELECT 1 FROM {members} m"
        " WHERE m.{id} = {member} AND m.{member_organization} = {organization})))",
        alone=alone,
        organization=organization,
        team=value(identity.TEAM),
        ours=is_ours(organization),
        members=model.at(model.members.table),
        id=model.members.id,
        member=member_of(owner),
        member_organization=model.members.organization,
    )


def _of_accounts(model: Model) -> dict[str, t.Any]:
    return {
        "members": model.at(model.members.table),
        "subject": model.members.subject,
        "accounts": model.at(model.accounts.table),
        "account": model.accounts.id,
        "owns": model.accounts.owner,
    }


def has_membership(model: Model, user: Composable) -> Composable:
    """Whether a user needs no organization any more.

    Where accounts are members: his own stands, or none of his accounts would go there.
    """
    if model.has_member_accounts:
        return compose(
            "(EXISTS (SELECT 1 FROM {organizations} o WHERE o.{id} = {ours})"
            " OR (EXISTS (SELECT 1 FROM {accounts} b WHERE b.{owns} = {user})"
            " AND NOT EXISTS (SELECT 1 FROM {accounts} b WHERE b.{owns} = {user} AND {is_free})))",
            organizations=model.at(model.organizations.table),
            id=model.organizations.id,
            ours=organization_of(user),
            user=user,
            is_free=is_unlinked(model, model.accounts, "b"),
            **_of_accounts(model),
        )
    return compose(
        "EXISTS (SELECT 1 FROM {members} m WHERE m.{user} = {id})",
        members=model.at(model.members.table),
        user=model.members.user,
        id=user,
    )


def has_membership_by_key(model: Model, user: Composable) -> Composable:
    """The same for a statement about few users: the server looks each of them up.

    Of EXISTS it would make a join and, while the table is small, read all memberships for each batch.
    """
    if model.has_member_accounts:
        return has_membership(model, user)
    return compose(
        "coalesce((SELECT true FROM {members} m WHERE m.{user} = {id} LIMIT 1), false)",
        members=model.at(model.members.table),
        user=model.members.user,
        id=user,
    )


def belongs(model: Model, user: Composable, organization: Composable) -> Composable:
    """Whether a user, or one of his accounts, is a member of an organization."""
    if model.has_member_accounts:
        return compose(
            "({organization} = {ours} OR EXISTS (SELECT 1 FROM {members} m JOIN {accounts} b"
            " ON b.{account} = m.{subject}"
            " WHERE b.{owns} = {user} AND m.{member_organization} = {organization}))",
            organization=organization,
            ours=organization_of(user),
            member_organization=model.members.organization,
            user=user,
            **_of_accounts(model),
        )
    return compose(
        "EXISTS (SELECT 1 FROM {members} m WHERE m.{subject} = {user} AND m.{organization} = {one})",
        members=model.at(model.members.table),
        subject=model.members.user,
        user=user,
        organization=model.members.organization,
        one=organization,
    )


def by_themselves(model: Model, people: Composable) -> Composable:
    """Each of ``people`` in an organization of his own: the rows that ``create`` expects."""
    return compose(
        "SELECT p.id, p.born, {home} AS home, {owner}::text AS role, p.id::text AS founder,"
        " p.name AS called, p.email AS reached, p.born AS since FROM ({people}) p",
        home=organization_of(raw("p.id")),
        owner=value(model.roles.owner),
        people=people,
    )


def create_one(model: Model) -> Composable:
    """For the body of a trigger: what ``create`` does, of the one row that the variable ``p`` holds.

    ``p.home`` stays where the user has become a member, so that nobody has to look it up.
    """
    made = compose("{found} ON CONFLICT DO NOTHING;", found=_found(model, identity.SUFFIX))
    if model.has_member_accounts:
        return made
    return compose(
        "{made} {join} WHERE EXISTS (SELECT 1 FROM {organizations} o WHERE o.{id} = p.home)"
        " ON CONFLICT DO NOTHING; IF NOT FOUND THEN p.home := NULL; END IF;",
        made=made,
        join=insert_members(model, raw("p.role")),
        organizations=model.at(model.organizations.table),
        id=model.organizations.id,
    )


def create(model: Model, placed: Composable, suffix: int = identity.SUFFIX) -> Composable:
    """Organization and membership for each row of ``placed``, in one statement.

    A row says who (``id``, ``born``) belongs where (``home``) as what (``role``), and after whom that
    is named (``founder``, ``called``, ``reached``, ``since``). Nothing in it can fail on what is there
    already: every unique key is guarded, and a membership is made only where its organization stands.
    The times are the user's own, so the same users give the same rows at any time; the order is that
    of the ids, so two workers who found the same team wait for each other and never in a circle.
    Ends in the CTE ``joined`` of the memberships made; the caller adds the last SELECT.
    """
    return compose(
        "person AS MATERIALIZED ({placed}),"
        " made AS ({found} FROM {founded} p ON CONFLICT DO NOTHING RETURNING {organization_id} AS id),"
        " {joined}",
        placed=placed,
        found=_found(model, suffix),
        founded=raw("(SELECT DISTINCT ON (home) * FROM person ORDER BY home)" if model.sharing else "person"),
        organization_id=model.organizations.id,
        # Accounts join in a pass of their own.
        joined=raw("joined AS (SELECT id FROM made)") if model.has_member_accounts else _joined(model),
    )


def _found(model: Model, suffix: int) -> Composable:
    """INSERT … SELECT of organizations for rows ``p``; the caller adds FROM."""
    organization = model.organizations
    return compose(
        "INSERT INTO {organizations} ({columns}) SELECT p.home, {name}, {slug}, p.since, p.since{fill}",
        organizations=model.at(organization.table),
        columns=join(
            [
                organization.id,
                organization.name,
                organization.slug,
                organization.created_at,
                organization.updated_at,
                *organization.fill,
            ]
        ),
        name=raw(identity.organization_name_sql("p.called", "p.reached")),
        slug=raw(identity.slug_sql("p.founder", "p.called", "p.reached", suffix)),
        fill=_fill(organization.fill),
    )


def _joined(model: Model) -> Composable:
    return compose(
        "standing AS (SELECT id FROM made UNION ALL"
        "   SELECT o.{organization_id} FROM {organizations} o WHERE o.{organization_id} IN"
        " (SELECT home FROM person EXCEPT SELECT id FROM made)),"
        " joined AS ({join} FROM person p JOIN standing s ON s.id = p.home"
        "   ON CONFLICT DO NOTHING RETURNING {member_user} AS id)",
        organization_id=model.organizations.id,
        organizations=model.at(model.organizations.table),
        join=insert_members(model, raw("p.role")),
        member_user=model.members.user,
    )


def insert_members(model: Model, role: Composable) -> Composable:
    """INSERT … SELECT for rows ``p`` with id, home and born; the caller adds FROM."""
    member = model.members
    times = [column for column in (member.created_at, member.updated_at) if column]
    return compose(
        "INSERT INTO {members} ({columns}) SELECT {id}, p.id, p.home, {role}{role_type}{born}{fill}",
        members=model.at(member.table),
        columns=join([member.id, member.subject, member.organization, member.role, *times, *member.fill]),
        id=member_of(raw("p.id")),
        role=role,
        role_type=compose("::{type}", type=(model.schema, model.roles.type))
        if model.roles.type
        else raw("::text"),
        born=raw(", p.born" * len(times)),
        fill=_fill(member.fill),
    )


def _fill(fill: t.Mapping[str, t.Any]) -> Composable:
    """Columns that only the map knows, from its constants."""
    return join([raw(""), *(value(content) for content in fill.values())]) if fill else raw("")


def people(model: Model, condition: Composable, ending: Composable | None = None) -> Composable:
    """The users a batch is about, to be placed and then created."""
    users = model.users
    return compose(
        "SELECT u.{id} AS id, {name} AS name, u.{email}::text AS email, u.{born} AS born{premium}"
        " FROM {users} u WHERE {condition} {ending}",
        id=users.id,
        name=compose("u.{name}::text", name=users.name) if users.name else raw("NULL::text"),
        email=users.email,
        born=users.created_at,
        premium=compose(", u.{has} AS premium", has=model.sharing.user) if model.sharing else raw(""),
        users=model.at(users.table),
        condition=condition,
        ending=ending or raw(""),
    )


def is_young(model: Model, grace_seconds: float, alias: str = "u") -> Composable:
    """Whether user ``u`` may still be in the middle of a sign-up of two transactions.

    A time in the far future is a wrong clock, not youth.
    """
    return compose(
        "({u}.{born} > now() - make_interval(secs => {grace}) AND {u}.{born} < now() +"
        " make_interval(secs => {grace}))",
        u=raw(alias),
        born=model.users.created_at,
        grace=value(grace_seconds),
    )


def is_unlinked(model: Model, link: Link, alias: str = "t") -> Composable:
    """Whether a row of what users own has no organization."""
    if link.organization:
        return compose("{alias}.{link} IS NULL", alias=raw(alias), link=link.organization)
    return compose(
        "NOT EXISTS (SELECT 1 FROM {members} m WHERE m.{subject} = {alias}.{id})",
        members=model.at(model.members.table),
        subject=model.members.subject,
        alias=raw(alias),
        id=link.id,
    )


def linkable(link: Link, alias: str = "t") -> Composable:
    return compose(
        "{alias}.{link} IS NULL AND {alias}.{owner} IS NOT NULL",
        alias=raw(alias),
        link=link.organization,
        owner=link.owner,
    )


def linkable_in_range(link: Link) -> Composable:
    """The same for a statement that reads a range of keys.

    Written so that an index on the link cannot serve it: the planner would read all unlinked rows of
    the table for each batch. Nor may it estimate by statistics that are old or not there: of few rows
    it would compare each with each. Of a CASE it takes half to be true, always.
    """
    return compose(
        "CASE WHEN t.{link} IS NULL THEN true END AND t.{owner} IS NOT NULL",
        link=link.organization,
        owner=link.owner,
    )


def quarantined(table: str, key: Composable) -> Composable:
    """Whether a row was set aside because it cannot be migrated."""
    return compose(
        "{key}::text IN (SELECT q.row_key FROM emailai_migration.quarantine q"
        " WHERE q.database = emailai_migration.here() AND q.table_name = {table})",
        key=key,
        table=value(table),
    )
