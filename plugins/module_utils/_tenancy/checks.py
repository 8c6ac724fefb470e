# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions asked of the data, each one statement that gives class and id of every row that is wrong.

A class is failed, finding or pending. The statements only read; ``judge``
decides what their answers mean.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    join,
    raw,
    rows,
    value,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import mailboxes, premiums, sql

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.sql import Composable

    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Link, Model

IDS_SHOWN: t.Final = 100


@dataclass(frozen=True)
class Check:
    """``cause`` and ``repair`` are what a person reads when it is not ok."""

    name: str
    title: str
    cause: str
    repair: str
    question: Composable


# class → (count, first ids)
Answer = t.Dict[str, t.Tuple[int, t.List[str]]]


def ask(connection: Connection, check: Check) -> Answer:
    found = rows(
        connection,
        compose(
            "SELECT class, count(*), (array_agg(id ORDER BY id))[1:{shown}] FROM ({question}) q"
            " GROUP BY class",
            shown=value(IDS_SHOWN),
            question=check.question,
        ),
    )
    return {kind: (number, list(ids)) for kind, number, ids in found}


def of_data(model: Model, grace_seconds: float) -> list[Check]:
    checks = [
        _users(model, grace_seconds),
        _owners(model),
        *(_links(model, link, grace_seconds) for link in model.owned),
        *([_premiums(model, grace_seconds)] if model.sharing else []),
        _duplicates(model),
    ]
    if model.premium.used_seats:
        checks.append(_seats(model))
    if model.has_member_accounts:
        checks += [_without_account(model, grace_seconds), _strange_members(model)]
    checks += [_wrong(model, link) for link in model.links]
    if model.sharing:
        checks += [_strangers_premiums(model), _given_twice(model)]
    checks += [_orphans(model), _null_members(model)]
    if not model.has_member_accounts:
        # An account has one membership at most; the unique key holds that.
        checks.append(_twins(model, grace_seconds))
    return [*checks, _left_behind(model)]


def _names(model: Model) -> dict[str, t.Any]:
    organization, member = model.organizations, model.members
    return {
        "users": model.at(model.users.table),
        "user": model.users.id,
        "organizations": model.at(organization.table),
        "organization": organization.id,
        "members": model.at(member.table),
        "member_id": member.id,
        "member_user": member.subject,
        "member_organization": member.organization,
        "role": member.role,
        "owner_role": value(model.roles.owner),
    }


def _users(model: Model, grace_seconds: float) -> Check:
    column = compose("u.{id}", id=model.users.id)
    return Check(
        "users",
        "All users have organizations",
        "users without organization",
        "repair.yml --tags late_users",
        compose(
            "SELECT CASE WHEN {young} THEN 'pending' ELSE 'failed' END AS class, {id}::text AS id"
            " FROM {users} u WHERE NOT {has} AND NOT {set_aside}",
            young=sql.is_young(model, grace_seconds),
            id=column,
            users=model.at(model.users.table),
            has=sql.has_membership(model, column),
            set_aside=sql.quarantined(model.users.table, column),
        ),
    )


def _owners(model: Model) -> Check:
    """Pending: ours, its user is gone, the sweep removes it. Finding: the application's own and empty.

    The old release deletes users and knows nothing of the organizations that the new one made for
    them; nobody is locked out of an organization that has no member and to which nothing refers.
    """
    return Check(
        "owners",
        "All organizations have owners",
        "organizations without a member of role OWNER",
        "repair.yml --tags missing_owners; one that the application left empty is acknowledged by name",
        compose(
            """
            SELECT CASE WHEN EXISTS (SELECT 1 FROM {members} m
                                      WHERE m.{member_organization} = o.{organization}) THEN 'failed'
                        WHEN {ours} AND EXISTS (SELECT 1 FROM {users} u WHERE {home} = o.{organization}
                                                   AND {can_join}) THEN 'failed'
                        WHEN {ours} THEN 'pending'
                        WHEN {used} THEN 'failed'
                        ELSE 'finding' END AS class, o.{organization}::text AS id
              FROM {organizations} o
             WHERE NOT EXISTS (SELECT 1 FROM {members} m
                                WHERE m.{member_organization} = o.{organization} AND m.{role}::text =
                                {owner_role})
            """,
            ours=sql.is_ours(compose("o.{id}", id=model.organizations.id)),
            home=sql.organization_of(compose("u.{id}", id=model.users.id)),
            # Whoever has no account is a finding of its own.
            can_join=mailboxes.has_any(model, compose("u.{id}", id=model.users.id))
            if model.has_member_accounts
            else raw("true"),
            used=join(
                [
                    *(
                        compose(
                            "EXISTS (SELECT 1 FROM {table} t WHERE t.{link} = o.{id})",
                            table=model.at(link.table),
                            link=link.organization,
                            id=model.organizations.id,
                        )
                        for link in model.links
                    ),
                    raw("false"),
                    *(
                        [compose("o.{gets} IS NOT NULL", gets=model.sharing.organization)]
                        if model.sharing
                        else []
                    ),
                ],
                " OR ",
            ),
            **_names(model),
        ),
    )


