# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: app_release
short_description: Put a release on an application server and make it current
description:
  - Below O(folder) it keeps C(releases/<name>), the links C(current) and C(previous), and C(shared).
  - The artifact's checksum is compared before anything is changed. A release appears under its name whole
    or not at all, and C(current) moves in one step, so that a killed run leaves the old or the new release.
  - A restart that a killed run still owes is made up for by the next run.
version_added: 0.1.0
author: EmailAI platform engineering (@emailai)
options:
  name:
    description: The release, by its version.
    type: str
    required: true
  folder:
    description: The folder below which the releases of the application are kept.
    type: path
    required: true
  state:
    description:
      - V(present) means unpacked and whole. Nothing that serves is touched.
      - V(current) means present, linked as C(current), and the application restarted.
      - V(absent) means removed. The current release and the one to go back to are refused.
    type: str
    choices: [present, current, absent]
    default: present
  artifact:
    description:
      - The release as a tar archive, plain or compressed, on the host. Its files are those of the release
        folder itself, without a folder around them.
      - Only needed while the release is not there.
    type: path
    default: ""
  sha256:
    description: The checksum the artifact must have.
    type: str
    default: ""
  restart_command:
    description:
      - The command that makes the application take up what is current, word by word. There is no shell.
      - Required with O(state=current).
    type: list
    elements: str
  restart_timeout_seconds:
    description: How long that command may take.
    type: float
    default: 60
  must_restart:
    description:
      - Restart even if the release is current already.
      - For a caller who has seen that the application does not answer with it.
    type: bool
    default: false
  keep_releases:
    description:
      - How many of the newest releases are kept when one becomes current.
      - The current one and the one to go back to are kept in any case. V(0) keeps all.
    type: int
    default: 5
extends_documentation_fragment:
  - emailai.migration._attributes
  - emailai.migration._attributes.actiongroup_migration
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
"""

EXAMPLES = r"""
- name: Unpack the release while the old one serves
  emailai.migration.app_release:
    name: v2.0.0-orgs
    folder: /srv/emailai
    artifact: /srv/emailai/artifacts/v2.0.0-orgs.tar.gz
    sha256: 1f2c6a5e3f3a8a6f0b1d5a7c9e2b4d6f8091a2b3c4d5e6f708192a3b4c5d6e7f

- name: Serve it
  emailai.migration.app_release:
    name: v2.0.0-orgs
    folder: /srv/emailai
    state: current
    restart_command: [systemctl, restart, emailai]
"""

RETURN = r"""
before:
  description: The release that was current.
  returned: success
  type: str
  sample: v1.9.0
after:
  description: The release that is current; in check mode the one that would be.
  returned: success
  type: str
  sample: v2.0.0-orgs
is_current:
  description: Whether O(name) is current and no restart is owed.
  returned: success
  type: bool
  sample: true
previous:
  description: The release to go back to.
  returned: success
  type: str
  sample: v1.9.0
sha256:
  description: The checksum of the artifact that the current release came from, empty if it is not known.
  returned: success
  type: str
  sample: 1f2c6a5e3f3a8a6f0b1d5a7c9e2b4d6f8091a2b3c4d5e6f708192a3b4c5d6e7f
releases:
  description: All whole releases.
  returned: success
  type: list
  elements: str
  sample: [v1.9.0, v2.0.0-orgs]
unpacked:
  description: Whether the artifact was unpacked.
  returned: success
  type: bool
  sample: true
restarted:
  description: Whether the application was restarted.
  returned: success
  type: bool
  sample: false
removed:
  description: Releases that were removed.
  returned: success
  type: list
  elements: str
  sample: []
"""

import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils import _answer
from ansible_collections.emailai.migration.plugins.module_utils._platform import release, server


def run(params: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """Arrange the release folders."""
    order = release.Order(
        name=params["name"],
        state=params["state"],
        sha256=params["sha256"].lower(),
        keep_releases=params["keep_releases"],
        must_restart=params["must_restart"],
    )
    restart = server.Restart(params["restart_command"] or [], params["restart_timeout_seconds"])
    return server.arrange(
        server.Server(Path(params["folder"])), order, params["artifact"], restart, check_mode
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "state": {"type": "str", "default": "present", "choices": ["present", "current", "absent"]},
            "artifact": {"type": "path", "default": ""},
            "sha256": {"type": "str", "default": ""},
            "restart_command": {"type": "list", "elements": "str"},
            "restart_timeout_seconds": {"type": "float", "default": 60},
            "must_restart": {"type": "bool", "default": False},
            "keep_releases": {"type": "int", "default": 5},
        },
        required_if=[("state", "current", ["restart_command"])],
        supports_check_mode=True,
    )
    _answer.answer(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
