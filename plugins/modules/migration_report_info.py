# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_report_info
short_description: Read a run of the migration out of its journal
version_added: 0.1.0
description:
  - Reads everything the journal keeps of one run, from one snapshot, and writes nothing.
  - Secrets and personal data beyond ids are removed before anything is returned.
  - M(emailai.migration.migration_report) makes a page of it.
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
    description: The run. Not set means the newest one of this database.
    type: str
    default: ""
seealso:
  - module: emailai.migration.migration_report
"""

EXAMPLES = r"""
- name: Read the newest run
  emailai.migration.migration_report_info:
    login_url: "{{ migration_reader_url }}"
  register: journal
"""

RETURN = r"""
document:
  description:
    - The run and its phases, events, progress, messages, confirmations, baselines, artifacts,
      quarantined rows and ledger entries.
  returned: success
  type: dict
proven:
  description: Which claims of a message to customers the journal proves.
  returned: success
  type: dict
  sample: {"accounts_preserved": true, "no_data_loss": false, "restored": true}
writes_lost_since:
  description: The moment whose later writes a restore gave up, or an empty text.
  returned: success
  type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils._answer import answer
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import (
    CONNECTION_OPTIONS,
    session,
    target_from,
)
from ansible_collections.emailai.migration.plugins.module_utils._report.conclusion import message_facts
from ansible_collections.emailai.migration.plugins.module_utils._report.reading import read_document


def run(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    with session(target_from(params), "report") as connection:
        document = read_document(connection, params["run_id"])
    return {"changed": False, "document": document, **message_facts(document)}


def main() -> None:
    module = AnsibleModule(
        argument_spec={**CONNECTION_OPTIONS, "run_id": {"type": "str", "default": ""}},
        supports_check_mode=True,
    )
    answer(module, lambda: run(module.params))


if __name__ == "__main__":
    main()
