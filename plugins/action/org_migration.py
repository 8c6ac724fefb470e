# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts the data migration on its host, and shows a line of progress until it ends."""

from __future__ import annotations

import time
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

# Well below the five seconds within which a line must appear.
_WAIT_SECONDS: t.Final = 3.0
_LOST_SECONDS: t.Final = 120

display = Display()


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        del tmp
        variables = task_vars or {}
        arguments = dict(self._task.args)
        arguments.setdefault("wait_seconds", _WAIT_SECONDS)
        answer = self._once(arguments, variables)
        while not answer.get("failed") and not answer.get("finished", True):
            self._show(answer, variables)
            answer = self._follow(dict(arguments, follow=answer["job"]), variables)
        result.update(answer)
        return result

    def _once(self, arguments: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        answer: dict[str, t.Any] = self._execute_module(
            module_name="emailai.migration.org_migration", module_args=arguments, task_vars=variables
        )
        return answer

    def _follow(self, arguments: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        """The work goes on without us: a host out of reach for a while is asked again, not given up."""
        deadline = time.monotonic() + _LOST_SECONDS
        while True:
            try:
                answer = self._once(arguments, variables)
            except Exception as exc:
                answer = {"unreachable": True, "msg": str(exc)}
            if not answer.get("unreachable") or time.monotonic() >= deadline:
                return answer
            display.display("the host cannot be reached; the work goes on there, asking again in 5 s")
            time.sleep(5)

    def _show(self, answer: dict[str, t.Any], variables: dict[str, t.Any]) -> None:
        host = variables.get("inventory_hostname", "")
        display.display(f"  [{host}] {answer.get('line', '')}")
