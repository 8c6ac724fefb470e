# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backup
short_description: Back a PostgreSQL database up, whole or not at all
version_added: 0.1.0
author:
  - EmailAI platform engineering (@emailai)
description:
  - Streams C(pg_dump) through compression into a store, without a local copy, and takes a digest of every
    table under the same snapshot.
  - The manifest is written last. A backup without one does not exist, so a failure at any moment leaves none.
  - The work runs in a detached process. It goes on when the connection is lost, and the same task joins it.
  - When the module returns, no session and no lock of the backup is left on the server.
extends_documentation_fragment:
  - emailai.migration._connection
  - emailai.migration._store
  - emailai.migration._store.work
  - emailai.migration._attributes
  - emailai.migration._attributes.actiongroup_migration
attributes:
  check_mode:
    support: full
    details: Connects to the database and to the store, reads both, and predicts size and time.
  diff_mode:
    support: none
  idempotent:
    support: full
    details: A complete backup of the same O(backup_id) or O(run_id) is left as it is.
options:
  state:
    description:
      - V(present) makes the backup, unless it is there.
      - V(absent) removes the one named by O(backup_id).
      - V(pruned) removes old backups of this database. Nothing is removed while the backup named by
        O(backup_id) or O(run_id) is not proven.
    type: str
    choices: [present, absent, pruned]
    default: present
  backup_id:
    description: Name of the backup. Not set means database and UTC, C(emailai_prod_backup_20261123T030000Z).
    type: str
  run_id:
    description: The run that the backup belongs to. A run has one backup of a database.
    type: str
  compression_level:
    description:
      - Level of zstd, or of gzip where the zstandard library is missing.
      - V(2) looks as far back as V(3) and takes three quarters of its time. A higher level is worth it where
        the way to the store is slower than the compressor.
    type: int
    default: 2
  lock_wait_timeout_seconds:
    description: How long to wait for a table that another session has locked before giving up.
    type: int
    default: 10
  keep_proven:
    description: How many proven backups V(pruned) keeps at least.
    type: int
    default: 7
seealso:
  - module: emailai.migration.pg_backup_info
  - module: emailai.migration.pg_restore
requirements:
  - boto3 >= 1.36 for S3
  - cryptography for encrypted backups
  - zstandard (without it gzip is used)
  - pg_dump and pg_restore of the server's major
"""

EXAMPLES = r"""
- name: Back up the live database
  emailai.migration.pg_backup:
    login_url: "{{ migration_owner_url }}"
    run_id: v1.9.0..v2.0.0-orgs#1
    store:
      bucket: emailai-backups
      region: eu-west-1

- name: Keep the seven newest proven backups
  emailai.migration.pg_backup:
    login_url: "{{ migration_owner_url }}"
    run_id: v1.9.0..v2.0.0-orgs#1
    state: pruned
    store:
      bucket: emailai-backups
"""

RETURN = r"""
backup:
  description: The backup that is there, or in check mode the one that would be made.
  type: dict
  returned: state is present and readiness is false
  contains:
    id:
      description: Its name.
      type: str
    run_id:
      description: The run it belongs to.
      type: str
    database:
      description: The database it was made of.
      type: str
    created_at:
      description: The moment of its snapshot.
      type: str
    location:
      description: Where it is.
      type: str
    bytes:
      description: Its size in the store.
      type: int
    database_bytes:
      description: Size of the database.
      type: int
    seconds:
      description: How long it took.
      type: float
    tables:
      description: Number of tables in it.
      type: int
    rows:
      description: Number of rows in it.
      type: int
    proven:
      description: Whether it was restored and found equal.
      type: bool
    compression:
      description: Kind and level of the compression.
      type: dict
    encryption:
      description: V(age) and the fingerprint of the key; empty for a backup that is not encrypted.
      type: dict
prediction:
  description: Bytes and minutes that the backup would take, and what they are derived from.
  type: dict
  returned: check mode, when there is no backup yet
swept:
  description: Number of objects and uploads of dead runs that were removed.
  type: int
  returned: when a backup was made
removed:
  description: Names of the backups that were removed.
  type: list
  elements: str
  returned: state is absent or pruned
reason:
  description: Why as many backups were removed or kept.
  type: str
  returned: state is pruned
outcome:
  description: The figures that are worth keeping in the journal.
  type: dict
  returned: when RV(backup) is
readiness:
  description: Lines of what is required and what was found.
  type: list
  elements: dict
  returned: readiness is true
needs:
  description: What a server must have to restore a backup of this database.
  type: dict
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
from ansible_collections.emailai.migration.plugins.module_utils._archive import backup_state
from ansible_collections.emailai.migration.plugins.module_utils._archive.store import STORE_OPTIONS
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import CONNECTION_OPTIONS


def run(params: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    if params["readiness"]:
        return backup_state.readiness(params, check_mode)
    acts = {"present": backup_state.present, "absent": backup_state.absent, "pruned": backup_state.pruned}
    return acts[params["state"]](params, check_mode)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION_OPTIONS,
            "store": {"type": "dict", "required": True, "options": STORE_OPTIONS},
            "state": {"type": "str", "choices": ["present", "absent", "pruned"], "default": "present"},
            "backup_id": {"type": "str"},
            "run_id": {"type": "str"},
            "client_folder": {"type": "path"},
            "work_folder": {"type": "path", "default": "/var/lib/emailai-migration"},
            "wait_seconds": {"type": "int", "default": 86400},
            "jobs": {"type": "int", "default": 2},
            "data_folder": {"type": "path"},
            "follow": {"type": "bool", "default": False},
            "readiness": {"type": "bool", "default": False},
            "compression_level": {"type": "int", "default": 2},
            "lock_wait_timeout_seconds": {"type": "int", "default": 10},
            "keep_proven": {"type": "int", "default": 7},
        },
        required_if=[("state", "absent", ["backup_id"])],
        supports_check_mode=True,
    )
    answer(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
