# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_report
short_description: Render the report of a run of the migration
version_added: 0.1.0
description:
  - Writes one self-contained HTML page, the same as JSON, and JUnit XML for a pipeline.
  - The page loads nothing from elsewhere and runs no script. Every value in it is escaped.
  - The same document makes the same files, byte for byte.
author: EmailAI platform engineering (@emailai)
extends_documentation_fragment:
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
  document:
    description: What M(emailai.migration.migration_report_info) returned as C(document).
    type: dict
    required: true
  folder:
    description: Folder on the host the module runs on. It is made if it is missing.
    type: path
    required: true
  suffix:
    description: Put behind the name of the files, where several databases have a report each.
    type: str
    default: ""
  hosts:
    description: Rows about the hosts, such as name, side, kind and versions. Shown as a table.
    type: list
    elements: dict
    default: []
  load_report:
    description:
      - How the users saw the service, in windows of C({at, requests, failed, p95_ms}).
      - JSON lines with a window each, or one JSON document with a list C(windows).
      - It is drawn over the time axis. A file that cannot be read is named in the report.
    type: path
  is_rehearsal:
    description: No customer was written to, so the mail after the migration is shown as not due.
    type: bool
    default: false
  limit:
    description: Put behind each command that the page tells to type, such as C(-l prod).
    type: str
    default: ""
seealso:
  - module: emailai.migration.migration_report_info
"""

EXAMPLES = r"""
- name: Render the report on the controller
  emailai.migration.migration_report:
    document: "{{ journal.document }}"
    folder: "{{ playbook_dir }}/reports"
    limit: -l prod
  delegate_to: localhost
"""

RETURN = r"""
html_path:
  description: The page.
  returned: success
  type: str
json_path:
  description: The document.
  returned: success
  type: str
junit_path:
  description: The JUnit file.
  returned: success
  type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils._answer import answer
from ansible_collections.emailai.migration.plugins.module_utils._report import load, writing
from ansible_collections.emailai.migration.plugins.module_utils._report.story import tell


def run(params: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    seen = load.read(params["load_report"]) if params["load_report"] else {}
    story = tell(params["document"], params["hosts"], seen, params["limit"], params["is_rehearsal"])
    name = writing.stem(story.document["run"]["id"], params["suffix"])
    wanted = writing.files(story, params["folder"], name)
    differing = writing.differing(wanted)
    if not check_mode:
        writing.write(wanted, differing)
    paths = {"html": "html_path", "json": "json_path", "xml": "junit_path"}
    return {"changed": bool(differing), **{paths[kind]: path for kind, (path, _content) in wanted.items()}}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "document": {"type": "dict", "required": True},
            "folder": {"type": "path", "required": True},
            "suffix": {"type": "str", "default": ""},
            "hosts": {"type": "list", "elements": "dict", "default": []},
            "load_report": {"type": "path"},
            "limit": {"type": "str", "default": ""},
            "is_rehearsal": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    answer(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
