# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: app_smoke
short_description: Try on one server what users live by, as a test user or by a command
description:
  - Logs in as a user whom the operator names and tries each function of the runbook's lists, one after the
    other, on one server by its own address.
  - What it makes on the way bears a mark and is removed again, whatever fails in between. What a run that was
    cut off has left is found by the mark and removed first.
  - Each check has passed, has failed, or is not applicable, with the reason.
  - A command of the operator's may take the place of all that; it counts as one check.
version_added: 0.1.0
author: EmailAI platform engineering (@emailai)
options:
  url:
    description: The server, as C(http://host:port).
    type: str
    required: true
  user:
    description:
      - The address of the test user. He owns an organization with a subscription and at least one free seat,
        has two e-mail accounts and an enabled rule with a word in quotes. Needed without O(command).
    type: str
    default: ""
  password:
    description: His password, if the application asks for one. The members he invites log in with it, too.
    type: str
    default: ""
  command:
    description:
      - A command that takes the place of the suite, word by word, run without a shell in the current folder.
      - It must end with 0 within O(timeout_seconds). Its last words are told if it does not.
    type: list
    elements: str
    default: []
  has_organizations:
    description: Whether this release has organizations. If not, the checks on them are not applicable.
    type: bool
    default: true
  routes:
    description:
      - The routes that differ from the defaults, by name, as C(METHOD /path). They stand in C(docs/smoke.md).
      - An empty route says that the application has no such function; checks that need it are not applicable.
    type: dict
    default: {}
  timeout_seconds:
    description: How long all checks together may take. Cleaning up has ten seconds of its own.
    type: float
    default: 60
  validate_certs:
    description: Whether the certificate of the server must be valid.
    type: bool
    default: true
  ca_cert:
    description: A file with the authority that vouches for the server.
    type: path
extends_documentation_fragment:
  - emailai.migration._attributes
  - emailai.migration._attributes.actiongroup_migration
attributes:
  check_mode:
    support: full
    description: Names the checks and asks the server nothing.
  diff_mode:
    support: none
  idempotent:
    support: full
notes:
  - C(changed) is only true where something was removed that an earlier run had left.
"""

EXAMPLES = r"""
- name: Try app-1 before users come back
  emailai.migration.app_smoke:
    url: http://app-1.internal:3000
    user: smoke@example.com
    password: "{{ vault_smoke_password }}"

- name: Try app-1 by a suite of our own
  emailai.migration.app_smoke:
    url: http://app-1.internal:3000
    command: [npx, playwright, test, --grep, "@smoke"]
"""

RETURN = r"""
checks:
  description: Each check in the order in which it was tried. In check mode each is C(planned).
  returned: always
  type: list
  elements: dict
  sample:
    - {name: log_in, state: passed, reason: ""}
    - {name: switch, state: not_applicable, reason: the test user has one account only}
smoke:
  description: How many checks have passed, failed or had nothing to try, with reasons. The journal keeps it.
  returned: always
  type: dict
  sample: {passed: 17, failed: 0, not_applicable: 1, reasons: {switch: the test user has one account only}}
swept:
  description: What an earlier run had left and this one removed.
  returned: always
  type: list
  elements: str
  sample: []
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils import _answer
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform import command
from ansible_collections.emailai.migration.plugins.module_utils._smoke import suite
from ansible_collections.emailai.migration.plugins.module_utils._smoke.routes import Routes
from ansible_collections.emailai.migration.plugins.module_utils._smoke.talk import Talk
from ansible_collections.emailai.migration.plugins.module_utils._smoke.visit import Person, Visit


def run(params: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """Pay the server one visit, or let the operator's command do it."""
    if params["command"]:
        return _command(params, check_mode)
    if not params["user"]:
        raise MigrationError("try", params["url"], "there is neither user nor command", "Set one of them")
    routes = Routes(params["routes"], params["has_organizations"])
    talk = Talk(params["url"], params["timeout_seconds"], params["validate_certs"], params["ca_cert"] or "")
    if check_mode:
        return suite.answer(suite.plan())
    visit = Visit(talk.ask, routes, Person(params["user"], params["password"]))
    return suite.concluded(params["url"], suite.run(visit, talk.extend))


def _command(params: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    if not check_mode:
        command.run(f"try {params['url']}", params["command"], ".", params["timeout_seconds"])
    return suite.answer(suite.of_command(was_run=not check_mode))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "user": {"type": "str", "default": ""},
            "password": {"type": "str", "default": "", "no_log": True},
            "command": {"type": "list", "elements": "str", "default": []},
            "has_organizations": {"type": "bool", "default": True},
            "routes": {"type": "dict", "default": {}},
            "timeout_seconds": {"type": "float", "default": 60},
            "validate_certs": {"type": "bool", "default": True},
            "ca_cert": {"type": "path"},
        },
        supports_check_mode=True,
    )
    _answer.answer(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
