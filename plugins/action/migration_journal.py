# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says which controller calls, and waits on the controller while somebody else holds the run."""

from __future__ import annotations

import os
import time
import typing as t

from ansible.utils.display import Display

from ansible_collections.emailai.migration.plugins.module_utils._journal import controller, failure
from ansible_collections.emailai.migration.plugins.plugin_utils._direct import DirectBase

_POLL_SECONDS = 2.0
_LINE_SECONDS = 5.0

Result = dict[str, t.Any]


class ActionModule(DirectBase):
    """``migration_journal`` seen from the controller."""

    def run(self, tmp: t.Optional[str] = None, task_vars: t.Optional[Result] = None) -> Result:
        super().run(tmp, task_vars)
        # Each task runs in a child of ansible-playbook; the parent is what lives as long as the run.
        here = controller.identify(os.getppid())
        arguments = dict(self._task.args, controller=here)
        if arguments.get("failure") is not None:
            arguments["failure"] = failure.reduce(arguments["failure"])
        wait = float(arguments.get("wait_seconds", 14400))
        return self._attach(arguments, task_vars or {}, here, time.monotonic() + wait)

    def _attach(self, arguments: Result, task_vars: Result, here: Result, deadline: float) -> Result:
        """Ask again until the lease is ours, its holder's work is done, or patience ends."""
        spoken = 0.0
        while True:
            result: Result = self._execute_module(
                module_name="emailai.migration.migration_journal", module_args=arguments, task_vars=task_vars
            )
            if not result.get("attached"):
                return result
            holder = result["holder"]
            if controller.is_known_dead(holder["controller"], here):
                arguments["dead_epoch"] = holder["epoch"]
                continue
            if time.monotonic() >= deadline:
                return dict(result, failed=True, msg=_gave_up(holder))
            if time.monotonic() - spoken >= _LINE_SECONDS:
                Display().display(f"Waiting for {holder['text']}, in phase {holder['phase']}", color="cyan")
                spoken = time.monotonic()
            time.sleep(_POLL_SECONDS)


def _gave_up(holder: Result) -> str:
    return (
        f"Cannot take over run {holder['run_id']}: {holder['text']} still holds it."
        " Wait longer, or take the run back with playbooks/roll_back.yml, which does not wait."
    )
