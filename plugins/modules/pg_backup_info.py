# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backup_info
short_description: List the backups in a store, with their proofs
version_added: 0.1.0
author:
  - EmailAI platform engineering (@emailai)
description:
  - Reads the manifests and the proofs beside them. What has no manifest does not exist.
extends_documentation_fragment:
  - emailai.migration._store
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
  database:
    description: Only backups of this database.
    type: str
  run_id:
    description: Only backups of this run.
    type: str
  backup_id:
    description: Only the backup of this name.
    type: str
seealso:
  - module: emailai.migration.pg_backup
requirements:
  - boto3 >= 1.36 for S3
"""

EXAMPLES = r"""
- name: List the backups of the live database
  emailai.migration.pg_backup_info:
    database: emailai_prod
    store:
      bucket: emailai-backups
"""

RETURN = r"""
backups:
  description: The backups, the newest first, each as RV(emailai.migration.pg_backup#module:backup) with more.
  type: list
  elements: dict
  returned: success
  contains:
    proof_list:
      description: Each proof with who, when, how long and what differed.
      type: list
      elements: dict
    restore_by_hand:
      description: Plain commands that restore it without this collection.
      type: list
      elements: str
unreadable:
  description: A sentence for each manifest that is damaged, edited, or of another format.
  type: list
  elements: str
  returned: success
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils._answer import answer
from ansible_collections.emailai.migration.plugins.module_utils._archive import shelf
from ansible_collections.emailai.migration.plugins.module_utils._archive.store import (
    STORE_OPTIONS,
    open_store,
)

_FILTERS = {"database": "database", "run_id": "run_id", "backup_id": "id"}


def run(params: dict[str, t.Any]) -> dict[str, t.Any]:
    place = open_store(params["store"])
    place.check()
    wanted = {field: params[option] for option, field in _FILTERS.items() if params[option]}
    seen = shelf.look(place)
    found = [b for b in seen.backups if all(b.manifest[field] == value for field, value in wanted.items())]
    backups = [
        dict(b.summary(), proof_list=b.proofs, restore_by_hand=b.manifest.get("restore_by_hand", []))
        for b in found
    ]
    return {"changed": False, "backups": backups, "unreadable": seen.unreadable}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "store": {"type": "dict", "required": True, "options": STORE_OPTIONS},
            "database": {"type": "str"},
            "run_id": {"type": "str"},
            "backup_id": {"type": "str"},
        },
        supports_check_mode=True,
    )
    answer(module, lambda: run(module.params))


if __name__ == "__main__":
    main()
