# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a user without organization belongs: in one of his own, or in the team that shares his premium.

A team's organization is a function of the premium. Who has the most to say of those who share it is
OWNER, the others get the default role. It is founded only while that one is free to join; who shares a
premium with somebody that has an organization already gets his own, and the premium is listed.
"""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    raw,
    value,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import premiums, sql

if t.TYPE_CHECKING:
    from psycopg2.sql import Composable

    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Model


def placed(model: Model, people: Composable, is_expanded: bool = True) -> Composable:
    """Each of ``people`` and where he belongs: the rows that ``sql.create`` expects."""
    if not model.has_teams:
        return sql.by_themselves(model, people)
    team = sql.team_of(raw("x.premium"))
    return compose(
        """
        WITH asked AS MATERIALIZED ({people})
        SELECT a.id, a.born, CASE WHEN c.premium IS NULL THEN {home} ELSE c.team END AS home,
               CASE WHEN c.head <> a.id THEN {role} ELSE {owner} END AS role,
               coalesce(c.premium::text, a.id::text) AS founder,
               CASE WHEN c.premium IS NULL THEN a.name ELSE c.called END AS called,
               CASE WHEN c.premium IS NULL THEN a.email ELSE c.reached END AS reached,
               CASE WHEN c.premium IS NULL THEN a.born ELSE c.since END AS since
          FROM asked a
          LEFT JOIN (
              SELECT x.premium, x.id AS head, x.name AS called, x.email AS reached, x.born AS since,
                     {team} AS team
                FROM ({heads}) x WHERE x.size > 1 AND ({is_free} OR {stands})
          ) c ON c.premium = a.premium
        """,
        home=sql.organization_of(raw("a.id")),
        role=value(model.roles.default),
        owner=value(model.roles.owner),
        people=people,
        team=team,
        # Only of the premiums that are asked about: a batch must not cost what all users cost.
        heads=premiums.heads(
            model,
            compose("u.{has} IN (SELECT premium FROM asked)", has=premiums.sharing_of(model).user),
        ),
        is_free=compose("NOT {has}", has=sql.has_membership(model, raw("x.id")))
        if is_expanded
        else raw("true"),
        stands=_stands(model, team) if is_expanded else raw("false"),
    )


def placed_at_once(model: Model, people: Composable) -> Composable:
    """The same for the one user of a sign-up, who joins a team that stands and founds none.

    He reads one organization by its key and nobody else's row. Without regard to the policy, which the
    checks of the trigger do not know: under another one no team stands.
    """
    if not model.sharing:
        return sql.by_themselves(model, people)
    team = sql.team_of(raw("p.premium"))
    return compose(
        "SELECT a.id, a.born, coalesce(a.team, {home}) AS home,"
        " CASE WHEN a.team IS NULL THEN {owner} ELSE {role} END AS role, a.id::text AS founder,"
        " a.name AS called, a.email AS reached, a.born AS since"
        " FROM (SELECT p.*, CASE WHEN {stands} THEN {team} END AS team FROM ({people}) p) a",
        home=sql.organization_of(raw("a.id")),
        owner=value(model.roles.owner),
        role=value(model.roles.default),
        stands=_stands(model, team),
        team=team,
        people=people,
    )


def _stands(model: Model, team: Composable) -> Composable:
    return compose(
        "EXISTS (SELECT 1 FROM {organizations} o WHERE o.{id} = {team})",
        organizations=model.at(model.organizations.table),
        id=model.organizations.id,
        team=team,
    )
