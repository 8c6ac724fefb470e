# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lb_page
short_description: Show or hide the maintenance page at the balancers
description:
  - Writes two entries of a map that the balancer's own rules read at each request, C(state) and C(page).
  - The rules decide what stays reachable. Those of the example keep the health path open, so that the
    balancers' checks and the rollout go on while visitors see the page.
  - A map set at run time is forgotten at a reload; the file it came from says what counts then.
version_added: 0.1.0
author: EmailAI platform engineering (@emailai)
options:
  map:
    description: The map, by the path under which the balancers' configuration names it.
    type: str
    required: true
  state:
    description: Whether visitors see the page.
    type: str
    choices: [shown, hidden]
    required: true
  text:
    description:
      - The page in HTML. Line breaks and runs of spaces become single spaces.
      - Empty leaves the text as it is.
    type: str
    default: ""
extends_documentation_fragment:
  - emailai.migration._balancer
  - emailai.migration._attributes
  - emailai.migration._attributes.actiongroup_migration
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
notes:
  - 'Rules for the front end: C(acl is_health path /api/health), then
    C(acl is_maintenance str(state),map(/etc/haproxy/maintenance.map,hidden) -m str shown), then
    C(http-request return status 503 content-type text/html hdr Retry-After 300 lf-string
    "%[str(page),map(/etc/haproxy/maintenance.map)]" if is_maintenance !is_health).'
  - The file C(/etc/haproxy/maintenance.map) holds the lines C(state hidden) and C(page) with a first text.
"""

EXAMPLES = r"""
- name: Show the maintenance page
  emailai.migration.lb_page:
    balancers:
      - socket: /run/haproxy/admin.sock
    map: /etc/haproxy/maintenance.map
    state: shown
    text: "<h1>Scheduled maintenance</h1><p>Back at 05:00. https://status.example.com</p>"

- name: Hide it again
  emailai.migration.lb_page:
    balancers:
      - socket: /run/haproxy/admin.sock
    map: /etc/haproxy/maintenance.map
    state: hidden
"""

RETURN = r"""
state:
  description: Whether visitors see the page.
  returned: success
  type: str
  sample: shown
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils import _answer
from ansible_collections.emailai.migration.plugins.module_utils._balancer import kinds, page


def run(params: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """Switch the page."""
    wanted = page.Page(map_name=params["map"], state=params["state"], text=params["text"])
    return page.switch(kinds.open_pages(params["balancers"]), wanted, check_mode)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "balancers": kinds.BALANCERS_OPTION,
            "map": {"type": "str", "required": True},
            "state": {"type": "str", "required": True, "choices": ["shown", "hidden"]},
            "text": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    _answer.answer(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
