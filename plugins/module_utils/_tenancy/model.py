# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model map: which table and column plays which part; nothing of the world."""

from __future__ import annotations

import hashlib
import json
import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.presets import PRESETS

Map = t.Dict[str, t.Any]

_RESOURCE_KEYS: t.Final = frozenset({"table", "id", "owner", "organization"})
# A resource may hang on another row than a user's.
_PATH_KEY: t.Final = "owner_in"
_DEPRECATED_KEYS: t.Final = frozenset({"table", "column"})
# Without one of these the model may still work; the map says so with an empty text.
_OPTIONAL: t.Final = frozenset(
    {
        "users.name",
        "accounts.organization",
        *(f"premiums.{key}" for key in ("admin", "tier", "used_seats", "max_seats", "organization")),
        *(f"members.{key}" for key in ("user", "account", "updated_at")),
    }
)
# Which table has the column that leads from user to premium, and which the one to the organization.
_MODES: t.Final = {"owner_in": ("premium", "user"), "link_in": ("premium", "organization", "user")}
_KNOWN_MODES: t.Final = frozenset({("premium", "premium"), ("user", "organization"), ("user", "user")})


@dataclass(frozen=True)
class Users:
    table: str
    id: str
    email: str
    name: str
    created_at: str


@dataclass(frozen=True)
class Link:
    """A table whose rows belong to a user and get an organization: accounts, premiums, resources.

    ``organization`` is the column of the link; accounts that are members themselves have none.
    ``owner`` names a user, or where ``owner_in`` is a table a row of that, whose organization is theirs.
    """

    name: str
    table: str
    id: str
    owner: str
    organization: str
    owner_in: str = ""


@dataclass(frozen=True)
class Premiums:
    table: str
    id: str
    tier: str
    used_seats: str
    max_seats: str


@dataclass(frozen=True)
class Sharing:
    """Premiums that users point at, several at one, and that organizations point at as well.

    ``user`` and ``admin`` are columns of the users, ``organization`` one of the organizations; each
    holds a premium's id. ``policy`` says what becomes of a premium that several users share: report
    (nobody's organization gets it), owner (that of its admin, else of its oldest user) or team (one
    organization for all of them).
    """

    user: str
    admin: str
    organization: str
    policy: str


@dataclass(frozen=True)
class Organizations:
    table: str
    id: str
    name: str
    slug: str
    created_at: str
    updated_at: str
    fill: t.Mapping[str, t.Any]


@dataclass(frozen=True)
class Members:
    """Who is a member: a user, or in some models each of his accounts. The other of the two has no name."""

    table: str
    id: str
    user: str
    account: str
    organization: str
    role: str
    created_at: str
    updated_at: str
    fill: t.Mapping[str, t.Any]

    @property
    def subject(self) -> str:
        return self.account or self.user


@dataclass(frozen=True)
class Roles:
    """``type`` is the name of an enum; empty where a role is plain text."""

    type: str
    labels: tuple[str, ...]
    owner: str
    default: str


@dataclass(frozen=True)
class Deprecated:
    table: str
    column: str


@dataclass(frozen=True)
class Model:
    schema: str
    release_mark: str
    users: Users
    organizations: Organizations
    members: Members
    roles: Roles
    premium: Premiums
    sharing: Sharing | None
    owned: tuple[Link, ...]
    reverse: tuple[str, ...]
    deprecated: tuple[Deprecated, ...]
    digest: str

    @property
    def accounts(self) -> Link:
        return self.owned[0]

    @property
    def links(self) -> tuple[Link, ...]:
        """Of what users own, the tables that get a column."""
        return tuple(link for link in self.owned if link.organization)

    def parent(self, link: Link) -> Link:
        """What the rows of a link hang on, where that is not a user."""
        return next(one for one in self.owned if one.table == link.owner_in)

    def children(self, link: Link) -> tuple[Link, ...]:
        return tuple(one for one in self.owned if one.owner_in == link.table)

    def owner_of(self, link: Link) -> tuple[str, str]:
        """Table and key that the owner column of a link names."""
        if link.owner_in:
            return link.owner_in, self.parent(link).id
        return self.users.table, self.users.id

    @property
    def has_member_accounts(self) -> bool:
        """Whether not users are members, but each of their accounts."""
        return bool(self.members.account)

    @property
    def subject(self) -> tuple[str, str]:
        """Table and key of those who are members."""
        if self.has_member_accounts:
            return self.accounts.table, self.accounts.id
        return self.users.table, self.users.id

    @property
    def has_teams(self) -> bool:
        """Whether users who share a premium share an organization."""
        return self.sharing is not None and self.sharing.policy == "team"

    @property
    def old_tables(self) -> tuple[str, ...]:
        """Those that are there before the migration."""
        tables = (self.users.table, *(link.table for link in self.owned))
        return (*tables, self.premium.table) if self.sharing else tables

    @property
    def tables(self) -> tuple[str, ...]:
        return (self.organizations.table, self.members.table, *self.old_tables)

    def at(self, table: str) -> tuple[str, str]:
        return (self.schema, table)


