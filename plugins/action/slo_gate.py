# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches on the controller what module slo_gate sees on the hosts, and prints how it goes."""

from __future__ import annotations

import os
import time
import typing as t

from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.utils.display import Display

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._gate import (
    happenings,
    limits,
    options,
    policy,
    provider,
    readiness,
    soak,
)
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import Reading, reading_from
from ansible_collections.emailai.migration.plugins.module_utils._gate.verdict import Question
from ansible_collections.emailai.migration.plugins.plugin_utils._direct import DirectBase

Result = dict[str, t.Any]

_MODULE: t.Final = "emailai.migration.slo_gate"


class ActionModule(DirectBase):
    """``slo_gate`` seen from the controller."""

    def run(self, tmp: str | None = None, task_vars: Result | None = None) -> Result:
        super().run(tmp, task_vars)
        _validation, params = t.cast(t.Any, self).validate_argument_spec(argument_spec=options.ARGUMENTS)
        try:
            return {"changed": False, **self._answer(params, task_vars or {})}
        except MigrationError as exc:
            return {"failed": True, "msg": str(exc), **exc.facts}

    def _answer(self, params: Result, task_vars: Result) -> Result:
        if params["state"] in ("judged", "passed"):
            return self._conclude(params)
        if params["state"] == "checked" and not params["providers"]:
            return {"readiness": readiness.lines([], [])}  # open lines, each with its contact
        question, plan = _question(params), _plan(params)
        world = _Hosts(self, params, task_vars)
        if params["state"] == "checked":
            return {"readiness": readiness.lines(world.look(), params["providers"])}
        if self._task.check_mode:
            return readiness.preview(world.look(), question, plan)
        if params["state"] == "baseline":
            seconds = 0.0 if params["figures_from"] == "history" else params["soak_seconds"]
            return soak.observe(world, seconds, plan, question)
        return soak.soak(world, question, plan)

    def _conclude(self, params: Result) -> Result:
        judgement = params["judgement"]
        if params["state"] == "judged":
            findings = [policy.finding_from(facts) for facts in judgement.get("findings", [])]
            findings += _told(params)
            answers = policy.unattended_from(params["unattended_action"])
            again = policy.judge(findings, True, params["attended"], answers)
            return {**again.facts(), "findings": [finding.facts() for finding in findings]}
        refusal = policy.refusal(judgement)
        if refusal is not None and not self._task.check_mode:
            raise refusal
        return {}

    def on_host(self, host: str, task_vars: Result) -> tuple[ActionModule, Result]:
        """This action with a connection to another host, as that host's own variables describe it."""
        variables = task_vars["hostvars"][host]
        task = self._task.copy()
        task.delegate_to = None
        context = self._play_context.set_task_and_variable_override(
            task=task, variables=variables, templar=self._templar
        )
        context.remote_addr = variables.get("ansible_host", host)
        connection = self._shared_loader_obj.connection_loader.get(
            variables.get("ansible_connection", task.connection),
            context,
            new_stdin=None,
            task_uuid=task._uuid,
            ansible_playbook_pid=str(os.getppid()),
        )
        if boolean(variables.get("ansible_become", task.become or False)):
            method = variables.get("ansible_become_method", task.become_method or "sudo")
            become = self._shared_loader_obj.become_loader.get(method)
            become.set_options(task_keys=task.dump_attrs(), var_options=variables)
            connection.set_become_plugin(become)
        keys = {name: value for name, value in task.dump_attrs().items() if name != "retries"}
        connection.set_options(
            task_keys={**keys, "timeout": context.timeout, "password": context.password},
            var_options=connection._resolve_option_variables(variables, self._templar),
        )
        connection._shell.set_options(task_keys=keys, var_options=variables)
        action = type(self)(task, connection, context, self._loader, self._templar, self._shared_loader_obj)
        interpreter = {"ansible_python_interpreter", "ansible_delegated_vars"}
        own = {name: value for name, value in task_vars.items() if name not in interpreter}
        own["ansible_facts"] = dict(variables.get("ansible_facts", {}))
        if "ansible_python_interpreter" in variables:
            own["ansible_python_interpreter"] = variables["ansible_python_interpreter"]
        return action, own


class _Hosts:
    """The world of a watch: the providers on their hosts, a clock, and the screen."""

    def __init__(self, action: ActionModule, params: Result, task_vars: Result) -> None:
        self.action = action
        self.params = params
        self.task_vars = task_vars
        self.here = action._task.delegate_to or task_vars.get("inventory_hostname", "")
        self.since: dict[str, float] = {}
        self.positions: Result = {}
        self.reached: dict[str, tuple[ActionModule, Result]] = {}

    def look(self) -> list[Reading]:
        hosts: dict[str, list[Result]] = {}
        for description in self.params["providers"]:
            hosts.setdefault(description.get("host") or self.here, []).append(description)
        return [reading for host, providers in hosts.items() for reading in self._look_at(host, providers)]

    def _look_at(self, host: str, providers: list[Result]) -> list[Reading]:
        since = self.since.get(host, self.params["since"])
        arguments = {
            **_given(self.params),
            "providers": [_given(description) for description in providers],
            "positions": {name: self.positions.get(name, {}) for name in map(provider.name_of, providers)},
            "since": since,
        }
        try:
            action, task_vars = self._reach(host)
            result = action._execute_module(module_name=_MODULE, module_args=arguments, task_vars=task_vars)
        except AnsibleError as exc:
            # Not reached is not bad: these providers are dead, the others are not.
            result = {"msg": f"{host} cannot be reached: {exc}"}
        if "readings" not in result:
            error = str(result.get("msg", f"the module failed on {host}"))
            return [Reading(provider.name_of(d), d["kind"], error=error) for d in providers]
        self.since.setdefault(host, result["since"])
        readings = [reading_from(packed) for packed in result["readings"]]
        self.positions.update({reading.name: reading.position for reading in readings})
        return readings

    def _reach(self, host: str) -> tuple[ActionModule, Result]:
        if host == self.here:
            return self.action, self.task_vars
        if host not in self.reached:
            self.reached[host] = self.action.on_host(host, self.task_vars)
        return self.reached[host]

    def clock(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def say(self, line: str) -> None:
        Display().display(line, color="cyan")


def _given(options: Result) -> Result:
    """Without what was not set: the module's own spec refuses a None that the validation here put in."""
    return {name: value for name, value in options.items() if value is not None}


def _told(params: Result) -> list[policy.Finding]:
    """What somebody else has seen: the verifier, or users. Who asks the one does not want the other."""
    number, answers = params["complaints"], params["integrity"]
    found = happenings.integrity(answers or [])
    if answers is None or number is not None:
        found += happenings.complaints(number, limits.limits_from(params["limits"]))
    return found


def _question(params: Result) -> Question:
    if not params["providers"]:
        raise MigrationError("watch", "the service", "no provider is named", "Set providers", kind="gate")
    for description in params["providers"]:
        provider.make(description)
    provider.refuse_strangers(params["providers"])
    return Question(
        limits=limits.limits_from(params["limits"]),
        members=tuple(params["members"]),
        others=tuple(params["others"]),
        window_seconds=params["window_seconds"],
        minimum_requests=params["minimum_requests"],
        baseline=params["baseline"],
    )


def _plan(params: Result) -> soak.Plan:
    is_past = params["since"] is not None
    return soak.Plan(
        soak_seconds=params["soak_seconds"],
        poll_seconds=params["poll_seconds"],
        already_seconds=max(0.0, time.time() - params["since"]) if is_past else 0.0,
        is_attended=params["attended"],
        unattended=policy.unattended_from(params["unattended_action"]),
    )
