# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: org_integrity
short_description: Prove that users, organizations, accounts and premiums belong together as they should
version_added: 1.0.0
author: emailai.migration contributors (@emailai)
description:
  - Asks the runbook's six checks in a form that NULL and joins cannot deceive, and more. Links into a
    stranger's organization, orphans, memberships with NULL, twins, rows set aside, invalid indexes, keys
    never validated, keys that cascade, the state of the sync triggers, counts against the plan.
  - Where users point at a premium (preset C(emailai)), also premiums of strangers and premiums that two of
    our organizations have. The checks do not know the policy of the data step, so a shared premium that no
    organization has is a finding of C(premiums).
  - Only reads, and does not fail on what it finds. RV(result) and RV(unacknowledged) say whether to go on.
  - Can run with a read-only role and on a standby; one that lags or has lost its primary makes
    the result inconclusive, and what failed there with it.
extends_documentation_fragment:
  - emailai.migration._connection
  - emailai.migration._model
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
  scope:
    description:
      - V(after) asks the checks.
      - V(before) looks whether the database can be migrated and returns RV(readiness) and RV(known). A
        database that cannot be reached is an open line there, not a failure.
    type: str
    choices: [before, after]
    default: after
  rights:
    description: With O(scope=before), the role whose rights are looked at. Only V(owner) gives all lines.
    type: str
    choices: [owner, writer, reader]
    default: owner
  grace_seconds:
    description: Users without organization younger than this are pending, not failed.
    type: int
    default: 60
  triggers:
    description: Whether the sync triggers are meant to be there. V(any) is for while they are taken down.
    type: str
    choices: ["on", "off", "any"]
    default: "on"
  plan:
    description:
      - C(counts) of the plan or the rehearsal, for the check that nothing has vanished. Users, accounts and
        premiums may grow while the application runs.
    type: dict
    default: {}
  known:
    description:
      - By name of a check, ids that were wrong before the run. They are findings then, not failures. Those
        that M(emailai.migration.org_schema) recorded before its first change are known in any case.
    type: dict
    default: {}
  acknowledged:
    description: By name of a check, the person who accepts its findings.
    type: dict
    default: {}
seealso:
  - module: emailai.migration.org_repair
"""

EXAMPLES = r"""
- name: Verify the migration
  emailai.migration.org_integrity:
    login_url: "{{ migration_reader_url }}"
    acknowledged:
      premiums: Ada Lovelace
  register: verification

- name: Look whether the database can be migrated
  emailai.migration.org_integrity:
    login_url: "{{ migration_owner_url }}"
    scope: before
"""

RETURN = r"""
result:
  description: One of ok, findings, failed and inconclusive.
  returned: with O(scope=after)
  type: str
may_go_on:
  description: Whether the result is ok, or findings that are all acknowledged.
  returned: with O(scope=after)
  type: bool
checks:
  description: Every check.
  returned: with O(scope=after)
  type: list
  elements: dict
  contains:
    name:
      description: Short name, the key of O(known) and O(acknowledged).
      type: str
    title:
      description: What is true if it is ok.
      type: str
    result:
      description: One of ok, pending, finding, inconclusive and failed.
      type: str
    count:
      description: Rows that made the result.
      type: int
    pending:
      description: Rows that the sweep will take.
      type: int
    known:
      description: Rows that were wrong before the run.
      type: int
    ids:
      description: The first hundred of the rows.
      type: list
      elements: str
    cause:
      description: What is wrong.
      type: str
    repair:
      description: What helps.
      type: str
unacknowledged:
  description: Checks with findings that nobody has put his name to.
  returned: with O(scope=after)
  type: list
  elements: str
advice:
  description: One sentence for each thing that holds the migration up, with what to type.
  returned: with O(scope=after)
  type: list
  elements: str
summary:
  description: The checks, Passed, Failed, Warnings and the verdict as text.
  returned: with O(scope=after)
  type: str
readiness:
  description: Lines with item, kind, required, found, read_by and state.
  returned: with O(scope=before)
  type: list
  elements: dict
known:
  description: Faults of before by name of the check that would report them.
  returned: with O(scope=before)
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils._answer import answer
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import target_from
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import integrity, readiness
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import model as models
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.options import MODEL_OPTIONS


def run(params: dict[str, t.Any], is_check: bool) -> dict[str, t.Any]:
    target = target_from(params)
    model = models.load(params["preset"], params["map"])
    if params["scope"] == "before":
        lines, known = readiness.read(target, model, params["rights"])
        return {"changed": False, "readiness": lines, "known": known}
    question = integrity.Question(
        params["grace_seconds"], params["triggers"], params["plan"], params["known"], params["acknowledged"]
    )
    return dict(integrity.answer(target, model, question, is_check), changed=False)


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            MODEL_OPTIONS,
            scope={"type": "str", "default": "after", "choices": ["before", "after"]},
            rights={"type": "str", "default": "owner", "choices": ["owner", "writer", "reader"]},
            grace_seconds={"type": "int", "default": 60},
            triggers={"type": "str", "default": "on", "choices": ["on", "off", "any"]},
            plan={"type": "dict", "default": {}},
            known={"type": "dict", "default": {}},
            acknowledged={"type": "dict", "default": {}},
        ),
        supports_check_mode=True,
    )
    answer(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
