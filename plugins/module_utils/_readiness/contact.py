# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom to ask when a thing of some kind is not as it should be."""

from __future__ import annotations

import typing as t

TITLES: t.Final = {
    "dba": "the DBA on call",
    "engineering_lead": "the engineering lead",
    "product_manager": "the product manager",
    "cto": "the CTO",
}

_IN_CHARGE: t.Final = {
    "database": "dba",
    "storage": "dba",
    "balancer": "engineering_lead",
    "app": "engineering_lead",
    "gate": "engineering_lead",
    "person": "product_manager",
    "message": "product_manager",
    "window": "product_manager",
}


def in_charge(kind: str) -> str:
    """The contact's key; what is of no known kind is escalated."""
    return _IN_CHARGE.get(kind, "cto")


def name(kind: str, contacts: t.Mapping[str, t.Any]) -> str:
    """The person with the title, or the title alone where nobody is named."""
    key = in_charge(kind)
    person = str(contacts.get(key) or "").strip()
    return f"{TITLES[key]}, {person}" if person else TITLES[key]
