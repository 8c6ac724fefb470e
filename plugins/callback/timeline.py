# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows how a run looks from the keyboard: its phases as they open and close, and what to type."""

from __future__ import annotations

DOCUMENTATION = r"""
name: timeline
type: aggregate
short_description: Show the phases of a migration as they open and close
version_added: 0.1.0
description:
  - Works beside any stdout callback. Prints a line when a phase opens, with what to type to hold it or to
    go back, and a line with its duration when it closes.
  - At the end prints the phases with their seconds, and says so if nothing was changed.
  - Learns of phases from results that carry C(phase_event), a dict of C(phase), C(event) (opened, closed,
    failed or skipped) and C(run_id), as M(emailai.migration.migration_journal) returns them.
author: EmailAI platform engineering (@emailai)
requirements:
  - Named in C(callbacks_enabled) of ansible.cfg.
"""

import functools
import os
import time
import typing as t

from ansible import constants, context
from ansible.plugins.callback import CallbackBase

from ansible_collections.emailai.migration.plugins.module_utils._report.timeline import Timeline, what_to_type

if t.TYPE_CHECKING:
    from ansible.executor.stats import AggregateStats
    from ansible.executor.task_result import CallbackTaskResult

_Method = t.TypeVar("_Method", bound=t.Callable[..., None])


def _never_in_the_way(method: _Method) -> _Method:
    """A view of the run must not end the run: whatever goes wrong in here, the line is missing."""

    @functools.wraps(method)
    def guarded(self: CallbackModule, *args: t.Any, **kwargs: t.Any) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception as exc:
            self._display.vvv(f"timeline: {type(exc).__name__} in {method.__name__}")

    return t.cast(_Method, guarded)


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "emailai.migration.timeline"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self.timeline = Timeline(time.monotonic)

    @_never_in_the_way
    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        self._learn(result)

    @_never_in_the_way
    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        self._learn(result)

    @_never_in_the_way
    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        totals = [stats.summarize(host) for host in sorted(stats.processed)]
        for line in self.timeline.closing_lines(totals, bool(_option("check")), _words()):
            self._display.display(line)

    def _learn(self, result: CallbackTaskResult) -> None:
        event = result.result.get("phase_event")
        if not isinstance(event, t.Mapping):
            return
        for line in self.timeline.learn(event, what_to_type(_words())):
            self._display.display(line)


def _option(name: str) -> t.Any:
    return context.CLIARGS.get(name)


def _words() -> str:
    """The inventory and the side as they were typed, so that what we print can be typed as it stands."""
    sources = [str(source) for source in _option("inventory") or ()]
    if sources == [str(source) for source in vars(constants).get("DEFAULT_HOST_LIST", ())]:
        sources = []  # nobody typed it: it stands in ansible.cfg
    words = [f"-i {_shortest(source)}" for source in sources]
    if _option("subset"):
        words.append(f"-l {_option('subset')}")
    return " ".join(words)


def _shortest(path: str) -> str:
    """Ansible has made the path absolute; under the folder we stand in it is shorter."""
    here = os.getcwd() + os.sep
    return path[len(here) :] if path.startswith(here) else path
