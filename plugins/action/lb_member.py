# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``lb_member`` without an interpreter of its own where the host is the controller; in check mode it tells
who would go on serving."""

from __future__ import annotations

import typing as t

from ansible.utils.display import Display

from ansible_collections.emailai.migration.plugins.plugin_utils._direct import DirectAction

Result = dict[str, t.Any]


class ActionModule(DirectAction):
    """``lb_member`` seen from the controller."""

    def run(self, tmp: str | None = None, task_vars: Result | None = None) -> Result:
        answer = super().run(tmp, task_vars)
        capacity = answer.get("capacity")
        if self._task.check_mode and capacity and self._task.args.get("state") == "drained":
            Display().display(
                f"  {self._task.args['member']} would be drained: {capacity['healthy']} of"
                f" {capacity['members']} serve now, {capacity['healthy_after']} meanwhile,"
                f" at least {capacity['minimum']} must."
            )
        return answer