def _links(model: Model, link: Link, grace_seconds: float) -> Check:
    """Without organization: an owner of an organization makes it failed, no owner a finding."""
    title = {"accounts": "All email accounts linked", "premiums": "All premium subscriptions linked"}
    path = sql.path(model, link)
    waits = sql.has_membership(model, compose("u.{id}", id=model.users.id))
    if link.owner_in:
        # Linked with the row it hangs on, whose own check tells why that is not.
        waits = compose("{home} IS NOT NULL", home=sql.home_for(model, link, compose("t.{o}", o=link.owner)))
    return Check(
        link.name,
        title.get(link.name, f"All rows of {link.table} linked"),
        f"rows of {link.table} without organization",
        "playbook move.yml again, its sweep links them; rows without owner are acknowledged by name",
        compose(
            """
            SELECT CASE WHEN {ownerless} THEN 'finding'
                        WHEN {young} AND NOT {has} THEN 'pending' ELSE 'failed' END AS class, t.{id}::text
                        AS id
              FROM {table} t{joins}
             WHERE {unlinked} AND (({ownerless}) OR NOT ({orphan})) AND NOT {set_aside}
            """,
            ownerless=path.is_ownerless,
            orphan=path.is_orphan,
            joins=path.joins,
            young=raw("true") if link.owner_in else sql.is_young(model, grace_seconds),
            has=waits,
            id=link.id,
            table=model.at(link.table),
            unlinked=sql.is_unlinked(model, link),
            set_aside=sql.quarantined(link.table, compose("t.{id}", id=link.id)),
        ),
    )


def _premiums(model: Model, grace_seconds: float) -> Check:
    """The same where users point at a premium: one that somebody alone has must be linked.

    What the policy of the data step was is not known here: a shared one without organization is a finding.
    """
    return Check(
        premiums.NAME,
        "All premium subscriptions linked",
        f"rows of {model.premium.table} that no organization has",
        "playbook move.yml again, its sweep links what one user alone has; those that nobody has, that"
        " several users share or whose organization has another are acknowledged by name",
        compose(
            "SELECT CASE c.class WHEN 'due' THEN 'failed' WHEN 'pending' THEN 'pending' ELSE 'finding' END"
            " AS class, c.id FROM ({classes}) c WHERE c.class <> 'done' AND NOT {set_aside}",
            classes=premiums.classes(model, grace_seconds),
            set_aside=sql.quarantined(model.premium.table, raw("c.id")),
        ),
    )


def _strangers_premiums(model: Model) -> Check:
    """Pending: the old release deleted the organization's users, and the sweep removes it."""
    return Check(
        f"wrong_links {premiums.NAME}",
        "No organization with a stranger's premium",
        "organizations have a premium that users have, none of whom is a member there",
        "repair.yml --tags wrong_links",
        compose(
            "SELECT CASE WHEN EXISTS (SELECT 1 FROM {members} m WHERE m.{member_organization} ="
            " o.{organization}) THEN 'failed' ELSE 'pending' END AS class, o.{organization}::text AS id"
            " FROM {organizations} o WHERE {strange}",
            strange=premiums.is_strange(model),
            **_names(model),
        ),
    )


def _given_twice(model: Model) -> Check:
    """Two users of one premium who signed up at the same moment did not see each other."""
    parts = premiums.parts_of(model)
    return Check(
        "premiums_given_twice",
        "No premium in two organizations that the migration made",
        "premiums serve two organizations, where the application had one",
        "decide which keeps it, and empty the column of the other",
        compose(
            "SELECT 'finding' AS class, o.{gets}::text AS id FROM {organizations} o"
            " WHERE o.{gets} IS NOT NULL AND {ours} GROUP BY o.{gets} HAVING count(*) > 1",
            ours=sql.is_ours(compose("o.{id}", id=model.organizations.id)),
            **parts,
        ),
    )


