# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where a result or a foreseen failure becomes a module's answer."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def answer(module: AnsibleModule, run: t.Callable[[], dict[str, t.Any]]) -> t.NoReturn:
    """Call ``run`` and leave the process with its result, or with its sentence."""
    try:
        result = run()
    except MigrationError as exc:
        module.fail_json(msg=str(exc), **exc.facts)
    module.exit_json(**result)
