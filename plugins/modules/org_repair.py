# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: org_repair
short_description: Diagnose and repair one known trouble of the organization migration
version_added: 1.0.0
author: emailai.migration contributors (@emailai)
description:
  - Each case looks first. In check mode it only looks, so check mode is the diagnosis.
  - What a repair replaces is noted in the ledger.
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
  case:
    description:
      - V(late_users) gives users without organization theirs, and links what they own.
      - V(missing_owners) makes the user an organization was made for its OWNER, or else its oldest member.
      - V(wrong_links) moves rows out of organizations that their owner is no member of. Where users point at
        a premium, it takes from an organization one that only strangers have; one that several users share
        goes on to none, for M(emailai.migration.org_migration) alone knows the policy.
      - V(twins) keeps, of two organizations from one sign-up, the one the new release made.
      - V(no_access) shows what one user belongs to, and creates and links what is missing in one
        transaction.
      - V(billing) shows seats and members, and sets the seats of one organization.
      - V(slow_queries) makes missing indexes, rebuilds invalid ones and refreshes statistics.
      - V(failed_midway) shows what is open and what goes on with it. It changes nothing.
    type: str
    required: true
    choices:
      - late_users
      - missing_owners
      - wrong_links
      - twins
      - no_access
      - billing
      - slow_queries
      - failed_midway
  grace_seconds:
    description: Users younger than this may still be in the middle of a sign-up and are left alone.
    type: int
    default: 60
  email:
    description: The user's e-mail address. Required by V(no_access).
    type: str
  organization:
    description: Id of the organization. V(billing) without it shows all organizations whose seats differ.
    type: str
  seats:
    description: With V(billing), the used seats to set. Without it nothing is set.
    type: int
  undo:
    description: With V(billing), put back the seats as they were before the last time they were set.
    type: bool
    default: false
seealso:
  - module: emailai.migration.org_integrity
"""

EXAMPLES = r"""
- name: Look why a user sees no accounts
  emailai.migration.org_repair:
    login_url: "{{ migration_owner_url }}"
    case: no_access
    email: ada@example.com
  check_mode: true

- name: Set the seats of one organization
  emailai.migration.org_repair:
    login_url: "{{ migration_owner_url }}"
    case: billing
    organization: org_0123456789abcdef0123456789abcdef
    seats: 3
"""

RETURN = r"""
diagnosis:
  description: What was found, as sentences.
  returned: always
  type: list
  elements: str
found:
  description: The things that are wrong.
  returned: always
  type: list
  elements: str
repaired:
  description: What was repaired. Empty in check mode.
  returned: always
  type: list
  elements: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils._answer import answer
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import (
    session,
    target_from,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import model as models
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import repair
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.options import MODEL_OPTIONS


def run(params: dict[str, t.Any], is_check: bool) -> dict[str, t.Any]:
    request = repair.Request(
        target=target_from(params),
        model=models.load(params["preset"], params["map"]),
        run_id=params["run_id"],
        grace_seconds=params["grace_seconds"],
        email=params["email"] or "",
        organization=params["organization"] or "",
        seats=params["seats"],
        undo=params["undo"],
    )
    with session(request.target, "repair") as connection:
        found = repair.repair(connection, params["case"], request, is_check)
    return {
        "changed": found.would_change if is_check else bool(found.repaired),
        "diagnosis": found.diagnosis,
        "found": found.rows,
        "repaired": found.repaired,
    }


def main() -> None:
    cases = [
        "late_users",
        "missing_owners",
        "wrong_links",
        "twins",
        "no_access",
        "billing",
        "slow_queries",
        "failed_midway",
    ]
    module = AnsibleModule(
        argument_spec=dict(
            MODEL_OPTIONS,
            case={"type": "str", "required": True, "choices": cases},
            grace_seconds={"type": "int", "default": 60},
            email={"type": "str"},
            organization={"type": "str"},
            seats={"type": "int"},
            undo={"type": "bool", "default": False},
        ),
        required_if=[("case", "no_access", ["email"])],
        supports_check_mode=True,
    )
    answer(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
