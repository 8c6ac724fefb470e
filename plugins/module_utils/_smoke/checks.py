# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check by name, in the order of a visit. Touches nothing."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._smoke import daily, together
from ansible_collections.emailai.migration.plugins.module_utils._smoke.visit import Visit

Check = t.Callable[[Visit], str]
CHECKS: t.Final[dict[str, Check]] = {
    check.__name__: check
    for check in (
        daily.log_in,
        together.organization_page,
        together.organization_name,
        daily.accounts,
        together.organization_accounts,
        daily.account_open,
        daily.switch,
        daily.mail,
        together.members,
        together.invite,
        together.billing_view,
        together.roles,
        together.transfer,
        daily.old_rules,
        daily.new_rule,
        daily.rules_run,
        daily.subscription,
        together.seats,
        together.limits,
    )
}
