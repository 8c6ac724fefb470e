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
        "user": "userId",
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

PRESETS: t.Final[dict[str, dict[str, t.Any]]] = {"runbook": RUNBOOK, "emailai": EMAILAI}

# Known models whose links are of another kind than this version can follow.
NOT_YET: t.Final[dict[str, str]] = {
    "inbox_zero": "memberships belong to mailboxes, not to users, and users share a premium",
}
