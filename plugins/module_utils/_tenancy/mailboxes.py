# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts that are members themselves: whose organization they join, and every statement about it.

An account that is a member nowhere joins the organization of its user, as
OWNER like all of his: whichever of them the old release deletes, one is left.
A membership that somebody made by hand is never touched, for in such a model
an account has but one. What we made is known by its id, a function of the account's.
"""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    rows,
    run,
    value,
    values,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import sql

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.sql import Composable

    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Model

_MOST: t.Final = 10_000
# Of pg_trigger.tgtype (catalog/pg_trigger.h, TRIGGER_TYPE_DELETE).
_TRIGGER_ON_DELETE: t.Final = 8


def parts_of(model: Model) -> dict[str, t.Any]:
    return {
        "users": model.at(model.users.table),
        "user": model.users.id,
        "accounts": model.at(model.accounts.table),
        "account": model.accounts.id,
        "owner": model.accounts.owner,
        "organizations": model.at(model.organizations.table),
        "organization": model.organizations.id,
        "born": model.organizations.created_at,
        "members": model.at(model.members.table),
        "member": model.members.id,
        "subject": model.members.subject,
        "belongs_to": model.members.organization,
        "member_born": model.members.created_at,
    }


def join(model: Model) -> Composable:
    """For rows ``p`` with id, home and born; the caller adds FROM."""
    return sql.insert_members(model, value(model.roles.owner))


# -- the rule -------------------------------------------------------------------


def home(model: Model) -> Composable:
    """The organization that account ``t`` would join; NULL where its user is gone."""
    return compose(
        "(SELECT {home} FROM {users} u WHERE u.{user} = t.{owner})",
        home=sql.organization_of(compose("u.{user}", **parts_of(model))),
        **parts_of(model),
    )


def has_any(model: Model, user: Composable) -> Composable:
    return compose("EXISTS (SELECT 1 FROM {accounts} b WHERE b.{owner} = {one})", one=user, **parts_of(model))


def is_due_in_range(model: Model) -> Composable:
    """Whether account ``t`` has a user and is a member nowhere; see sql.linkable_in_range for its form."""
    return compose(
        "t.{owner} IS NOT NULL AND CASE WHEN (SELECT m.{member} FROM {members} m"
        " WHERE m.{subject} = t.{account} LIMIT 1) IS NULL THEN true END",
        **parts_of(model),
    )


def is_ours(model: Model) -> Composable:
    """Whether the rule made membership ``m``."""
    return compose(
        "m.{member} = {id}", id=sql.member_of(compose("m.{subject}", **parts_of(model))), **parts_of(model)
    )


def is_strange(model: Model) -> Composable:
    """Whether account ``t`` is by the rule a member ``m`` of an organization that is not its user's."""
    return compose(
        "m.{subject} = t.{account} AND {ours} AND m.{belongs_to} <> {home}",
        ours=is_ours(model),
        home=sql.organization_of(compose("t.{owner}", **parts_of(model))),
        **parts_of(model),
    )


# -- what the triggers do ---------------------------------------------------------


def join_at_once(model: Model) -> Composable:
    """For the body of a trigger: account NEW into its user's organization, if that stands."""
    return compose(
        "{join} FROM (SELECT t.{account} AS id, o.{organization} AS home, o.{born} AS born"
        " FROM {accounts} t JOIN {organizations} o ON o.{organization} = {home}"
        " WHERE t.{account} = NEW.{account} AND {is_free}) p ON CONFLICT DO NOTHING;",
        join=join(model),
        home=home(model),
        is_free=sql.is_unlinked(model, model.accounts),
        **parts_of(model),
    )


def follow(model: Model) -> Composable:
    """The same: account NEW from its former user's organization to its new user's, or out of it.

    Nothing is inserted, so nobody is waited for; a membership that somebody holds is left to the sweep.
    """
    return compose(
        "UPDATE {members} d SET {belongs_to} = o.{organization}, {member_born} = o.{born}"
        " FROM {organizations} o WHERE o.{organization} = {home} AND d.{member} = ({held});"
        " IF NOT FOUND THEN {leave} END IF;",
        home=sql.organization_of(compose("NEW.{owner}", **parts_of(model))),
        held=_held(model),
        leave=leave(model),
        **parts_of(model),
    )


def leave(model: Model) -> Composable:
    """The same on the way back, and where the new user has no organization yet."""
    return compose(
        "DELETE FROM {members} d WHERE d.{member} = ({held});", held=_held(model), **parts_of(model)
    )


def _held(model: Model) -> Composable:
    return compose(
        "SELECT m.{member} FROM {members} m WHERE m.{subject} = NEW.{account} AND {ours}"
        " AND m.{belongs_to} = {home} FOR UPDATE SKIP LOCKED",
        ours=is_ours(model),
        home=sql.organization_of(compose("OLD.{owner}", **parts_of(model))),
        **parts_of(model),
    )


# -- repair -----------------------------------------------------------------------


