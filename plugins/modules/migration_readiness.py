# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: migration_readiness
short_description: Say whether a migration may begin
version_added: 0.1.0
description:
  - Reads from a live database what a migration needs and returns it as lines of a table, or judges the
    lines that
    were read on all hosts.
  - What cannot be read is an open line with the reason, never a failure and never a figure. What
    nobody can read, such
    as the free disk of a managed server, is V(not_watched) and counts as open until somebody accepts
    it by name.
  - Changes nothing.
extends_documentation_fragment:
  - emailai.migration._connection
  - emailai.migration._attributes
  - emailai.migration._attributes.actiongroup_migration
attributes:
  check_mode:
    support: full
    details:
      - Where it would fail with O(state=judged), it answers RV(refusal) instead.
  diff_mode:
    support: N/A
    details:
      - The module changes nothing.
  idempotent:
    support: full
options:
  state:
    description: V(read) returns lines, V(judged) judges O(lines) and fails while one is open.
    type: str
    choices: [read, judged]
    default: read
  checks:
    description: What to read.
    type: list
    elements: str
    choices: [database, connections, prisma, transactions, locks, disk, window, confirmations, due]
    default: [database, connections, prisma, transactions, locks, disk, window, confirmations, due]
  schema:
    description: Schema of the application's tables. Not set means what O(login_url) says, or V(public).
    type: str
    default: ''
  workers:
    description: Connections that our work needs.
    type: int
    default: 8
  max_connection_share:
    description: Share of C(max_connections) that may be in use with ours.
    type: float
    default: 0.8
  max_transaction_seconds:
    description: A transaction older than this stands in the way.
    type: float
    default: 60
  disk_factor:
    description: Free disk space that is needed, as a multiple of the database's size.
    type: float
    default: 2
  disk_free_bytes:
    description: Free disk space, where a person has read it. Not set means it is read.
    type: int
  database_bytes:
    description: The size that free space is measured by. 0 means the size of this database.
    type: int
    default: 0
  label:
    description: Where the free space is, as the table names it.
    type: str
    default: ''
  window:
    description: When the migration may begin.
    type: dict
    default: {}
    suboptions:
      preset:
        description:
          - V(us) is 02:00 to 06:00 America/New_York and V(eu) 02:00 to 06:00 Europe/Paris, both from
            Sunday to Thursday.
          - V(global) is the quietest four hours of O(window.requests_by_hour).
          - V(custom) is what O(window.days), O(window.begins), O(window.ends) and O(window.timezone)
            say.
          - V(none) is any time.
        type: str
        choices: [none, us, eu, global, custom]
        default: none
      days:
        description: Days on which a window begins. Not set means each day.
        type: list
        elements: str
        choices: [monday, tuesday, wednesday, thursday, friday, saturday, sunday]
      begins:
        description: Time of day at which it begins, as V(02:00).
        type: str
      ends:
        description: Time of day at which it ends. Earlier than O(window.begins) is on the next day.
        type: str
      timezone:
        description: Whose clocks.
        type: str
        default: UTC
      requests_by_hour:
        description: Requests in each hour of a day, 24 numbers from 00:00 UTC on.
        type: list
        elements: float
  now:
    description: The time to judge by, ISO 8601. Empty means now.
    type: str
    default: ''
  confirmations:
    description: Item and the name of the person who confirmed it.
    type: dict
    default: {}
  required:
    description: Items that somebody must have confirmed by name.
    type: list
    elements: str
    default: [team_notified, maintenance_window, rollback_plan, on_call, communication]
  due:
    description: Items that this run proves by itself before it changes the live database.
    type: list
    elements: str
    default: [backup_created, backup_tested, migration_tested]
  lines:
    description: Lines to judge, by the host that gave them. A host without lines is open.
    type: dict
    default: {}
  accepted:
    description: Item that cannot be watched and the name of the person who accepts that.
    type: dict
    default: {}
  contacts:
    description: Whom to ask, by C(cto), C(dba), C(engineering_lead) and C(product_manager).
    type: dict
    default: {}
author:
  - emailai.migration contributors (@emailai)
"""

EXAMPLES = r"""
- name: Read what the database says
  emailai.migration.migration_readiness:
    login_url: "{{ migration_owner_url }}"
    workers: 8
    window:
      preset: us
    confirmations:
      on_call: Jane
  register: found

- name: Refuse while a line is open
  emailai.migration.migration_readiness:
    state: judged
    lines:
      db1: "{{ found.readiness }}"
    accepted:
      free disk space: Joe
"""

RETURN = r"""
readiness:
  description: The lines, each with C(item), C(kind), C(required), C(found), C(read_by) and C(state).
  returned: success
  type: list
  elements: dict
database_bytes:
  description: Size of the database, or nothing if it could not be read.
  returned: O(state=read)
  type: int
counts:
  description: Lines by state.
  returned: O(state=judged)
  type: dict
open_items:
  description: Items of the lines that are open.
  returned: O(state=judged)
  type: list
  elements: str
text:
  description: The lines as a table.
  returned: O(state=judged)
  type: str
refusal:
  description: Why the migration may not begin; empty if it may. Outside of check mode the module fails
    with it.
  returned: O(state=judged)
  type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils._answer import answer
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import CONNECTION_OPTIONS
from ansible_collections.emailai.migration.plugins.module_utils._readiness import lines, survey, window
from ansible_collections.emailai.migration.plugins.module_utils._readiness.judge import judge, render

_WINDOW: t.Final[dict[str, t.Any]] = {
    "preset": {"type": "str", "choices": ["none", "us", "eu", "global", "custom"], "default": "none"},
    "days": {"type": "list", "elements": "str", "choices": list(window.DAYS)},
    "begins": {"type": "str"},
    "ends": {"type": "str"},
    "timezone": {"type": "str", "default": "UTC"},
    "requests_by_hour": {"type": "list", "elements": "float"},
}


def run(params: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """Read, or judge what was read."""
    if params["state"] == "read":
        return survey.survey(params)
    verdict = judge(params["lines"], params["accepted"], params["contacts"])
    if verdict.refusal is not None and not check_mode:
        raise verdict.refusal
    return {
        "changed": False,
        "readiness": list(verdict.lines),
        "counts": verdict.counts(),
        "open_items": [line["item"] for line in verdict.open],
        "text": render(verdict.lines),
        "refusal": str(verdict.refusal or ""),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION_OPTIONS,
            "state": {"type": "str", "choices": ["read", "judged"], "default": "read"},
            "checks": {
                "type": "list",
                "elements": "str",
                "choices": list(survey.CHECKS),
                "default": list(survey.CHECKS),
            },
            "schema": {"type": "str", "default": ""},
            "workers": {"type": "int", "default": 8},
            "max_connection_share": {"type": "float", "default": 0.8},
            "max_transaction_seconds": {"type": "float", "default": 60},
            "disk_factor": {"type": "float", "default": 2},
            "disk_free_bytes": {"type": "int"},
            "database_bytes": {"type": "int", "default": 0},
            "label": {"type": "str", "default": ""},
            "window": {"type": "dict", "default": {}, "options": _WINDOW},
            "now": {"type": "str", "default": ""},
            "confirmations": {"type": "dict", "default": {}},
            "required": {"type": "list", "elements": "str", "default": list(lines.CONFIRMED)},
            "due": {"type": "list", "elements": "str", "default": list(lines.DUE)},
            "lines": {"type": "dict", "default": {}},
            "accepted": {"type": "dict", "default": {}},
            "contacts": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    answer(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
