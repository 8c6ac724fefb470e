# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts a backup on its host, and shows a line of progress until it ends."""

from __future__ import annotations

import time
import typing as t

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

# Well below the five seconds within which a line must appear.
_LINE_SECONDS: t.Final = 4
_PATIENCE_SECONDS: t.Final = 86400
_LOST_SECONDS: t.Final = 120

Result = dict[str, t.Any]


class ActionModule(ActionBase):
    """The work goes on without us; this only asks how far it is, and hands its result on."""

    module = "emailai.migration.pg_backup"
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: t.Optional[str] = None, task_vars: t.Optional[Result] = None) -> Result:
        result: Result = super().run(tmp, task_vars)
        del tmp
        variables = task_vars or {}
        patience = float(self._task.args.get("wait_seconds", _PATIENCE_SECONDS))
        deadline = time.monotonic() + patience
        arguments = dict(self._task.args, wait_seconds=int(min(_LINE_SECONDS, max(1, patience))))
        while True:
            answer = self._ask(arguments, variables)
            if not answer.get("running") or time.monotonic() >= deadline:
                result.update(answer)
                return result
            Display().display(f"  [{variables.get('inventory_hostname', '')}] {answer['line']}")
            arguments["follow"] = True

    def _ask(self, arguments: Result, variables: Result) -> Result:
        """While the work goes on, a host that is out of reach for a while is asked again, not given up."""
        deadline = time.monotonic() + (_LOST_SECONDS if arguments.get("follow") else 0)
        while True:
            try:
                answer: Result = self._execute_module(
                    module_name=self.module, module_args=arguments, task_vars=variables
                )
                return answer
            except AnsibleConnectionFailure:
                if time.monotonic() >= deadline:
                    raise
            Display().display("  the host cannot be reached; the work goes on there, asking again in 5 s")
            time.sleep(5)
