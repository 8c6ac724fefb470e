# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where a result or a foreseen failure becomes a module's answer."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import cause_of

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def answer(module: AnsibleModule, run: t.Callable[[], dict[str, t.Any]]) -> t.NoReturn:
    """Call ``run`` and leave the process with its result, or with its sentence."""
    try:
        result = run()
    except MigrationError as exc:
        module.fail_json(msg=str(exc), **exc.facts)
    except Exception as exc:
        if not _is_of_driver(exc):
            raise
        # The server refused something nobody foresaw: its own words, and no traceback with values in it.
        refusal = MigrationError(
            "finish", module._name, cause_of(exc), "See the server's log", kind="database"
        )
        module.fail_json(msg=str(refusal), **refusal.facts)
    module.exit_json(**result)


def _is_of_driver(exc: Exception) -> bool:
    """Known by its module: a module that needs no database must run where the driver is not installed."""
    return type(exc).__module__.partition(".")[0] == "psycopg2"
