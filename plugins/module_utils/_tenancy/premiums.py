# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Premiums that users point at and may share: whose organization gets one, and every statement about it.

A premium that one user has goes to that user's organization. One that several
users share goes to nobody's or, by policy, to that of its admin among them,
else of the oldest, which may be that of the whole team. What an organization
already has is never replaced, and the premium's own row is never written.
"""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    raw,
    rows,
    value,
    values,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import sql

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.sql import Composable

    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Model, Sharing

NAME: t.Final = "premiums"
LISTED: t.Final = 1000
_MOST: t.Final = 10_000
# What becomes of a premium that several users share, by policy; filled with the one who has the most to say.
_FATES: t.Final = {
    "report": "to nobody's organization",
    "owner": "to the organization of user {}",
    "team": "into one organization, of which user {} is OWNER",
}


def sharing_of(model: Model) -> Sharing:
    if model.sharing is None:
        raise ValueError("in this model a premium names its owner")
    return model.sharing


def parts_of(model: Model) -> dict[str, t.Any]:
    sharing = sharing_of(model)
    return {
        "premiums": model.at(model.premium.table),
        "premium_id": model.premium.id,
        "users": model.at(model.users.table),
        "user": model.users.id,
        "has": sharing.user,
        "organizations": model.at(model.organizations.table),
        "organization": model.organizations.id,
        "gets": sharing.organization,
        "members": model.at(model.members.table),
        "member_user": model.members.user,
        "member_organization": model.members.organization,
    }


def with_organization(model: Model) -> Composable:
    """A FROM clause: premiums ``p`` with each organization ``l.id`` that has one; in either kind of model."""
    if model.sharing:
        return compose(
            "{premiums} p JOIN (SELECT o.{organization} AS id, o.{gets} AS premium FROM {organizations} o) l"
            " ON l.premium = p.{premium_id}",
            **parts_of(model),
        )
    link = next(link for link in model.links if link.name == NAME)
    return compose(
        "{table} p CROSS JOIN LATERAL (SELECT p.{link} AS id) l",
        table=model.at(link.table),
        link=link.organization,
    )


# -- the rule -------------------------------------------------------------------


def _rank(model: Model, alias: str) -> Composable:
    """Admins first, then by age: a row that is smaller the more it has to say."""
    sharing = sharing_of(model)
    parts: dict[str, t.Any] = {"u": raw(alias), "has": sharing.user}
    admin = (
        compose("({u}.{admin} = {u}.{has}) IS NOT TRUE", admin=sharing.admin, **parts)
        if sharing.admin
        else raw("false")
    )
    return compose(
        "ROW({admin}, coalesce({u}.{born}, 'infinity'), {u}.{id})",
        admin=admin,
        born=model.users.created_at,
        id=model.users.id,
        **parts,
    )


def is_sole(model: Model) -> Composable:
    """Whether nobody but user ``u`` has his premium."""
    return compose(
        "NOT EXISTS (SELECT 1 FROM {users} x WHERE x.{has} = u.{has} AND x.{user} <> u.{user})",
        **parts_of(model),
    )


def chosen(model: Model, condition: Composable) -> Composable:
    """Of the users ``u`` that fulfil it, those whose organization gets their premium, under the policy.

    Sorted, not compared with one another: thousands may share one premium.
    """
    if sharing_of(model).policy != "report":
        return compose(
            "SELECT DISTINCT ON (u.{has}) u.{user} AS id, u.{has} AS premium FROM {users} u"
            " WHERE u.{has} IS NOT NULL AND {condition} ORDER BY u.{has}, {rank}",
            condition=condition,
            rank=_rank(model, "u"),
            **parts_of(model),
        )
    return compose(
        "SELECT u.{user} AS id, u.{has} AS premium FROM {users} u"
        " WHERE u.{has} IS NOT NULL AND {condition} AND {is_sole}",
        condition=condition,
        is_sole=is_sole(model),
        **parts_of(model),
    )


def heads(model: Model, condition: Composable) -> Composable:
    """Of each premium the user with the most to say, as ``sql.people`` gives one, and how many have it.

    Of the premiums whose users ``u`` all fulfil the condition, or none of them.
    """
    users = model.users
    return compose(
        "SELECT DISTINCT ON (u.{has}) u.{has} AS premium, u.{user} AS id, {name} AS name,"
        " u.{email}::text AS email, u.{born} AS born, count(*) OVER (PARTITION BY u.{has}) AS size"
        " FROM {users} u WHERE u.{has} IS NOT NULL AND {condition} ORDER BY u.{has}, {rank}",
        condition=condition,
        name=compose("u.{name}::text", name=users.name) if users.name else raw("NULL::text"),
        email=users.email,
        born=users.created_at,
        rank=_rank(model, "u"),
        **parts_of(model),
    )


def is_given(model: Model, premium: Composable) -> Composable:
    """Whether any organization has the premium."""
    return compose(
        "EXISTS (SELECT 1 FROM {organizations} g WHERE g.{gets} = {premium})",
        premium=premium,
        **parts_of(model),
    )


# -- what the triggers do ---------------------------------------------------------


def give(model: Model) -> Composable:
    """For the body of a trigger: the premium of user NEW to his organization, if nobody else has it.

    Waits for nobody: whatever somebody holds, and every premium that is shared, is left to the sweep.
    A user may point at a premium that does not exist where his table has no key.
    """
    return compose(
        """
        UPDATE {organizations} o SET {gets} = u.{has} FROM {users} u
         WHERE u.{user} = NEW.{user} AND u.{has} IS NOT NULL AND {is_sole} AND NOT {is_given}
           AND u.{has} = (SELECT p.{premium_id} FROM {premiums} p WHERE p.{premium_id} = u.{has}
                             FOR KEY SHARE SKIP LOCKED)
           AND o.{organization} = (SELECT h.{organization} FROM {organizations} h
                WHERE h.{organization} = {home} AND (h.{gets} IS NULL) IS TRUE FOR NO KEY UPDATE SKIP LOCKED);
        """,
        is_sole=is_sole(model),
        is_given=is_given(model, compose("u.{has}", has=sharing_of(model).user)),
        home=sql.home_of(model, compose("NEW.{user}", user=model.users.id)),
        **parts_of(model),
    )


def take(model: Model) -> Composable:
    """The same: the premium that user NEW had from his organization, unless another member has it still."""
    return compose(
        "{take} AND NOT EXISTS (SELECT 1 FROM {members} m JOIN {users} x ON x.{user} = m.{member_user}"
        " WHERE m.{member_organization} = o.{organization} AND x.{has} = OLD.{has});",
        take=_take(model, sql.home_of(model, compose("NEW.{user}", user=model.users.id))),
        **parts_of(model),
    )


def release(model: Model) -> Composable:
    """The same on the way back: later the link could not be told from a deliberate one."""
    home = sql.organization_of(compose("NEW.{user}", user=model.users.id))
    team = sql.team_of(compose("OLD.{has}", has=sharing_of(model).user))
    return compose("{take}; {take_team};", take=_take(model, home), take_team=_take(model, team))


def _take(model: Model, home: Composable) -> Composable:
    return compose(
        "UPDATE {organizations} o SET {gets} = NULL"
        " WHERE o.{organization} = (SELECT h.{organization} FROM {organizations} h"
        " WHERE h.{organization} = {home} AND h.{gets} = OLD.{has} FOR NO KEY UPDATE SKIP LOCKED)",
        home=home,
        **parts_of(model),
    )


# -- looks ------------------------------------------------------------------------


def classes(model: Model, grace_seconds: float, is_expanded: bool = True) -> Composable:
    """Class and id of every premium, and whether its user has an organization already.

    done; ownerless (no user has it); shared (several have it, and the policy chooses none); taken (the
    organization it would go to has another); pending (its user signed up a moment ago); due. Before
    the tables are there no premium is done and no organization taken.
    """
    user = compose("u.{id}", id=model.users.id)
    # Looked up by its key alone: as a second condition the index on the premium would be read from end
    # to end for each user, while the statistics say that it is empty.
    is_taken = compose(
        "coalesce((SELECT o.{gets} IS NOT NULL FROM {organizations} o WHERE o.{organization} = {home}),"
        " false)",
        home=sql.home_of(model, user),
        **parts_of(model),
    )
    return compose(
        """
        SELECT CASE WHEN {is_given} THEN 'done' WHEN n.premium IS NULL THEN 'ownerless'
                    WHEN c.premium IS NULL THEN 'shared' WHEN c.is_taken THEN 'taken'
                    WHEN c.is_young AND NOT c.is_settled THEN 'pending' ELSE 'due' END AS class,
               p.{premium_id}::text AS id, coalesce(c.is_settled, false) AS is_settled
          FROM {premiums} p
          LEFT JOIN (SELECT DISTINCT u.{has} AS premium FROM {users} u) n ON n.premium = p.{premium_id}
          LEFT JOIN (SELECT k.premium, {is_young} AS is_young, {is_settled} AS is_settled,
                            {is_taken} AS is_taken
                       FROM ({chosen}) k JOIN {users} u ON u.{user} = k.id) c ON c.premium = p.{premium_id}
        """,
        is_given=is_given(model, compose("p.{id}", id=model.premium.id)) if is_expanded else raw("false"),
        is_young=sql.is_young(model, grace_seconds),
        is_settled=sql.has_membership(model, user) if is_expanded else raw("false"),
        is_taken=is_taken if is_expanded else raw("false"),
        chosen=chosen(model, raw("true")),
        **parts_of(model),
    )


def shared(connection: Connection, model: Model) -> list[dict[str, t.Any]]:
    """Premiums that several users have: id, how many, and who has the most to say. Reads only."""
    found = rows(
        connection,
        compose(
            "SELECT u.{has}::text, count(*), (array_agg(u.{user}::text ORDER BY {rank}))[1] FROM {users} u"
            " WHERE u.{has} IS NOT NULL GROUP BY u.{has} HAVING count(*) > 1 ORDER BY u.{has} LIMIT {most}",
            rank=_rank(model, "u"),
            most=value(LISTED),
            **parts_of(model),
        ),
    )
    return [{"premium": key, "users": number, "first": first} for key, number, first in found]


def is_strange(model: Model) -> Composable:
    """Whether users have the premium of organization ``o``, and none of them is a member there."""
    return compose(
        "o.{gets} IS NOT NULL AND EXISTS (SELECT 1 FROM {users} x WHERE x.{has} = o.{gets})"
        " AND NOT EXISTS (SELECT 1 FROM {users} x JOIN {members} m ON m.{member_user} = x.{user}"
        " AND m.{member_organization} = o.{organization} WHERE x.{has} = o.{gets})",
        **parts_of(model),
    )


def strangers(connection: Connection, model: Model, only_ours: bool) -> list[str]:
    """Organizations with a stranger's premium; of those that we made, or of all. Reads only."""
    ours = sql.is_ours(compose("o.{id}", id=model.organizations.id)) if only_ours else raw("true")
    found = rows(
        connection,
        compose(
            "SELECT o.{organization}::text FROM {organizations} o WHERE {ours} AND {strange}"
            " ORDER BY o.{organization} LIMIT {most}",
            ours=ours,
            strange=is_strange(model),
            most=value(_MOST),
            **parts_of(model),
        ),
    )
    return [key for (key,) in found]