def _duplicates(model: Model) -> Check:
    return Check(
        "duplicate_memberships",
        "No duplicate organization memberships",
        "the same user is a member of the same organization more than once",
        "delete all but the oldest row of each pair, then make the unique key",
        compose(
            "SELECT 'failed' AS class, m.{member_user}::text || ' ' || m.{member_organization}::text AS id"
            " FROM {members} m WHERE m.{member_user} IS NOT NULL AND m.{member_organization} IS NOT NULL"
            " GROUP BY m.{member_user}, m.{member_organization} HAVING count(*) > 1",
            **_names(model),
        ),
    )


def _seats(model: Model) -> Check:
    """Per premium, so that two premiums of one organization do not multiply its members."""
    return Check(
        "seats",
        "Organization seat counts match members",
        "used seats of a premium differ from the members of its organization; what is billed was left alone",
        "repair.yml --tags billing, an organization at a time",
        compose(
            "SELECT 'finding' AS class, p.{id}::text AS id FROM {linked}"
            " WHERE p.{seats} IS NOT NULL AND l.id IS NOT NULL AND p.{seats} <>"
            " (SELECT count(*) FROM {members} m WHERE m.{member_organization} = l.id)",
            id=model.premium.id,
            linked=premiums.with_organization(model),
            seats=model.premium.used_seats,
            members=model.at(model.members.table),
            member_organization=model.members.organization,
        ),
    )


def _wrong(model: Model, link: Link) -> Check:
    return Check(
        f"wrong_links {link.name}",
        f"No row of {link.table} in a stranger's organization",
        f"rows of {link.table} belong to an organization their owner is no member of",
        "repair.yml --tags wrong_links",
        compose(
            "SELECT 'failed' AS class, t.{id}::text AS id FROM {table} t{joins}"
            " WHERE t.{link} IS NOT NULL AND u.{user} IS NOT NULL AND NOT {belongs}",
            id=link.id,
            table=model.at(link.table),
            joins=sql.path(model, link).joins,
            user=model.users.id,
            link=link.organization,
            belongs=sql.belongs(
                model, compose("u.{id}", id=model.users.id), compose("t.{link}", link=link.organization)
            ),
        ),
    )


def _without_account(model: Model, grace_seconds: float) -> Check:
    return Check(
        "users_without_account",
        "All users have an email account",
        "users have no email account, so their organization has no member",
        "nothing to repair: the first account of such a user joins by itself; accept it by name",
        compose(
            "SELECT CASE WHEN {young} THEN 'pending' ELSE 'finding' END AS class, u.{user}::text AS id"
            " FROM {users} u WHERE NOT {has_any} AND NOT {set_aside}",
            young=sql.is_young(model, grace_seconds),
            has_any=mailboxes.has_any(model, compose("u.{id}", id=model.users.id)),
            set_aside=sql.quarantined(model.users.table, compose("u.{id}", id=model.users.id)),
            **_names(model),
        ),
    )


def _strange_members(model: Model) -> Check:
    """Only of our making: an application that invites an account has its reasons."""
    accounts = model.accounts
    return Check(
        f"wrong_links {accounts.name}",
        f"No row of {accounts.table} in a stranger's organization",
        f"rows of {accounts.table} are members of an organization that is not their user's",
        "repair.yml --tags wrong_links",
        compose(
            "SELECT 'failed' AS class, t.{id}::text AS id FROM {table} t JOIN {users} u ON u.{user} ="
            " t.{owner} JOIN {members} m ON {strange}",
            id=accounts.id,
            table=model.at(accounts.table),
            owner=accounts.owner,
            strange=mailboxes.is_strange(model),
            **_names(model),
        ),
    )


def orphan_parts(model: Model) -> list[Composable]:
    """Rows whose owner does not exist; also asked before there are organizations."""
    return [*_owner_orphans(model), *([_premium_orphans(model)] if model.sharing else [])]


def _premium_orphans(model: Model) -> Composable:
    return compose(
        "SELECT 'failed' AS class, {label} || u.{user}::text AS id FROM {users} u WHERE u.{has} IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM {premiums} p WHERE p.{premium_id} = u.{has})",
        label=value(f"{model.users.table} "),
        **premiums.parts_of(model),
    )


