# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: prisma_migration
short_description: Let Prisma apply its migrations folder to a live database, or tell it that this is done
version_added: 1.0.0
author: emailai.migration contributors (@emailai)
description:
  - Runs C(prisma migrate deploy) on the host of the task once Prisma's advisory lock is free and no migration
    has failed before. Each of its sessions gives a lock up after O(lock_timeout_ms).
  - A migration that met a lock, and of which nothing stands, is taken out of Prisma's record and tried again
    until O(deadline_seconds) are over.
  - Afterwards the catalog is read as M(emailai.migration.org_schema) reads it. What the folder does not make
    is refused by name.
  - Prisma reads the database's address from its environment only. So its process and those it starts have it
    there while they run, readable by the same user and root. It stands in no command line and in no result.
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
      - V(deployed) applies what waits in the folder, and proves it.
      - V(resolved) tells Prisma that O(names) are applied, after M(emailai.migration.org_schema) made what
        they make. A migration that makes anything that is not there is refused.
      - V(withdrawn) lets Prisma forget what V(deployed) applied, and O(names), once nothing of it stands.
    type: str
    choices: [deployed, resolved, withdrawn]
    default: deployed
  folder:
    description: Folder in which Prisma is run, the one of the application's C(package.json).
    type: path
    required: true
  migrations:
    description: Prisma's migrations folder, from O(folder).
    type: str
    default: prisma/migrations
  names:
    description:
      - The migrations that make the organizations.
      - With V(deployed) everything else that waits is refused; none means whatever waits.
    type: list
    elements: str
    default: []
  command:
    description: How Prisma is started, word by word.
    type: list
    elements: str
    default: [npx, prisma]
  url_variables:
    description: Variables from which the Prisma schema reads C(url) and C(directUrl). All get one address.
    type: list
    elements: str
    default: [DATABASE_URL, DIRECT_URL]
  timeout_seconds:
    description: How long one command of Prisma may take.
    type: int
    default: 600
  lock_timeout_ms:
    description: How long one try waits for a lock.
    type: int
    default: 50
  deadline_seconds:
    description: How long a migration is tried before the module fails.
    type: int
    default: 600
seealso:
  - module: emailai.migration.org_schema
"""

EXAMPLES = r"""
- name: Let Prisma make the organizations
  emailai.migration.prisma_migration:
    login_url: "{{ migration_owner_url }}"
    folder: /srv/emailai/current/apps/web

- name: Tell Prisma that they are made
  emailai.migration.prisma_migration:
    login_url: "{{ migration_owner_url }}"
    folder: /srv/emailai/current/apps/web
    names: [20250930165011_add_organizations_multi_tenant]
    state: resolved
"""

RETURN = r"""
pending:
  description: The migrations that waited, with their statements.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the migration.
      type: str
    statements:
      description: Its statements, one after the other, without comments.
      type: list
      elements: str
objects:
  description: What was done, or in check mode would be.
  returned: success
  type: list
  elements: dict
warnings_found:
  description: What works, but not as M(emailai.migration.org_schema) would have made it.
  returned: success
  type: list
  elements: str
delete_actions:
  description: Keys that delete otherwise than the migrations say, each with the line to change.
  returned: success
  type: list
  elements: str
"""

import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils._answer import answer
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import (
    session,
    target_from,
)
from ansible_collections.emailai.migration.plugins.module_utils._postgres.ddl import Patience
from ansible_collections.emailai.migration.plugins.module_utils._prisma import deploy
from ansible_collections.emailai.migration.plugins.module_utils._prisma.client import Client
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import model as models
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import schema
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.options import (
    MODEL_OPTIONS,
    PATIENCE_OPTIONS,
)

_ACTS: t.Final = {"deployed": deploy.deploy, "resolved": deploy.resolve, "withdrawn": deploy.withdraw}


def run(params: dict[str, t.Any], is_check: bool) -> dict[str, t.Any]:
    target = target_from(params)
    model = models.load(params["preset"], params["map"])
    patience = Patience(params["lock_timeout_ms"], params["deadline_seconds"])
    folder = Path(params["folder"])
    client = Client(
        tuple(params["command"]), folder, tuple(params["url_variables"]), params["timeout_seconds"]
    )
    with session(target, "prisma") as connection:
        builder = schema.Builder(connection, target, model, params["run_id"], patience)
        prisma = deploy.Prisma(client, builder, folder / params["migrations"], tuple(params["names"]))
        outcome = _ACTS[params["state"]](prisma, is_check)
    waited = [{"name": one.name, "statements": list(one.statements)} for one in outcome.pending]
    lines = [
        f"{name}: {line};\n" for one in outcome.pending for name in [one.name] for line in one.statements
    ]
    return {
        "changed": outcome.changed,
        "pending": waited,
        "objects": outcome.objects,
        "warnings_found": outcome.warnings,
        "delete_actions": outcome.delete_actions,
        "diff": deploy.diff_of(params["state"], "".join(lines)),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            MODEL_OPTIONS,
            **PATIENCE_OPTIONS,
            state={"type": "str", "default": "deployed", "choices": ["deployed", "resolved", "withdrawn"]},
            folder={"type": "path", "required": True},
            migrations={"type": "str", "default": "prisma/migrations"},
            names={"type": "list", "elements": "str", "default": []},
            command={"type": "list", "elements": "str", "default": ["npx", "prisma"]},
            url_variables={"type": "list", "elements": "str", "default": ["DATABASE_URL", "DIRECT_URL"]},
            timeout_seconds={"type": "int", "default": 600},
        ),
        supports_check_mode=True,
    )
    answer(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
