# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that say which tables play which part, described once."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  run_id:
    description: Name of the run that the journal's rows are written under.
    type: str
    default: ""
  preset:
    description:
      - The model that O(map) starts from. V(runbook) has the names of the production runbook.
      - V(emailai) has users in C(User) who point at a premium they may share; the organization's premium
        is a column of the organization.
      - V(inbox_zero) has the same users, each of whose mailboxes is a member of one organization; premiums
        stay with the users.
    type: str
    choices: [runbook, emailai, inbox_zero]
    default: runbook
  map:
    description:
      - Keys of the model map that differ from the preset, as a nested dictionary.
      - What does not fit the catalog is refused with the whole list of differences.
    type: dict
    default: {}
"""
