# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lb_member_info
short_description: Read the application servers from their balancers
description:
  - Says who is in a backend, who serves, and whether the balancers have room for a rollout.
  - A balancer that cannot be asked is an open line in RV(readiness), never a failure and never silence.
version_added: 0.1.0
author: EmailAI platform engineering (@emailai)
options:
  backend:
    description: The backend, as the balancers name it.
    type: str
    required: true
  members:
    description: The servers that every balancer must know.
    type: list
    elements: str
    default: []
  batches:
    description:
      - Lists of servers that would be drained together, in their order.
      - RV(steps) says what would go on serving at each of them.
    type: list
    elements: list
    default: []
  lease_folder:
    description:
      - The folder in which leases of drained servers are kept, if that is to be looked at.
      - Empty says that nobody keeps any, so a drain would not heal itself.
    type: path
extends_documentation_fragment:
  - emailai.migration._balancer
  - emailai.migration._balancer.capacity
  - emailai.migration._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
seealso:
  - module: emailai.migration.lb_member
"""

EXAMPLES = r"""
- name: See whether one server after another can be drained
  emailai.migration.lb_member_info:
    balancers:
      - socket: /run/haproxy/admin.sock
    backend: emailai
    members: [app-1, app-2]
    batches: [[app-1], [app-2]]
  register: fleet
"""

RETURN = r"""
members:
  description: Every server as each balancer that answered sees it.
  returned: always
  type: list
  elements: dict
  sample:
    - {balancer: HAProxy at /run/haproxy/admin.sock, member: app-1, address: "10.0.0.11:3000", state: ready,
       status: UP, serving: true, health: 3, full_health: 3, sessions: 2, queued: 0, connections: 2}
steps:
  description: For each of O(batches) who is drained and what goes on serving, where there is least to spare.
  returned: always
  type: list
  elements: dict
  sample:
    - {batch: 1, drains: [app-1], balancer: HAProxy at /run/haproxy/admin.sock, members: 2, healthy: 2,
       healthy_after: 1, minimum: 1, enough: true}
readiness:
  description: Lines of the readiness table.
  returned: always
  type: list
  elements: dict
  sample:
    - {item: HAProxy at /run/haproxy/admin.sock reachable, kind: balancer,
       required: answers and takes orders (level admin), found: answers and takes orders,
       read_by: "show servers state, show cli level", state: met}
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils import _answer
from ansible_collections.emailai.migration.plugins.module_utils._balancer import healing, kinds, survey


def run(params: dict[str, t.Any]) -> dict[str, t.Any]:
    """Ask all balancers."""
    question = survey.Question(
        backend=params["backend"],
        members=params["members"],
        batches=params["batches"],
        min_healthy=params["min_healthy"],
        min_healthy_percent=params["min_healthy_percent"],
    )
    found = survey.survey(kinds.open_all(params["balancers"]), question)
    if params["lease_folder"] is not None:
        found["readiness"] += healing.lines(params["lease_folder"], params["backend"])
    return found


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "balancers": kinds.BALANCERS_OPTION,
            "backend": {"type": "str", "required": True},
            "members": {"type": "list", "elements": "str", "default": []},
            "batches": {"type": "list", "elements": "list", "default": []},
            "lease_folder": {"type": "path"},
            **kinds.CAPACITY_OPTIONS,
        },
        supports_check_mode=True,
    )
    _answer.answer(module, lambda: run(module.params))


if __name__ == "__main__":
    main()