def strangers(connection: Connection, model: Model) -> list[str]:
    """Accounts that by the rule are members of an organization that is not their user's. Reads only."""
    found = rows(
        connection,
        compose(
            "SELECT t.{account}::text FROM {accounts} t JOIN {users} u ON u.{user} = t.{owner}"
            " JOIN {members} m ON {strange} ORDER BY t.{account} LIMIT {most}",
            strange=is_strange(model),
            most=value(_MOST),
            **parts_of(model),
        ),
    )
    return [key for (key,) in found]


def take_home(connection: Connection, model: Model, keys: t.Sequence[str]) -> list[tuple[str, t.Any, t.Any]]:
    """Into the organization of their user, in the caller's transaction; key, before and after of each.

    One whose user has none yet leaves, and the next pass takes it.
    """
    found = rows(
        connection,
        compose(
            """
            WITH owners AS MATERIALIZED (
                SELECT u.{user} AS id FROM {users} u WHERE u.{user} IN (
                    SELECT t.{owner} FROM {accounts} t WHERE t.{account} = ANY({keys}))
                 ORDER BY u.{user} FOR KEY SHARE OF u
            ), held AS MATERIALIZED (
                SELECT m.{member} AS id, t.{account} AS account, m.{belongs_to} AS before,
                       o.{organization} AS home, o.{born} AS born
                  FROM {accounts} t JOIN owners ON owners.id = t.{owner} JOIN {members} m ON {strange}
                  LEFT JOIN {organizations} o ON o.{organization} = {home}
                 WHERE t.{account} = ANY({keys}) AND (SELECT count(*) FROM owners) >= 0
                   FOR NO KEY UPDATE OF t, m SKIP LOCKED
            ), moved AS (
                UPDATE {members} d SET {belongs_to} = held.home, {member_born} = held.born FROM held
                 WHERE d.{member} = held.id AND held.home IS NOT NULL RETURNING d.{member} AS id
            ), gone AS (
                DELETE FROM {members} d USING held WHERE d.{member} = held.id AND held.home IS NULL
                RETURNING d.{member} AS id
            )
            SELECT held.account::text, held.before, held.home FROM held
             WHERE held.id IN (SELECT id FROM moved UNION ALL SELECT id FROM gone)
            """,
            strange=is_strange(model),
            home=sql.organization_of(compose("t.{owner}", **parts_of(model))),
            keys=values(keys),
            **parts_of(model),
        ),
    )
    return list(found)


def own(connection: Connection, model: Model, user: str, organization: str) -> bool:
    """A user's accounts as OWNERs of his organization, in the caller's transaction; True if any is now."""
    parts = dict(parts_of(model), one=value(user), home=value(organization))
    joined = run(
        connection,
        compose(
            "{join} FROM (SELECT t.{account} AS id, o.{organization} AS home, o.{born} AS born"
            " FROM {accounts} t JOIN {organizations} o ON o.{organization} = {home}"
            " WHERE t.{owner} = {one} AND {is_free}) p ON CONFLICT DO NOTHING",
            join=join(model),
            is_free=sql.is_unlinked(model, model.accounts),
            **parts,
        ),
    )
    raised = run(
        connection,
        compose(
            "UPDATE {members} m SET {role} = {owner_role} FROM {accounts} t WHERE t.{owner} = {one}"
            " AND m.{subject} = t.{account} AND m.{belongs_to} = {home} AND m.{role}::text <> {owner_role}",
            role=model.members.role,
            owner_role=value(model.roles.owner),
            **parts,
        ),
    )
    return joined + raised > 0


def access(connection: Connection, model: Model, user: str) -> list[str]:
    """What a person at the help desk wants to know: each account, its organization and role."""
    found = rows(
        connection,
        compose(
            "SELECT t.{account}::text, m.{belongs_to}::text, m.{role}::text FROM {accounts} t"
            " LEFT JOIN {members} m ON m.{subject} = t.{account} WHERE t.{owner} = {one}"
            " ORDER BY t.{account}",
            role=model.members.role,
            one=value(user),
            **parts_of(model),
        ),
    )
    lines = [
        f"account {account} of user {user} is {role} of {organization}"
        if organization
        else f"account {account} of user {user} belongs to no organization"
        for account, organization, role in found
    ]
    return lines or [f"user {user} has no account"]


def guards(connection: Connection, model: Model) -> list[str]:
    """Triggers of somebody else's on the memberships that fire on DELETE, and may refuse one. Reads only.

    Models of this kind are known to have one. Elsewhere a membership goes only with its user.
    """
    if not model.has_member_accounts:
        return []
    found = rows(
        connection,
        compose(
            "SELECT t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {schema}"
            " AND c.relname = {table} AND NOT t.tgisinternal AND t.tgenabled <> 'D'"
            " AND t.tgtype & {delete} > 0 ORDER BY t.tgname",
            schema=value(model.schema),
            table=value(model.members.table),
            delete=value(_TRIGGER_ON_DELETE),
        ),
    )
    return [str(name) for (name,) in found]
