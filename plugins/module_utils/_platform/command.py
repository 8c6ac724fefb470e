# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command of the operator's, run without a shell, with an end to the waiting."""

from __future__ import annotations

import subprocess
import tempfile
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

_TAIL_BYTES: t.Final = 600


def run(act: str, command: t.Sequence[str], folder: str, timeout_seconds: float) -> None:
    """Wait for the command itself; a daemon that it leaves behind may keep its output open."""
    if not command:
        raise MigrationError(act, "without a command", "none is given")
    # A pipe would be held open by such a daemon and nobody would ever read its end.
    with tempfile.TemporaryFile() as output:
        try:
            child = subprocess.Popen(
                list(command), cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        except OSError as exc:
            raise MigrationError(act, f"with {command[0]}", exc.strerror or str(exc)) from exc
        try:
            code = child.wait(timeout_seconds)
        except subprocess.TimeoutExpired as exc:
            child.kill()
            child.wait()
            raise MigrationError(
                act, f"with {command[0]}", f"it did not end within {timeout_seconds:g} s"
            ) from exc
        if code != 0:
            output.seek(max(0, output.seek(0, 2) - _TAIL_BYTES))
            said = " ".join(output.read().decode("utf-8", "replace").split())
            raise MigrationError(
                act, f"with {command[0]}", f"it ended with {code}" + (f" and said: {said}" if said else "")
            )
