# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which passes a model needs, in the order that makes each find what the one before made."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._tenancy import batches, giving, joining

if t.TYPE_CHECKING:
    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Model

Pass = t.Union[batches.Task, giving.Giving, joining.Joining]


def passes(model: Model, grace_seconds: float) -> list[Pass]:
    found: list[Pass] = [batches.Task(model, link, grace_seconds) for link in (None, *model.links)]
    if model.has_member_accounts:
        found.insert(1, joining.Joining(model))
    if model.sharing:
        # After users and accounts, where the other model has its premiums.
        found.insert(2, giving.Giving(model, grace_seconds))
    return found
