# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which passes a model needs, in the order that makes each find what the one before made."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._tenancy import (
    batches,
    following,
    giving,
    joining,
)

if t.TYPE_CHECKING:
    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Link, Model

Pass = t.Union[batches.Task, giving.Giving, joining.Joining]


def passes(model: Model, grace_seconds: float) -> list[Pass]:
    found: list[Pass] = [batches.Task(model, None, grace_seconds)]
    found += [linking(model, link, grace_seconds) for link in model.owned]
    if model.sharing:
        # After users and accounts, where the other model has its premiums.
        found.insert(2, giving.Giving(model, grace_seconds))
    return found


def linking(model: Model, link: Link, grace_seconds: float) -> batches.Task | joining.Joining:
    """The pass over one kind of what users own."""
    if not link.organization:
        return joining.Joining(model)
    if link.owner_in:
        return following.Following(model, link, grace_seconds)
    return batches.Task(model, link, grace_seconds)
