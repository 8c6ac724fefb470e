# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lb_member
short_description: Take an application server out of its balancers, or bring it back
description:
  - V(drained) lets a server finish what it has and gives it nothing new, on all balancers or on none,
    and returns when nothing was in flight for several looks in a row.
  - V(ready) waits until the balancers' own checks call the server healthy in full, and only then gives it
    traffic. A server in maintenance is not made ready at once, for it would count as healthy unchecked.
  - A drain that would leave fewer healthy members than allowed is refused.
version_added: 0.1.0
author: EmailAI platform engineering (@emailai)
options:
  backend:
    description: The backend, as the balancers name it.
    type: str
    required: true
  member:
    description: The server, as the balancers name it.
    type: str
    required: true
  state:
    description: Where the server should be.
    type: str
    choices: [drained, ready]
    required: true
  timeout_seconds:
    description: How long to wait for the last request to end, or for the checks to pass.
    type: float
    default: 120
  on_timeout:
    description:
      - What to do with requests that are still in flight after O(timeout_seconds).
      - V(fail) gives the server its traffic back and fails.
      - V(force) cuts them off and returns how many there were.
    type: str
    choices: [fail, force]
    default: fail
  stable_polls:
    description:
      - So many looks in a row must find nothing in flight.
      - With O(lease.token) one look is enough where the drain has found it so and no balancer
        was reloaded since.
    type: int
    default: 3
  poll_milliseconds:
    description:
      - The time between two looks while requests are in flight.
      - A look that found nothing is followed by the next one after at most 100 milliseconds.
    type: int
    default: 250
  app_address:
    description:
      - Address and port on which the application listens, if they are not those the balancer uses.
      - Connections to it that no balancer accounts for are waited for as well. They are seen when the module
        runs on the application's host or on the balancer's.
    type: str
    default: ""
  lease:
    description:
      - Lets a server that this run took out come back by itself when the run is not heard of any more.
      - A small process on this host keeps the lease. It also takes the server out again when a reload of the
        balancer has forgotten the drain.
      - When the time is over it brings the server back if the lease was not taken over, the balancers still
        have it as the drain left it, one of O(lease.versions) answers, and it is healthy several times in a
        row. Else it leaves it out and says so in the lease.
      - O(state=drained) begins a lease, or takes over that of a run that was lost. With O(lease.token) it
        goes on with its own, for O(lease.seconds) from now, and fails if that is over or another run has it.
      - O(state=ready) ends it.
    type: dict
    suboptions:
      folder:
        description: Where leases are kept, on the host on which this module runs.
        type: path
        required: true
      seconds:
        description: How long the server may stay out without another word from the run.
        type: float
        default: 60
      token:
        description: The token that the drain returned. Empty takes the lease over.
        type: str
        default: ""
      health_url:
        description:
          - The address at which the server itself says how it is and which release it runs.
          - Empty leaves it to the balancers' checks.
        type: str
        default: ""
      versions:
        description: The releases that may get users without a run. Empty allows any.
        type: list
        elements: str
        default: []
      consecutive:
        description: So many good looks in a row.
        type: int
        default: 3
extends_documentation_fragment:
  - emailai.migration._balancer
  - emailai.migration._balancer.capacity
  - emailai.migration._attributes
  - emailai.migration._attributes.actiongroup_migration
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
seealso:
  - module: emailai.migration.lb_member_info
"""

EXAMPLES = r"""
- name: Take app-1 out of traffic
  emailai.migration.lb_member:
    balancers:
      - socket: /run/haproxy/admin.sock
      - socket: 10.0.0.2:9999
    backend: emailai
    member: app-1
    state: drained
    min_healthy_percent: 75

- name: Bring app-1 back
  emailai.migration.lb_member:
    balancers:
      - socket: /run/haproxy/admin.sock
      - socket: 10.0.0.2:9999
    backend: emailai
    member: app-1
    state: ready
"""

RETURN = r"""
members:
  description: The server as each balancer sees it afterwards; in check mode as it would.
  returned: success
  type: list
  elements: dict
  sample:
    - {balancer: HAProxy at /run/haproxy/admin.sock, member: app-1, address: "10.0.0.11:3000", state: drained,
       status: DRAIN, serving: false, health: 3, full_health: 3, sessions: 0, queued: 0, connections: 0}
capacity:
  description: Who serves before and after the drain, at the balancer with the least to spare.
  returned: when O(state=drained), also when it is refused for it
  type: dict
  sample: {balancer: HAProxy at /run/haproxy/admin.sock, members: 4, healthy: 4, healthy_after: 3, minimum: 2,
           enough: true}
in_flight:
  description: Requests in flight when the drain began, or those left when it timed out.
  returned: when O(state=drained)
  type: int
  sample: 6
cut:
  description: Requests that were cut off because of O(on_timeout=force).
  returned: when O(state=drained)
  type: int
  sample: 0
timed_out:
  description: The drain failed because requests were still in flight.
  returned: when it did
  type: bool
  sample: true
lease:
  description: The lease under which the server is out; empty when it is over.
  returned: when O(lease) is given
  type: dict
  sample: {token: 5f1c0ae99b3d7c21, seconds: 60}
lease_found:
  description: What became of the lease of an earlier run, empty if there was none.
  returned: when O(lease) is given
  type: str
  sample: "no run came back for app-1, so its keeper gave it its traffic again (2026-03-01T02:10:00Z)"
waited_seconds:
  description: How long the whole took.
  returned: success
  type: float
  sample: 0.76
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils import _answer
from ansible_collections.emailai.migration.plugins.module_utils._balancer import (
    kinds,
    lease,
    passage,
    stay,
    strangers,
)


def run(params: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """Drain or readmit."""
    balancers = kinds.open_all(params["balancers"])
    wish = passage.Wish(
        backend=params["backend"],
        member=params["member"],
        timeout_seconds=params["timeout_seconds"],
        on_timeout=params["on_timeout"],
        min_healthy=params["min_healthy"],
        min_healthy_percent=params["min_healthy_percent"],
        stable_polls=params["stable_polls"],
        poll_seconds=params["poll_milliseconds"] / 1000,
    )
    terms = lease.Terms(**params["lease"]) if params["lease"] else None
    if params["state"] == "ready":
        return stay.readmit(balancers, params["balancers"], wish, terms, check_mode, time)
    return stay.drain(
        balancers,
        params["balancers"],
        wish,
        terms,
        lambda members: strangers.count(params["app_address"], members),
        check_mode,
        time,
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "balancers": kinds.BALANCERS_OPTION,
            "backend": {"type": "str", "required": True},
            "member": {"type": "str", "required": True},
            "state": {"type": "str", "required": True, "choices": ["drained", "ready"]},
            "timeout_seconds": {"type": "float", "default": 120},
            "on_timeout": {"type": "str", "default": "fail", "choices": ["fail", "force"]},
            "stable_polls": {"type": "int", "default": 3},
            "poll_milliseconds": {"type": "int", "default": 250},
            "app_address": {"type": "str", "default": ""},
            "lease": kinds.LEASE_OPTION,
            **kinds.CAPACITY_OPTIONS,
        },
        supports_check_mode=True,
    )
    _answer.answer(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
