# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module reaches Docker Engine, described once."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  engine_command:
    description:
      - Docker's command on the host, word by word; C(compose) of version 2 is its subcommand. No shell.
    type: list
    elements: str
    default: [docker]
  engine_timeout_seconds:
    description: How long one command may take, such as a pull, a push or a build.
    type: float
    default: 600
"""
