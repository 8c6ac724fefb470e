# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module reaches a cluster, described once."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  kubeconfig:
    description: The file with the cluster and the credentials. Empty means what kubectl would take.
    type: path
    default: ''
  context:
    description: The context of that file. Empty means its current one.
    type: str
    default: ''
  namespace:
    description: The namespace in which everything is looked for and made.
    type: str
    default: default
  patience_seconds:
    description: How long an API server that does not answer is asked again.
    type: float
    default: 60
requirements:
  - kubernetes
"""