def free(connection: Connection, model: Model, keys: t.Sequence[str]) -> list[tuple[str, str]]:
    """Take the strangers' premiums away, in the caller's transaction; organization and premium of each."""
    if not keys:
        return []
    found = rows(
        connection,
        compose(
            "WITH held AS MATERIALIZED (SELECT o.{organization} AS id, o.{gets} AS premium"
            " FROM {organizations} o WHERE o.{organization} = ANY({keys}) AND {strange}"
            " FOR NO KEY UPDATE OF o SKIP LOCKED)"
            " UPDATE {organizations} o SET {gets} = NULL FROM held WHERE o.{organization} = held.id"
            " RETURNING held.id::text, held.premium::text",
            keys=values(keys),
            strange=is_strange(model),
            **parts_of(model),
        ),
    )
    return list(found)


def hand_over(model: Model, giver: str, receiver: str) -> tuple[Composable, ...]:
    """The premium of one organization to another that has none, in the caller's transaction."""
    parts = dict(parts_of(model), giver=value(giver), receiver=value(receiver))
    return (
        compose(
            "UPDATE {organizations} o SET {gets} = g.{gets} FROM {organizations} g"
            " WHERE g.{organization} = {giver} AND o.{organization} = {receiver} AND o.{gets} IS NULL",
            **parts,
        ),
        compose("UPDATE {organizations} o SET {gets} = NULL WHERE o.{organization} = {giver}", **parts),
    )


def of_user(connection: Connection, model: Model, user: str) -> list[str]:
    """The premium a user has, as a list of one or none."""
    found = rows(
        connection,
        compose(
            "SELECT u.{has}::text FROM {users} u WHERE u.{user} = {one} AND u.{has} IS NOT NULL",
            one=value(user),
            **parts_of(model),
        ),
    )
    return [key for (key,) in found]


def lines(model: Model, found: t.Sequence[t.Mapping[str, t.Any]], shown: int) -> list[str]:
    """The shared premiums for people, and what becomes of each."""
    fate = _FATES[sharing_of(model).policy]
    told = [f"{one['premium']}: {one['users']:,} users, {fate.format(one['first'])}" for one in found[:shown]]
    rest = len(found) - shown
    at_least = "at least " if len(found) >= LISTED else ""
    return [*told, f"and {at_least}{rest:,} more"] if rest > 0 else told
