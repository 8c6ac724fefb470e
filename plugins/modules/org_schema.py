# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: org_schema
short_description: Add the tables and columns of organizations to a live database, or take them back
version_added: 1.0.0
author: emailai.migration contributors (@emailai)
description:
  - Reads the catalog, compares it with the organization model and makes what is missing, each object in a
    transaction of its own that gives up its lock after O(lock_timeout_ms) and tries again.
  - No statement of it waits for a lock without a limit, and no transaction holds two heavy locks.
  - Objects are named as Prisma names them. Deleting an organization never deletes an account, a premium or
    a resource; only memberships go with their user.
  - An object that is there and fits is left alone. One that contradicts the model is refused with the whole
    list of differences, before anything is written.
extends_documentation_fragment:
  - emailai.migration._connection
  - emailai.migration._model
  - emailai.migration._attributes
  - emailai.migration._attributes.actiongroup_migration
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - V(expanded) makes types, tables, nullable columns and keys, and closes C(multi_tenant_schema) in
        C(migration_log).
      - V(indexed) also makes the indexes on the link columns, concurrently.
        M(emailai.migration.org_migration) does this at its end.
      - V(withdrawn) drops what the ledger says this module made. It refuses while organizations or links
        exist.
      - V(contracted) ends the migration. Sync triggers and their functions are dropped, link columns
        without an empty row become NOT NULL through a validated check, and columns that O(map) lists under
        C(deprecated) are dropped. Only a backup brings these back. It refuses, in check mode too, while a
        session is connected whose C(application_name) lacks C(release_mark) of the map.
    type: str
    choices: [expanded, indexed, withdrawn, contracted]
    default: expanded
  other_clients:
    description:
      - How the C(application_name) of clients begins that are no release of the application, such as a
        monitor. Their sessions do not hold O(state=contracted) up.
    type: list
    elements: str
    default: []
  lock_timeout_ms:
    description: How long one try waits for a lock.
    type: int
    default: 50
  deadline_seconds:
    description: How long one object is tried before the module fails and names who holds the lock.
    type: int
    default: 600
seealso:
  - module: emailai.migration.org_migration
"""

EXAMPLES = r"""
- name: Add organizations to the schema
  emailai.migration.org_schema:
    login_url: "{{ migration_owner_url }}"
    state: expanded

- name: Take back what was added
  emailai.migration.org_schema:
    login_url: "{{ migration_owner_url }}"
    state: withdrawn
"""

RETURN = r"""
objects:
  description: What was made or dropped, or in check mode would be.
  returned: success
  type: list
  elements: dict
  contains:
    act:
      description: One of make, validate, rebuild, grant, close or drop.
      type: str
    object:
      description: Kind and name.
      type: str
  sample: [{"act": "make", "object": "table Organization"}]
warnings_found:
  description: What was found there and works, but not as this module would have made it.
  returned: success
  type: list
  elements: str
differences:
  description: Every object that contradicts the model.
  returned: when the schema was refused
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
from ansible_collections.emailai.migration.plugins.module_utils._postgres.ddl import Patience
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import contract, schema
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import model as models
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.options import (
    MODEL_OPTIONS,
    PATIENCE_OPTIONS,
)


def run(params: dict[str, t.Any], is_check: bool) -> dict[str, t.Any]:
    target = target_from(params)
    model = models.load(params["preset"], params["map"])
    patience = Patience(params["lock_timeout_ms"], params["deadline_seconds"])
    with session(target, "schema") as connection:
        builder = schema.Builder(connection, target, model, params["run_id"], patience)
        if params["state"] == "withdrawn":
            outcome = schema.withdraw(builder, is_check)
        elif params["state"] == "contracted":
            outcome = contract.contract(builder, is_check, params["other_clients"])
        else:
            outcome = schema.ensure(builder, params["state"], is_check)
    return {
        "changed": outcome.changed,
        "objects": outcome.objects,
        "warnings_found": outcome.warnings,
        "diff": {
            "before": "".join(f"{line}\n" for line in outcome.before),
            "after": "".join(f"{line}\n" for line in outcome.after),
        },
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            MODEL_OPTIONS,
            **PATIENCE_OPTIONS,
            state={
                "type": "str",
                "default": "expanded",
                "choices": ["expanded", "indexed", "withdrawn", "contracted"],
            },
            other_clients={"type": "list", "elements": "str", "default": []},
        ),
        supports_check_mode=True,
    )
    answer(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
