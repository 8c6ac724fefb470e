# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The models this collection knows by name; nothing of the world."""

from __future__ import annotations

import typing as t

# Names as the production runbook writes them. A map given by the operator is
# laid over this; docs/model_map.md explains every key.
RUNBOOK: t.Final[dict[str, t.Any]] = {
    "schema": "public",
    "release_mark": "emailai-orgs",
    "users": {"table": "users", "id": "id", "email": "email", "name": "name", "created_at": "createdAt"},
    "accounts": {"table": "EmailAccount", "id": "id", "owner": "userId", "organization": "organizationId"},
    "premiums": {
        "table": "Premium",
        "id": "id",
        # Which table has the column: the premium its owner's id, or the user his premium's id.
        "owner_in": "premium",
        "owner": "userId",
        "admin": "",
        # The same of the link: the premium its organization's id, or the organization its premium's id.
        "link_in": "premium",
        "organization": "organizationId",
        "tier": "tier",
        "used_seats": "usedSeats",
        "max_seats": "maxSeats",
    },
    "organizations": {
        "table": "Organization",
        "id": "id",
        "name": "name",
        "slug": "slug",
        "created_at": "createdAt",
        "updated_at": "updatedAt",
        "fill": {},
    },
    "members": {
        "table": "OrganizationMember",
        "id": "id",
        # Who is a member: the user, or (account) each of his accounts, which then need no link.
        "user": "userId",
        "account": "",
        "organization": "organizationId",
        "role": "role",
        "created_at": "createdAt",
        "updated_at": "updatedAt",
        "fill": {},
    },
    "roles": {
        "type": "OrganizationRole",
        "labels": ["OWNER", "ADMIN", "MEMBER", "VIEWER"],
        "owner": "OWNER",
        "default": "MEMBER",
    },
    "resources": [],
    # Parts whose column of the old release the new one may leave unwritten: the OWNER's, then.
    "reverse": ["premiums"],
    # Columns that contract drops, as {table, column}. Nothing else is ever dropped.
    "deprecated": [],
}

# Users point at a premium that they may share, and so do organizations.
EMAILAI: t.Final[dict[str, t.Any]] = {
    **RUNBOOK,
    "users": {**RUNBOOK["users"], "table": "User"},
    "premiums": {
        "table": "Premium",
        "id": "id",
        "owner_in": "user",
        "owner": "premiumId",
        "admin": "premiumAdminId",
        "link_in": "organization",
        "organization": "premiumId",
        "tier": "tier",
        "used_seats": "",
        "max_seats": "",
    },
}

# Each mailbox is a member, of one organization; a premium stays with the users who share it.
INBOX_ZERO: t.Final[dict[str, t.Any]] = {
    **EMAILAI,
    "accounts": {**RUNBOOK["accounts"], "organization": ""},
    "premiums": {**EMAILAI["premiums"], "admin": "", "link_in": "user", "organization": ""},
    "members": {
        "table": "Member",
        "id": "id",
        "user": "",
        "account": "emailAccountId",
        "organization": "organizationId",
        "role": "role",
        "created_at": "createdAt",
        "updated_at": "",
        "fill": {},
    },
    "reverse": [],
    "roles": {"type": "", "labels": ["owner", "admin", "member"], "owner": "owner", "default": "member"},
}

PRESETS: t.Final[dict[str, dict[str, t.Any]]] = {
    "runbook": RUNBOOK,
    "emailai": EMAILAI,
    "inbox_zero": INBOX_ZERO,
}
