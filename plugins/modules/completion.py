# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: completion
short_description: Check the completion list of the migration
version_added: 0.1.0
description:
  - Holds the ten items of the completion list against the journal.
  - Verification, error rate, response times, acceptance and the mail after the migration are proven by the
    journal; no name can take the place of the proof. A mail whose text was written into a folder, for
    somebody to send by other means, is confirmed by name (C(post_migration_mail)); so is acceptance where the
    deployment had no suite to run (C(acceptance)).
  - Training, documentation, support, dashboards and the retrospective are confirmed by name; the first
    name is kept.
  - Once no item is open, the six next steps are written into the journal with their dates, once a run.
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
  run_id:
    description: The run.
    type: str
    required: true
  confirmations:
    description:
      - Item to the name of the person who confirms it.
      - Items are C(team_training), C(documentation), C(support_briefing), C(dashboards), C(retrospective).
      - Items of other lists may be in it and are left alone.
    type: dict
    default: {}
  must_be_complete:
    description: Fail while an item is open, and say what to do about it.
    type: bool
    default: true
  is_rehearsal:
    description:
      - No customer is written to, so the mail after the migration is not waited for.
      - Where the gate had no service to watch, neither are error rate, response times and acceptance.
    type: bool
    default: false
  now:
    description: The moment from which the dates are counted, in ISO 8601. Not set means now.
    type: str
"""

EXAMPLES = r"""
- name: Conclude the run
  emailai.migration.completion:
    login_url: "{{ migration_writer_url }}"
    run_id: "{{ journal_run_id }}"
    confirmations:
      team_training: Ada Lovelace
      documentation: Ada Lovelace
      support_briefing: Grace Hopper
      dashboards: Grace Hopper
      retrospective: Ada Lovelace
"""

RETURN = r"""
is_complete:
  description: Whether no item is open.
  returned: always
  type: bool
checklist:
  description: The ten items, V(proven), V(confirmed), V(open) or V(not_due), by what or whom, and when.
  returned: always
  type: list
  elements: dict
still_open:
  description: The items that are open.
  returned: always
  type: list
  elements: str
summary:
  description: The same as lines to read.
  returned: always
  type: list
  elements: str
next_steps:
  description: The six next steps and when each is due. Empty while an item is open.
  returned: always
  type: list
  elements: dict
  sample:
    - step: monitor
      text: Watch the service each day for seven days
      due: "2030-01-08"
"""

import datetime
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils._answer import answer
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import (
    CONNECTION_OPTIONS,
    target_from,
)
from ansible_collections.emailai.migration.plugins.module_utils._report import clock
from ansible_collections.emailai.migration.plugins.module_utils._report.conclusion import conclude


def run(params: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    now = clock.moment(params["now"]) if params["now"] else datetime.datetime.now(datetime.timezone.utc)
    if now is None:
        raise MigrationError("read", f"now={params['now']}", "it is not a time in ISO 8601")
    found = conclude(
        target_from(params),
        params["run_id"],
        params["confirmations"],
        now,
        check_mode,
        params["is_rehearsal"],
    )
    if found.still_open and params["must_be_complete"]:
        raise found.refusal(params["run_id"])
    return found.as_result()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION_OPTIONS,
            "run_id": {"type": "str", "required": True},
            "confirmations": {"type": "dict", "default": {}},
            "must_be_complete": {"type": "bool", "default": True},
            "is_rehearsal": {"type": "bool", "default": False},
            "now": {"type": "str"},
        },
        supports_check_mode=True,
    )
    answer(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
