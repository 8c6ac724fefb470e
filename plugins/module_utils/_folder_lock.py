# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One at a time on this host: who looks at a thing and then changes it must not be overtaken in between."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError


def _take(handle: int, folder: str, patience_seconds: float) -> None:
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise MigrationError(
                    "lock", folder, f"another process held it for {patience_seconds:g} s"
                ) from None
            time.sleep(0.02)


@contextlib.contextmanager
def locked(folders: t.Iterable[str], patience_seconds: float = 15) -> t.Iterator[list[int]]:
    """Hold each folder. The lock is the kernel's: it leaves no file and dies with the process.

    A child that is given the handles holds it too, also when we are killed.
    """
    with contextlib.ExitStack() as held:
        # Everybody takes them in the same order, so that two can never wait for each other.
        handles = []
        for folder in sorted(set(folders)):
            try:
                handle = os.open(folder, os.O_RDONLY)
            except OSError as exc:
                raise MigrationError("lock", folder, exc.strerror or str(exc)) from exc
            held.callback(os.close, handle)
            _take(handle, folder, patience_seconds)
            handles.append(handle)
        yield handles
