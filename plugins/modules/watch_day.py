# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: watch_day
short_description: Keep the book of the daily watch after a migration
version_added: 0.1.0
description:
  - Says which day after the conclusion it is, whether a look is due, how the days before went and which of
    them nobody looked at.
  - Notes how today's look ended. A day that went well is done; one that failed is looked at again the same
    day.
  - Days are counted by the calendar of UTC, from the day after the run was concluded.
author: EmailAI platform engineering (@emailai)
extends_documentation_fragment:
  - emailai.migration._connection
  - emailai.migration._attributes
  - emailai.migration._attributes.actiongroup_migration
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  release_before:
    description: The release that served before the migration.
    type: str
    required: true
  release_after:
    description: The release that serves after it.
    type: str
    required: true
  state:
    description:
      - V(due) reads what is due.
      - V(recorded) notes how the look of today ended, if one was due.
    type: str
    choices: [due, recorded]
    default: due
  days:
    description: How many days are watched.
    type: int
    default: 7
  verdict:
    description: How the look ended; with O(state=recorded).
    type: str
    choices: [passed, failed]
  reasons:
    description: Why, in sentences.
    type: list
    elements: str
    default: []
  owner:
    description: Who looks.
    type: str
    default: ''
  now:
    description: The moment from which days are counted, in ISO 8601. Not set means now.
    type: str
"""

EXAMPLES = r"""
- name: Ask whether a look is due today
  emailai.migration.watch_day:
    login_url: "{{ migration_owner_url }}"
    release_before: v1.9.0
    release_after: v2.0.0-orgs
  register: today

- name: Note that it went well
  emailai.migration.watch_day:
    login_url: "{{ migration_owner_url }}"
    release_before: v1.9.0
    release_after: v2.0.0-orgs
    state: recorded
    verdict: passed
  when: today.is_due
"""

RETURN = r"""
run_id:
  description: The concluded run.
  returned: success
  type: str
day:
  description: Which day it is; 0 on the day of the conclusion itself.
  returned: success
  type: int
is_due:
  description: Whether a look is due today.
  returned: success
  type: bool
is_over:
  description: Whether no further look is due.
  returned: success
  type: bool
days_passed:
  description: Days that went well.
  returned: success
  type: list
  elements: int
days_failed:
  description: Days whose last look failed.
  returned: success
  type: list
  elements: int
days_missed:
  description: Days that went by without a look.
  returned: success
  type: list
  elements: int
baseline:
  description: The figures from before the migration, to compare with.
  returned: success
  type: dict
text:
  description: All of it in a sentence or two.
  returned: success
  type: str
"""

import datetime
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils._answer import answer
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import daily, daily_book, hold
from ansible_collections.emailai.migration.plugins.module_utils._journal.view import Pair
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import (
    CONNECTION_OPTIONS,
    session,
    target_from,
)
from ansible_collections.emailai.migration.plugins.module_utils._report import clock


def run(params: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """Read the book, and write today's line where that is asked for."""
    now = clock.moment(params["now"] or datetime.datetime.now(datetime.timezone.utc).isoformat())
    if now is None:
        raise MigrationError("read", f"now={params['now']}", "it is not a time in ISO 8601")
    pair = Pair(params["release_before"], params["release_after"])
    today = now.astimezone(datetime.timezone.utc).date()
    with session(target_from(params), "watch day") as connection:
        concluded, found, baseline = daily_book.read(connection, pair, params["days"], today)
        changed = False
        if params["state"] == "recorded":
            look = {"verdict": params["verdict"], "date": today.isoformat(), "reasons": params["reasons"]}
            caller = hold.Caller(params["owner"] or "somebody")
            changed = daily_book.write(connection, caller, pair, found, look, check_mode)
            if changed and not check_mode:
                concluded, found, baseline = daily_book.read(connection, pair, params["days"], today)
    return {
        "changed": changed,
        "run_id": concluded.id,
        "day": found.day,
        "is_due": found.is_due,
        "is_over": found.is_over,
        "days_passed": found.ended(daily.PASSED),
        "days_failed": found.ended(daily.FAILED),
        "days_missed": found.missed,
        "baseline": baseline,
        "text": found.text(),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION_OPTIONS,
            "release_before": {"type": "str", "required": True},
            "release_after": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["due", "recorded"], "default": "due"},
            "days": {"type": "int", "default": 7},
            "verdict": {"type": "str", "choices": [daily.PASSED, daily.FAILED]},
            "reasons": {"type": "list", "elements": "str", "default": []},
            "owner": {"type": "str", "default": ""},
            "now": {"type": "str"},
        },
        required_if=[("state", "recorded", ["verdict"])],
        supports_check_mode=True,
    )
    answer(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
