# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes down when each play and task of a run began and ended, a line of JSON an event."""

from __future__ import annotations

DOCUMENTATION = """
name: stopwatch
type: aggregate
short_description: When each task began and ended
description: [For the benchmark of rollouts; writes to the file named in STOPWATCH.]
author: [emailai.migration contributors]
options: {}
"""

import json
import os
import time
import typing as t

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "stopwatch"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self._file = open(os.environ["STOPWATCH"], "a", buffering=1)  # noqa: SIM115 - as long as the run

    def _note(self, event: str, name: str = "", host: str = "") -> None:
        line = {"at": time.time(), "event": event, "name": name, "host": host}
        self._file.write(json.dumps(line) + "\n")

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        self._note("play", play.get_name())

    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        self._note("task", task.name)

    def v2_runner_on_start(self, host: t.Any, task: t.Any) -> None:
        self._note("begin", task.name, host.get_name())

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._note("end", result.task.name, result.host.get_name())

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._note("end", result.task.name, result.host.get_name())

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        self._note("skip", result.task.name, result.host.get_name())

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        self._note("over")
