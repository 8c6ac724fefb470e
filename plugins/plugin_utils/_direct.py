# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module in the task's own process where its host is the controller itself.

Ansible packs a module, starts an interpreter and compiles everything again for each task: about half a
second, of which the work itself is a tenth. Here all of it is loaded already. What must outlive its
command (backup, restore, the data engine) does not come this way.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import sys
import typing as t

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils import basic
from ansible.module_utils.common.json import Direction, get_module_encoder
from ansible.plugins.action import ActionBase

_COLLECTION: t.Final = "emailai.migration."
_MODULES: t.Final = "ansible_collections.emailai.migration.plugins.modules."
# How Ansible itself writes what a module of Python is given and answers.
_PROFILE: t.Final = "legacy"

Result = dict[str, t.Any]


def _load(name: str) -> None:
    with contextlib.suppress(ImportError):
        importlib.import_module(_MODULES + name)


class DirectBase(ActionBase):
    """An action whose modules run in this process if that is the same as where they would have run."""

    def __init_subclass__(cls) -> None:
        """Ansible loads an action once and then makes a process for each task: what is loaded here, none of
        them has to load again. What a module misses it says itself when it is called."""
        super().__init_subclass__()
        _load(cls.__module__.rpartition(".")[2])

    def _execute_module(
        self,
        module_name: str | None = None,
        module_args: Result | None = None,
        tmp: str | None = None,
        task_vars: Result | None = None,
        persist_files: bool = False,
        delete_remote_tmp: bool | None = None,
        wrap_async: bool = False,
        ignore_unknown_opts: bool = False,
    ) -> Result:
        name = module_name or self._task.resolved_action or ""
        if wrap_async or not name.startswith(_COLLECTION) or not self._is_here(task_vars or {}):
            try:
                answer: Result = super()._execute_module(
                    module_name=module_name,
                    module_args=module_args,
                    task_vars=task_vars,
                    persist_files=persist_files,
                    wrap_async=wrap_async,
                    ignore_unknown_opts=ignore_unknown_opts,
                )
            except AnsibleConnectionFailure as exc:
                return self._without_host(exc, task_vars or {})
            return answer
        arguments = dict(self._task.args if module_args is None else module_args)
        self._update_module_args(name, arguments, task_vars or {}, ignore_unknown_opts=ignore_unknown_opts)
        return self._call(name, arguments)

    def _without_host(self, exc: AnsibleConnectionFailure, task_vars: Result) -> Result:
        """Where a play does not give an unreachable host up, not to have reached it is a failure like any
        other: a rescue sees it, and silence is never taken for an answer."""
        if not self._task.ignore_unreachable:
            raise exc
        host = self._task.delegate_to or task_vars.get("inventory_hostname", "the host")
        return {"failed": True, "msg": f"{host} cannot be reached: {str(exc).strip().rstrip('.')}."}

    def _is_here(self, task_vars: Result) -> bool:
        """Same machine, same user, same interpreter, same environment."""
        delegate = self._task.delegate_to
        variables = task_vars.get("ansible_delegated_vars", {}).get(delegate, {}) if delegate else task_vars
        interpreter = self._templar.template(variables.get("ansible_python_interpreter", ""))
        return (
            self._connection.transport == "local"
            and not self._connection.become
            and not any(self._task.environment or [])
            and interpreter == sys.executable
        )

    def _call(self, name: str, arguments: Result) -> Result:
        module = importlib.import_module(_MODULES + name.removeprefix(_COLLECTION))
        encoder = get_module_encoder(_PROFILE, Direction.CONTROLLER_TO_MODULE)
        given = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}, cls=encoder)
        said = io.StringIO()
        basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = given.encode(), _PROFILE
        try:
            with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
                module.main()
        finally:
            # It holds what the module was given, secrets too.
            basic._ANSIBLE_ARGS = basic._ANSIBLE_PROFILE = None
        answer: Result = self._parse_returned_data({"stdout": said.getvalue()}, _PROFILE)
        return answer


class DirectAction(DirectBase):
    """One module, and nothing around it."""

    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: Result | None = None) -> Result:
        super().run(tmp, task_vars)
        return self._execute_module(
            module_args=dict(self._task.args), task_vars=task_vars, wrap_async=bool(self._task.async_val)
        )