def load(preset: str, overrides: Map | None, premium_policy: str = "report") -> Model:
    """The model of a preset with the operator's map laid over it; refuses with every fault at once."""
    if preset not in PRESETS:
        raise MigrationError(
            "use", f"preset {preset}", "there is none of that name", f"Known: {', '.join(PRESETS)}"
        )
    faults: list[str] = []
    whole = _laid_over(PRESETS[preset], overrides or {}, "", faults)
    faults += _list_faults("resources", whole["resources"], _RESOURCE_KEYS)
    faults += _list_faults("deprecated", whole["deprecated"], _DEPRECATED_KEYS)
    if not faults:
        faults += _value_faults(whole)
    if faults:
        raise MigrationError(
            "use", "the model map", "; ".join(faults), "docs/model_map.md lists every key", differences=faults
        )
    return _build(whole, premium_policy)


def _laid_over(base: Map, over: t.Mapping[str, t.Any], path: str, faults: list[str]) -> Map:
    result = dict(base)
    for key, content in over.items():
        where = f"{path}{key}"
        if key not in base and not path.endswith("fill."):
            faults.append(f"{where} is no key of the map")
        elif key != "fill" and isinstance(base.get(key), dict):
            if isinstance(content, dict):
                result[key] = _laid_over(base[key], content, f"{where}.", faults)
            else:
                faults.append(f"{where} must hold keys of its own")
        else:
            result[key] = content
    return result


def _list_faults(name: str, parts: t.Any, keys: frozenset[str]) -> list[str]:
    if not isinstance(parts, list):
        return [f"{name} must be a list"]
    faults = []
    for number, part in enumerate(parts, 1):
        if (
            not isinstance(part, dict)
            or set(part) - {_PATH_KEY} != keys
            or (_PATH_KEY in part and keys != _RESOURCE_KEYS)
        ):
            faults.append(f"{name} {number} needs exactly {', '.join(sorted(keys))}")
        else:
            faults += [
                f"{name} {number}: {key} is not a name" for key, text in part.items() if not _is_name(text)
            ]
    return faults


def _value_faults(whole: Map) -> list[str]:
    parts = ("users", "accounts", "premiums", "organizations", "members")
    faults = [fault for part in parts for fault in _name_faults(part, whole[part])]
    if not faults:
        faults += _premium_faults(whole) + _member_faults(whole)
    if not _is_name(whole["schema"]):
        faults.append("schema is not a name of at most 63 bytes")
    roles = whole["roles"]
    if roles["owner"] not in roles["labels"] or roles["default"] not in roles["labels"]:
        faults.append("roles.owner and roles.default must be among roles.labels")
    if not whole["release_mark"]:
        faults.append("release_mark must not be empty: every session would count as the new release's")
    tables = [whole[part]["table"] for part in ("users", "accounts", "premiums", "organizations", "members")]
    tables += [resource["table"] for resource in whole["resources"]]
    if len(set(tables)) != len(tables):
        faults.append("two parts of the map name the same table")
    return faults + _path_faults(whole) + _reverse_faults(whole)


def _path_faults(whole: Map) -> list[str]:
    known = [whole["accounts"]["table"]]
    if whole["premiums"]["link_in"] == "premium":
        known.append(whole["premiums"]["table"])
    faults = []
    for number, resource in enumerate(whole["resources"], 1):
        if resource.get(_PATH_KEY, known[0]) not in known:
            faults.append(
                f"resources {number}: {_PATH_KEY} names neither the accounts nor a part before it that is"
                f" linked itself ({', '.join(known)}); leave it out where the owner is a user"
            )
        known.append(resource["table"])
    return faults


