# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module of the collection promises, described once."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and predict changes without changing anything.
  diff_mode:
    description: Returns what was there before and what is there after when run in diff mode.
  idempotent:
    description: Run again with the same options and an unchanged world, it changes nothing.
"""

    ACTIONGROUP_MIGRATION = r"""
options: {}
attributes:
  action_group:
    description:
      - Use C(group/emailai.migration.migration) in C(module_defaults) to set options for all modules.
    support: full
    membership:
      - emailai.migration.migration
"""
