# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module is told which balancers there are, described once."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  balancers:
    description:
      - Every balancer that sends traffic to the application.
      - What is done is done on all of them or on none.
    type: list
    elements: dict
    required: true
    suboptions:
      kind:
        description: The kind of balancer.
        type: str
        default: haproxy
        choices: [haproxy]
      socket:
        description:
          - The runtime socket, as a path or as C(host:port). It needs C(level admin).
        type: str
        required: true
      master_socket:
        description:
          - The socket of the master process, if there is one.
          - It alone knows the old workers of a reload, which still hold connections.
        type: str
"""

    CAPACITY = r"""
options:
  min_healthy:
    description: As many members must go on serving while one is drained.
    type: int
    default: 1
  min_healthy_percent:
    description:
      - Such a share of the backend must go on serving, rounded up to whole members.
      - The stricter of this and O(min_healthy) counts.
    type: int
    default: 50
"""
