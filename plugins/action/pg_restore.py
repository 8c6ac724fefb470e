# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts a restore on its host, and shows a line of progress until it ends."""

from __future__ import annotations

from ansible_collections.emailai.migration.plugins.action import pg_backup


class ActionModule(pg_backup.ActionModule):
    module = "emailai.migration.pg_restore"