def _reverse_faults(whole: Map) -> list[str]:
    known = [] if whole["premiums"]["link_in"] == "user" else ["premiums"]
    if whole["members"]["user"]:
        known.append("accounts")
    if isinstance(whole["reverse"], list) and all(part in known for part in whole["reverse"]):
        return []
    return [f"reverse lists parts that get an organization here: {', '.join(known) or 'none does'}"]


def _name_faults(part: str, whole: Map) -> list[str]:
    faults = []
    for key, content in whole.items():
        if key in _MODES:
            if content not in _MODES[key]:
                faults.append(f"{part}.{key} is none of {', '.join(_MODES[key])}")
        elif key != "fill" and not _is_name(content, f"{part}.{key}" in _OPTIONAL):
            faults.append(f"{part}.{key} is not a name of at most 63 bytes")
    return faults


def _premium_faults(whole: Map) -> list[str]:
    premium, users, organization = whole["premiums"], whole["users"], whole["organizations"]
    if (premium["owner_in"], premium["link_in"]) not in _KNOWN_MODES:
        return [
            "premiums.owner_in and premiums.link_in are both premium, both user, or user and organization;"
            f" {premium['owner_in']} and {premium['link_in']} do not go together"
        ]
    if premium["link_in"] == "user":
        return [
            f"premiums.{key} must be empty: premiums stay with their users"
            for key in ("organization", "admin", "used_seats", "max_seats")
            if premium[key]
        ]
    if not premium["organization"]:
        return ["premiums.organization is not a name of at most 63 bytes"]
    if premium["owner_in"] == "premium":
        return (
            ["premiums.admin is a column of users, who point at no premium here"] if premium["admin"] else []
        )
    faults = []
    others = [content for key, content in users.items() if key != "table"]
    if premium["owner"] in (premium["admin"], *others):
        faults.append("premiums.owner is a column of users that plays another part")
    taken = [content for key, content in organization.items() if key not in ("table", "fill")]
    taken += organization["fill"]
    if premium["organization"] in taken:
        faults.append("premiums.organization is a column of organizations that plays another part")
    return faults


def _member_faults(whole: Map) -> list[str]:
    member, accounts = whole["members"], whole["accounts"]
    if bool(member["user"]) == bool(member["account"]):
        return ["one of members.user and members.account names the column, the other is empty"]
    if bool(member["user"]) == bool(accounts["organization"]):
        return []
    if member["user"]:
        return ["accounts.organization is not a name of at most 63 bytes"]
    return ["accounts.organization must be empty: with members.account, the membership is the link"]


def _is_name(content: t.Any, may_be_empty: bool = False) -> bool:
    if not isinstance(content, str) or "\x00" in content:
        return False
    return (may_be_empty or content != "") and len(content.encode()) <= 63


def _build(whole: Map, premium_policy: str) -> Model:
    premium = whole["premiums"]
    own = {key: premium[key] for key in ("table", "id", "tier", "used_seats", "max_seats")}
    roles = dict(whole["roles"], labels=tuple(whole["roles"]["labels"]))
    owned = [Link(name="accounts", **whole["accounts"])]
    sharing = None
    digested = whole
    if premium["link_in"] == "premium":
        owned.append(Link(name="premiums", **{key: premium[key] for key in _RESOURCE_KEYS}))
    elif premium["link_in"] == "organization":
        sharing = Sharing(premium["owner"], premium["admin"], premium["organization"], premium_policy)
        digested = dict(whole, premium_policy=premium_policy)
    owned += [Link(name=f"resource {resource['table']}", **resource) for resource in whole["resources"]]
    return Model(
        schema=whole["schema"],
        release_mark=whole["release_mark"],
        users=Users(**whole["users"]),
        organizations=Organizations(**whole["organizations"]),
        members=Members(**whole["members"]),
        roles=Roles(**roles),
        premium=Premiums(**own),
        sharing=sharing,
        owned=tuple(owned),
        reverse=tuple(whole["reverse"]),
        deprecated=tuple(Deprecated(**one) for one in whole["deprecated"]),
        digest=hashlib.sha256(json.dumps(digested, sort_keys=True).encode()).hexdigest(),
    )
