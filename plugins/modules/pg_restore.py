# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_restore
short_description: Prove a backup by restoring it, or put it in the place of the live database
version_added: 0.1.0
author:
  - EmailAI platform engineering (@emailai)
description:
  - Restores a backup of M(emailai.migration.pg_backup) into a fresh database, never into one that is there.
  - Every byte is compared with the manifest's SHA-256 on its way, before the restore counts.
  - The live database changes by its name only. What had the name before is kept beside it, and the way back
    is the same swap.
extends_documentation_fragment:
  - emailai.migration._connection
  - emailai.migration._store
  - emailai.migration._store.work
  - emailai.migration._attributes
  - emailai.migration._attributes.actiongroup_migration
attributes:
  check_mode:
    support: full
    details:
      - Looks at everything that would stop the restore, the size and checksum of each object included.
      - V(swapped) also reads the live database to count what would be lost, and predicts time and outage.
  diff_mode:
    support: none
  idempotent:
    support: full
    details: A backup that is proven, restored or swapped in already is left as it is.
options:
  state:
    description:
      - V(proven) restores into a fresh database, compares every table's digest and the schema with the
        manifest, drops the database, and adds the proof to the backup.
      - V(restored) restores into the fresh database O(database) and leaves it there.
      - V(swapped) restores beside the live database O(database), proves that, and then swaps their names.
      - V(swapped_back) undoes V(swapped).
      - V(absent) drops the database O(database), if this module made it.
    type: str
    choices: [proven, restored, swapped, swapped_back, absent]
    default: proven
  backup_id:
    description: Name of the backup. Not set means the newest one of O(run_id), a proven one before others.
    type: str
  run_id:
    description: The run whose backup is meant when O(backup_id) is not set.
    type: str
  database:
    description:
      - The database to make, to swap or to drop.
      - Not set, V(proven) makes a name from the backup's, and V(swapped) and V(swapped_back) take the
        database that the login options name.
    type: str
  maintenance_db:
    description: A database of the server to stand in meanwhile. Wins over the one in O(login_url).
    type: str
    default: postgres
  keep:
    description: Leave the database of V(proven) in place.
    type: bool
    default: false
  replace:
    description: Let V(restored) replace a copy that this module made from another backup.
    type: bool
    default: false
  confirmed_by:
    description: Who takes the responsibility for the writes that V(swapped) loses.
    type: str
  needs:
    description: What the backups need, as M(emailai.migration.pg_backup) answers it, for O(readiness).
    type: dict
seealso:
  - module: emailai.migration.pg_backup
  - module: emailai.migration.pg_backup_info
requirements:
  - boto3 >= 1.36 for S3
  - cryptography for encrypted backups
  - zstandard for backups compressed with it
  - pg_restore of the major that the backup comes from
"""

EXAMPLES = r"""
- name: Prove the run's backup on staging
  emailai.migration.pg_restore:
    login_url: "{{ hostvars[migration_staging_host].migration_owner_url }}"
    run_id: v1.9.0..v2.0.0-orgs#1
    store:
      bucket: emailai-backups

- name: Put the backup in the place of the live database
  emailai.migration.pg_restore:
    login_url: "{{ migration_owner_url }}"
    state: swapped
    backup_id: emailai_prod_backup_20261123T030000Z
    database: emailai_prod
    confirmed_by: Ada Lovelace
    store:
      bucket: emailai-backups
"""

RETURN = r"""
backup:
  description: The backup, as RV(emailai.migration.pg_backup#module:backup).
  type: dict
  returned: state is proven, restored or swapped
proof:
  description: When and where it was restored, how long each step took, and what differed.
  type: dict
  returned: state is proven and not in check mode
database:
  description: The database that was made, swapped or dropped.
  type: str
  returned: state is not proven
before:
  description: The name under which the old live database is kept.
  type: str
  returned: state is swapped and not in check mode
restored:
  description: The name under which the database that was swapped in is kept.
  type: str
  returned: state is swapped_back, when something changed
outage_seconds:
  description: How long the live name refused connections.
  type: float
  returned: state is swapped or swapped_back, when something changed
snapshot_at:
  description: Writes after this moment are not in the restored database.
  type: str
  returned: state is swapped, when something changed
lost:
  description:
    - Tables that changed since the snapshot, with their rows then and now, and those that cannot be read.
    - Empty if the live database cannot be read at all.
  type: dict
  returned: state is swapped, when something changed
prediction:
  description: Minutes and seconds of outage that the swap would take, and how many sessions it would end.
  type: dict
  returned: state is swapped, in check mode
text:
  description: What is lost and how long the database could not be reached, as sentences.
  type: str
  returned: state is swapped
confirmed_by:
  description: Who confirmed the loss.
  type: str
  returned: state is swapped, when something changed
terms:
  description: Whether owners, rights and extensions were kept, and if not, why not.
  type: str
  returned: state is restored, or check mode
seconds:
  description: How long each step took.
  type: dict
  returned: state is restored or swapped, when something changed
differences:
  description: One line for each difference between the restored database and the manifest.
  type: list
  elements: str
  returned: failure, when the restored database differs
outcome:
  description: The figures that are worth keeping in the journal.
  type: dict
  returned: when RV(backup) is
readiness:
  description: Lines of what is required and what was found.
  type: list
  elements: dict
  returned: readiness is true
running:
  description: True if the work was still running when O(wait_seconds) had passed.
  type: bool
  returned: failure
progress:
  description: How far the work is.
  type: dict
  returned: failure
line:
  description: The same as one line for a person.
  type: str
  returned: failure
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils._answer import answer
from ansible_collections.emailai.migration.plugins.module_utils._archive import restore_state
from ansible_collections.emailai.migration.plugins.module_utils._archive.store import STORE_OPTIONS
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import CONNECTION_OPTIONS

_ACTS = {
    "proven": restore_state.proven,
    "restored": restore_state.restored,
    "swapped": restore_state.swapped,
    "swapped_back": restore_state.swapped_back,
    "absent": restore_state.absent,
}


def run(params: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    if params["readiness"]:
        return restore_state.readiness(params, check_mode)
    return _ACTS[params["state"]](params, check_mode)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION_OPTIONS,
            "store": {"type": "dict", "required": True, "options": STORE_OPTIONS},
            "state": {"type": "str", "choices": list(_ACTS), "default": "proven"},
            "backup_id": {"type": "str"},
            "run_id": {"type": "str"},
            "database": {"type": "str"},
            "maintenance_db": {"type": "str", "default": "postgres"},
            "keep": {"type": "bool", "default": False},
            "replace": {"type": "bool", "default": False},
            "confirmed_by": {"type": "str"},
            "needs": {"type": "dict"},
            "client_folder": {"type": "path"},
            "work_folder": {"type": "path", "default": "/var/lib/emailai-migration"},
            "wait_seconds": {"type": "int", "default": 86400},
            "jobs": {"type": "int", "default": 2},
            "data_folder": {"type": "path"},
            "follow": {"type": "bool", "default": False},
            "readiness": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    answer(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
