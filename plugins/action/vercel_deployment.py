# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``vercel_deployment`` without an interpreter of its own where the host is the controller."""

from ansible_collections.emailai.migration.plugins.plugin_utils._direct import DirectAction


class ActionModule(DirectAction):
    """The module, and nothing around it."""