def _owner_orphans(model: Model) -> list[Composable]:
    return [
        compose(
            "SELECT 'failed' AS class, {label} || t.{id}::text AS id FROM {table} t WHERE t.{owner}"
            " IS NOT NULL"
            " AND NOT EXISTS (SELECT 1 FROM {owners} u WHERE u.{key} = t.{owner})",
            label=value(f"{link.table} "),
            id=link.id,
            table=model.at(link.table),
            owner=link.owner,
            owners=model.at(model.owner_of(link)[0]),
            key=model.owner_of(link)[1],
        )
        for link in model.owned
    ]


def _orphans(model: Model) -> Check:
    names = _names(model)
    parts = orphan_parts(model)
    for link in model.links:
        parts.append(
            compose(
                "SELECT 'failed', {label} || t.{id}::text FROM {table} t WHERE t.{link} IS NOT NULL"
                " AND NOT EXISTS (SELECT 1 FROM {organizations} o WHERE o.{organization} = t.{link})",
                label=value(f"{link.table} "),
                id=link.id,
                table=model.at(link.table),
                link=link.organization,
                organizations=names["organizations"],
                organization=names["organization"],
            )
        )
    # One question each: of both in one condition the server would look every membership up by itself.
    for owner, owners, key in (
        (names["member_user"], model.at(model.subject[0]), model.subject[1]),
        (names["member_organization"], names["organizations"], names["organization"]),
    ):
        parts.append(
            compose(
                "SELECT 'failed', {label} || m.{member_id}::text FROM {members} m WHERE m.{owner} IS NOT NULL"
                " AND NOT EXISTS (SELECT 1 FROM {owners} o WHERE o.{key} = m.{owner})",
                label=value(f"{model.members.table} "),
                owner=owner,
                owners=owners,
                key=key,
                **names,
            )
        )
    return Check(
        "orphans",
        "No orphaned records",
        "rows whose organization, user or owner does not exist",
        "decide for each row whether its owner is restored or the row deleted",
        join(parts, " UNION "),
    )


def _null_members(model: Model) -> Check:
    return Check(
        "null_memberships",
        "No membership without member or organization",
        "memberships with NULL, which made the runbook's own check blind",
        "delete these rows",
        compose(
            "SELECT 'failed' AS class, m.{member_id}::text AS id FROM {members} m"
            " WHERE m.{member_user} IS NULL OR m.{member_organization} IS NULL",
            **_names(model),
        ),
    )


def _twins(model: Model, grace_seconds: float) -> Check:
    """A sign-up of the new release in two transactions without the mark: two organizations for one user."""
    return Check(
        "twins",
        "No user with two organizations from one sign-up",
        "the new release signed users up without its mark, and made a second organization beside ours",
        "repair.yml --tags twins, and set the release's application_name",
        compose(
            """
            SELECT DISTINCT 'finding' AS class, u.{user}::text AS id
              FROM {users} u
              JOIN {members} mine ON mine.{member_user} = u.{user} AND mine.{member_organization} = {home}
              JOIN {members} other ON other.{member_user} = u.{user} AND other.{member_organization} <> {home}
                                  AND other.{role}::text = {owner_role}
              JOIN {organizations} o ON o.{organization} = other.{member_organization} AND NOT {ours}
             WHERE o.{created} BETWEEN u.{born} - make_interval(secs => {grace})
                                   AND u.{born} + make_interval(secs => {grace})
            """,
            home=sql.organization_of(compose("u.{id}", id=model.users.id)),
            ours=sql.is_ours(compose("o.{id}", id=model.organizations.id)),
            created=model.organizations.created_at,
            born=model.users.created_at,
            grace=value(max(grace_seconds, 60)),
            **_names(model),
        ),
    )


def _left_behind(model: Model) -> Check:
    return Check(
        "quarantine",
        "No row set aside",
        "rows that could not be migrated; emailai_migration.quarantine says why",
        "correct the row, delete it from the quarantine and run move.yml again",
        compose(
            "SELECT 'finding' AS class, q.table_name || ' ' || q.row_key AS id FROM"
            " emailai_migration.quarantine q"
            " WHERE q.database = emailai_migration.here() AND q.table_name = ANY({tables})",
            tables=value(list(model.tables)),
        ),
    )
