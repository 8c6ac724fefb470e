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
        description:
          - The kind of balancer.
          - V(haproxy) is spoken to at its runtime socket.
          - V(nginx) has a file of its servers changed, tested and reloaded, on the host on which it runs.
          - V(nginx_plus) is spoken to at its API.
          - V(target_group) is a target group of AWS, by its name or ARN.
        type: str
        default: haproxy
        choices: [haproxy, nginx, nginx_plus, target_group]
      socket:
        description:
          - The runtime socket of HAProxy, as a path or as C(host:port). It needs C(level admin).
        type: str
      master_socket:
        description:
          - The socket of HAProxy's master process, if there is one.
          - It alone knows the old workers of a reload, which still hold connections.
        type: str
      file:
        description:
          - The file of C(server) lines that the upstream of nginx includes.
          - The first word of a line's comment is the name of the server.
        type: path
      command:
        description: How nginx itself is called, word by word; C(-t) and C(-s reload) are added.
        type: list
        elements: str
        default: [nginx]
      pid_file:
        description: The file in which nginx writes the number of its master process.
        type: path
        default: /run/nginx.pid
      health_path:
        description: The page at which the servers of nginx say how they are; nginx itself asks none.
        type: str
        default: /api/health
      url:
        description: The API of NGINX Plus with its version, as V(http://10.0.0.5:8080/api/9).
        type: str
      members:
        description:
          - The names of the servers and what they stand for there.
          - For V(nginx_plus) the server's name in the upstream, where that differs; for V(target_group) the
            target and its port, as V(i-0123456789abcdef0:3000).
        type: dict
      region:
        description: The region of AWS.
        type: str
      profile:
        description: The profile of AWS; without one the host's own role or environment counts.
        type: str
      endpoint_url:
        description: Another address of AWS's API.
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
