# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: migration_journal_info
short_description: Read the journal of a migration
version_added: 0.1.0
description:
  - Says where a migration is, whether it is safe to stop, how to go on and how to go back.
  - Reads only, and answers within two seconds whatever the size of the database. What cannot be
    counted in that time
    is answered as unknown, never as 0.
extends_documentation_fragment:
  - emailai.migration._connection
  - emailai.migration._attributes
  - emailai.migration._attributes.actiongroup_migration
attributes:
  check_mode:
    support: full
    details:
      - The module changes nothing.
  diff_mode:
    support: N/A
    details:
      - The module changes nothing.
  idempotent:
    support: full
options:
  release_before:
    description: The release that serves before the migration. Without both releases the latest run is
      read.
    type: str
    default: ''
  release_after:
    description: The release that serves after it.
    type: str
    default: ''
  limit:
    description: The side, as given to C(ansible-playbook -l), for the commands that are named.
    type: str
    default: ''
  epoch:
    description: The attempt at the deployment that RV(may_go_on) is about, as V(opened) of
      M(emailai.migration.migration_journal) gave it. Without it the hosts of every attempt count.
    type: int
    default: 0
  events:
    description: How many of the latest events to return.
    type: int
    default: 20
  model:
    description:
      - Names of the schema, the tables C(users), C(organizations), C(members), C(accounts),
        C(premiums) and the link
        column C(link) that the four counts are taken from.
      - A key that is left out has the runbook's name.
    type: dict
    default: {}
seealso:
  - module: emailai.migration.migration_journal
author:
  - emailai.migration contributors (@emailai)
"""

EXAMPLES = r"""
- name: Read where the migration is
  emailai.migration.migration_journal_info:
    login_url: "{{ migration_owner_url }}"
    limit: prod
  register: status

- name: Show it
  ansible.builtin.debug:
    msg: "{{ status.text.splitlines() }}"
"""

RETURN = r"""
run:
  description: The run with its state, or nothing if none was ever begun.
  returned: always
  type: dict
phases:
  description: The phases that were opened, in order, with C(state), C(seconds), C(error) and
    C(outcome).
  returned: always
  type: list
  elements: dict
events:
  description: The latest events, oldest first.
  returned: always
  type: list
  elements: dict
holder:
  description: Who holds the lease now, or nothing.
  returned: always
  type: dict
control:
  description: What an operator wants of the work that goes on.
  returned: always
  type: dict
confirmations:
  description: What was confirmed, by whom and when.
  returned: always
  type: list
  elements: dict
messages:
  description: The messages that went out.
  returned: always
  type: list
  elements: dict
artifacts:
  description: What each host ran before and after.
  returned: always
  type: list
  elements: dict
may_go_on:
  description: Whether attempt O(epoch) at the deployment may begin another batch. It is under way, nobody
    wants it to pause or to end, and no host of it failed or is held.
  returned: always
  type: bool
baselines:
  description: Figures of the untouched system.
  returned: always
  type: list
  elements: dict
progress:
  description: How far the work on the data is.
  returned: always
  type: list
  elements: dict
counts:
  description: The runbook's four counts, each with C(name), C(done) and C(total). Unknown is null.
  returned: always
  type: list
  elements: dict
safe_to_stop:
  description: Whether the command that runs may be interrupted now.
  returned: always
  type: bool
safe_to_stop_because:
  description: Why.
  returned: always
  type: str
how_to_go_on:
  description: The command that goes on, empty if nothing is left to do.
  returned: always
  type: str
how_to_go_back:
  description: The command that goes back, empty if there is nothing to take back or no way back.
  returned: always
  type: str
due:
  description: What is due next.
  returned: always
  type: list
  elements: str
text:
  description: All of it on one screen.
  returned: always
  type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils._answer import answer
from ansible_collections.emailai.migration.plugins.module_utils._journal import outlook, overview
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import (
    CONNECTION_OPTIONS,
    session,
    target_from,
)

_MODEL: t.Final = {
    "schema": "public",
    "users": "users",
    "organizations": "Organization",
    "members": "OrganizationMember",
    "accounts": "EmailAccount",
    "premiums": "Premium",
    "link": "organizationId",
}


def run(params: dict[str, t.Any]) -> dict[str, t.Any]:
    """Read it in one transaction that cannot write."""
    releases = (params["release_before"], params["release_after"])
    with session(target_from(params), "status") as connection:
        connection.set_session(readonly=True)
        found = overview.read(
            connection, releases if all(releases) else None, {**_MODEL, **params["model"]}, params["events"]
        )
    told = outlook.judge(found, params["limit"])
    return {"changed": False, **told, "may_go_on": outlook.may_go_on(found, params["epoch"])}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION_OPTIONS,
            "release_before": {"type": "str", "default": ""},
            "release_after": {"type": "str", "default": ""},
            "limit": {"type": "str", "default": ""},
            "epoch": {"type": "int", "default": 0},
            "events": {"type": "int", "default": 20},
            "model": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    answer(module, lambda: run(module.params))


if __name__ == "__main__":
    main()
