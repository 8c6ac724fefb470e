# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way round: columns that only the old release reads, kept true while the new one writes.

What the new release gives to an organization belongs, for the old release, to
that organization's OWNER. So the old release can come back without loss. Its
own writes are never corrected here: it alone knows what it means by them.
"""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import compose, value
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import premiums, sql

if t.TYPE_CHECKING:
    from psycopg2.sql import Composable

    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Link, Model


def head_of(model: Model, organization: Composable) -> Composable:
    """The user who is OWNER of an organization, of several the oldest."""
    return compose(
        "(SELECT h.{user} FROM {members} h WHERE h.{belongs_to} = {organization} AND h.{role}::text = {owner}"
        " ORDER BY h.{born}, h.{id} LIMIT 1)",
        organization=organization,
        **_parts(model),
    )


def _parts(model: Model) -> dict[str, t.Any]:
    member = model.members
    return {
        "members": model.at(member.table),
        "user": member.user,
        "belongs_to": member.organization,
        "role": member.role,
        "born": member.created_at,
        "id": member.id,
        "owner": value(model.roles.owner),
    }


def own(model: Model, link: Link) -> Composable:
    """For the body of a trigger before a write: row NEW of an organization to its OWNER.

    One that has a user already is his, unless the new release says otherwise.
    """
    return compose(
        "BEGIN IF NEW.{column} IS NULL OR (NOT {belongs}"
        " AND starts_with(current_setting('application_name', true), {mark})) THEN"
        " NEW.{column} := coalesce({head}, NEW.{column}); END IF; RETURN NEW; END",
        column=link.owner,
        mark=value(model.release_mark),
        belongs=sql.belongs(
            model,
            compose("NEW.{column}", column=link.owner),
            compose("NEW.{link}", link=link.organization),
        ),
        head=head_of(model, compose("NEW.{link}", link=link.organization)),
    )


def hand_over(model: Model, links: t.Sequence[Link]) -> list[Composable]:
    """After OLD ceased to be OWNER: what his organization has of his goes to who is OWNER now."""
    head = head_of(model, compose("OLD.{belongs_to}", **_parts(model)))
    still = compose(
        "EXISTS (SELECT 1 FROM {members} s WHERE s.{belongs_to} = OLD.{belongs_to} AND s.{user} = OLD.{user}"
        " AND s.{role}::text = {owner})",
        **_parts(model),
    )
    statements = [
        compose(
            "UPDATE {table} t SET {column} = {head} FROM (SELECT c.{key} AS key FROM {table} c"
            " WHERE c.{link} = OLD.{belongs_to} AND c.{column} = OLD.{user}"
            " FOR NO KEY UPDATE SKIP LOCKED) held"
            " WHERE t.{key} = held.key AND NOT {still} AND {head} IS NOT NULL;",
            table=model.at(link.table),
            key=link.id,
            link=link.organization,
            column=link.owner,
            head=head,
            still=still,
            **{name: part for name, part in _parts(model).items() if name not in ("id", "owner")},
        )
        for link in links
    ]
    if model.sharing and premiums.NAME in model.reverse:
        statements.append(
            compose(
                "IF NOT {still} AND {head} IS NOT NULL THEN {move} END IF;",
                still=still,
                head=head,
                move=_move(
                    model,
                    compose("OLD.{user}", **_parts(model)),
                    head,
                    compose("OLD.{belongs_to}", **_parts(model)),
                ),
            )
        )
    return statements


def _move(model: Model, giver: Composable, taker: Composable, organization: Composable) -> Composable:
    """An organization's premium from one user's column to another's, if that is free."""
    parts = premiums.parts_of(model)
    return compose(
        "UPDATE {users} u SET {has} = CASE WHEN u.{user} = {taker} THEN o.{gets} END"
        " FROM {organizations} o WHERE o.{organization} = {of} AND o.{gets} IS NOT NULL"
        " AND u.{user} IN (SELECT x.{user} FROM {users} x WHERE x.{user} IN ({giver}, {taker})"
        " ORDER BY x.{user} FOR NO KEY UPDATE SKIP LOCKED)"
        " AND EXISTS (SELECT 1 FROM {users} g WHERE g.{user} = {giver} AND g.{has} = o.{gets})"
        " AND EXISTS (SELECT 1 FROM {users} k WHERE k.{user} = {taker} AND k.{has} IS NULL);",
        giver=giver,
        taker=taker,
        of=organization,
        **parts,
    )


def bill(model: Model) -> Composable:
    """After the new release gave organization NEW a premium, or took it: so for the OWNER, and the members.

    Only a session with the mark is the new release: the old one and this collection write that column
    as well. A premium that users have already is theirs; a user whom somebody holds is left as he is.
    """
    return compose(
        """
        BEGIN
            IF starts_with(current_setting('application_name', true), {mark}) IS NOT TRUE THEN
                RETURN NULL;
            END IF;
            IF TG_OP = 'UPDATE' THEN
                UPDATE {users} u SET {has} = NULL WHERE u.{user} IN (
                    SELECT x.{user} FROM {users} x JOIN {members} m ON m.{member_user} = x.{user}
                     WHERE m.{member_organization} = NEW.{organization} AND x.{has} = OLD.{gets}
                       FOR NO KEY UPDATE OF x SKIP LOCKED);
            END IF;
            UPDATE {users} u SET {has} = NEW.{gets} WHERE NEW.{gets} IS NOT NULL AND u.{user} = (
                SELECT x.{user} FROM {users} x WHERE x.{user} = {head} AND x.{has} IS NULL
                   AND NOT EXISTS (SELECT 1 FROM {users} y WHERE y.{has} = NEW.{gets})
                   FOR NO KEY UPDATE SKIP LOCKED);
            RETURN NULL;
        END
        """,
        mark=value(model.release_mark),
        head=head_of(model, compose("NEW.{id}", id=model.organizations.id)),
        **premiums.parts_of(model),
    )
