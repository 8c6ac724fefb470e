# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects an organization model consists of, in the order they can be made; nothing of the world."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._postgres.names import distinct, object_name

if t.TYPE_CHECKING:
    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Model

TIME: t.Final = "timestamp(3) without time zone"


@dataclass(frozen=True)
class Enum:
    name: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Field:
    name: str
    type: str
    is_required: bool = True
    default: str = ""
    fits: tuple[str, ...] = ()  # other types of a column found there that serve as well


@dataclass(frozen=True)
class NewTable:
    name: str
    primary: str
    primary_name: str
    fields: tuple[Field, ...]
    filled: tuple[str, ...] = ()


@dataclass(frozen=True)
class NewColumn:
    table: str
    field: Field


@dataclass(frozen=True)
class NewIndex:
    name: str
    table: str
    columns: tuple[str, ...]
    is_unique: bool


@dataclass(frozen=True)
class NewKey:
    """``on_delete`` is RESTRICT; for memberships of a deleted user only CASCADE; SET NULL where the old
    release deletes the target."""

    name: str
    table: str
    column: str
    target: str
    target_column: str
    on_delete: str


Wanted = t.Union[Enum, NewTable, NewColumn, NewIndex, NewKey]


def expanded(model: Model, subject_type: str, role_type: str, premium_type: str) -> list[Wanted]:
    """Everything but the indexes on the link columns, which come after the data.

    The types are SQL as the server spells it: of the id of those who are members, of the roles and of
    the premiums' id.
    """
    organization, member, names = model.organizations, model.members, _names(model)
    wanted: list[Wanted] = [
        *([Enum(model.roles.type, model.roles.labels)] if model.roles.type else []),
        NewTable(
            organization.table,
            organization.id,
            names["organization", "pkey"],
            (
                Field(organization.id, "text"),
                Field(organization.name, "text"),
                Field(organization.slug, "text"),
                *_times(organization.created_at, organization.updated_at),
                *_premium_field(model, premium_type),
            ),
            tuple(organization.fill),
        ),
        NewIndex(names["organization", "slug"], organization.table, (organization.slug,), True),
        NewTable(
            member.table,
            member.id,
            names["member", "pkey"],
            (
                Field(member.id, "text"),
                Field(member.subject, subject_type),
                Field(member.organization, "text"),
                Field(member.role, role_type, default=model.roles.default),
                *_times(member.created_at, member.updated_at),
            ),
            tuple(member.fill),
        ),
        *_member_indexes(model, names),
        _key(names["member", "organization"], member.table, member.organization, model),
        NewKey(names["member", "subject"], member.table, member.subject, *model.subject, "CASCADE"),
    ]
    for link in model.links:
        wanted.append(NewColumn(link.table, Field(link.organization, "text", is_required=False)))
        wanted.append(_key(names[link.name, "fkey"], link.table, link.organization, model))
    # A row's own row is looked up from above when that changes hands.
    wanted += [
        NewIndex(names[link.name, "owner"], link.table, (link.owner,), False)
        for link in model.links
        if link.owner_in
    ]
    return wanted + _shared_premiums(model, names)


def indexed(model: Model) -> list[NewIndex]:
    names = _names(model)
    return [
        NewIndex(names[link.name, "idx"], link.table, (link.organization,), False) for link in model.links
    ]


def _member_indexes(model: Model, names: t.Mapping[t.Any, str]) -> list[Wanted]:
    """An account is a member of one organization, and its user's accounts are looked up for each batch."""
    member = model.members
    if model.has_member_accounts:
        return [
            NewIndex(names["member", "pair"], member.table, (member.organization, member.account), True),
            NewIndex(names["member", "sole"], member.table, (member.account,), True),
            NewIndex(names["accounts", "owner"], model.accounts.table, (model.accounts.owner,), False),
        ]
    return [
        NewIndex(names["member", "pair"], member.table, (member.user, member.organization), True),
        NewIndex(names["member", "idx"], member.table, (member.organization,), False),
    ]


def _premium_field(model: Model, premium_type: str) -> list[Field]:
    if model.sharing is None:
        return []
    return [Field(model.sharing.organization, premium_type, is_required=False)]


def _shared_premiums(model: Model, names: t.Mapping[t.Any, str]) -> list[Wanted]:
    """The key of the link, and the indexes by which who has a premium is found: needed before the data."""
    sharing, premium, organizations = model.sharing, model.premium, model.organizations.table
    if sharing is None:
        return []
    return [
        NewKey(
            names["sharing", "fkey"],
            organizations,
            sharing.organization,
            premium.table,
            premium.id,
            "SET NULL",
        ),
        NewIndex(names["sharing", "idx"], organizations, (sharing.organization,), False),
        NewIndex(names["sharing", "users"], model.users.table, (sharing.user,), False),
    ]


def _times(*columns: str) -> tuple[Field, ...]:
    created, *updated = [column for column in columns if column]
    fits = ("timestamp without time zone", "timestamp with time zone", "timestamp(3) with time zone")
    return (
        Field(created, TIME, default="now", fits=fits),
        *(Field(column, TIME, fits=fits) for column in updated),
    )


def _key(name: str, table: str, column: str, model: Model) -> NewKey:
    return NewKey(name, table, column, model.organizations.table, model.organizations.id, "RESTRICT")


def _names(model: Model) -> dict[t.Any, str]:
    organization, member = model.organizations, model.members
    names: dict[t.Hashable, str] = {
        ("organization", "pkey"): object_name(organization.table, (), "pkey"),
        ("organization", "slug"): object_name(organization.table, (organization.slug,), "key"),
        ("member", "pkey"): object_name(member.table, (), "pkey"),
        ("member", "organization"): object_name(member.table, (member.organization,), "fkey"),
        ("member", "subject"): object_name(member.table, (member.subject,), "fkey"),
    }
    if model.has_member_accounts:
        pair, owner = (member.organization, member.account), (model.accounts.owner,)
        names["member", "sole"] = object_name(member.table, (member.account,), "key")
        names["accounts", "owner"] = object_name(model.accounts.table, owner, "idx")
    else:
        pair = (member.user, member.organization)
        names["member", "idx"] = object_name(member.table, (member.organization,), "idx")
    names["member", "pair"] = object_name(member.table, pair, "key")
    for link in model.links:
        names[link.name, "fkey"] = object_name(link.table, (link.organization,), "fkey")
        names[link.name, "idx"] = object_name(link.table, (link.organization,), "idx")
        if link.owner_in:
            names[link.name, "owner"] = object_name(link.table, (link.owner,), "idx")
    if model.sharing:
        column = (model.sharing.organization,)
        names["sharing", "fkey"] = object_name(organization.table, column, "fkey")
        names["sharing", "idx"] = object_name(organization.table, column, "idx")
        names["sharing", "users"] = object_name(model.users.table, (model.sharing.user,), "idx")
    return distinct(names)
