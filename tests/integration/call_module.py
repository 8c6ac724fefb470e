# SPDX-License-Identifier: GPL-3.0-or-later
"""Options for a module's own ``run``, as AnsibleModule would make them: checked, typed, defaults filled."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import typing as t
from importlib import import_module
from unittest import mock

from ansible.module_utils.common.arg_spec import ModuleArgumentSpecValidator

from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target

Result = dict[str, t.Any]
_MODULES = "ansible_collections.emailai.migration.plugins.modules"


class _Captured(Exception):
    pass


@functools.cache
def _spec(name: str) -> Result:
    module = import_module(f"{_MODULES}.{name}")
    made = mock.Mock(side_effect=_Captured)
    with mock.patch.object(module, "AnsibleModule", made), contextlib.suppress(_Captured):
        module.main()
    return {key: value for key, value in made.call_args.kwargs.items() if key != "supports_check_mode"}


def options(name: str, /, **given: t.Any) -> Result:
    """The module's parameters; an option that does not exist or does not fit is an error of the test."""
    # Validating fills defaults in place: each call gets a spec of its own, as each module's process does.
    found = ModuleArgumentSpecValidator(**copy.deepcopy(_spec(name))).validate(given)
    assert not found.error_messages, found.error_messages
    return dict(found.validated_parameters)


def login(target: Target) -> Result:
    """The connection options that reach a target."""
    return {
        f"login_{option}": value
        for option, value in {
            "host": target.host,
            "port": target.port,
            "user": target.user,
            "password": target.password,
            "db": target.dbname,
        }.items()
        if value
    }


def elsewhere(target: Target, **changes: t.Any) -> Target:
    return dataclasses.replace(target, **changes)
