# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases on disk: one file a member, replaced whole, changed only by whoever holds the folder."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._balancer import lease as leases
from ansible_collections.emailai.migration.plugins.module_utils._balancer.lease import Lease
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._folder_lock import locked


def now() -> str:
    """For people; nothing is decided by it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def path_of(folder: str, backend: str, member: str) -> str:
    return os.path.join(folder, leases.file_name(backend, member))


def prepare(folder: str) -> None:
    """The folder, private; an error if leases cannot be kept here."""
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as exc:
        raise MigrationError(
            "keep leases in",
            folder,
            exc.strerror or str(exc),
            "Give balancer_lease_folder a folder that this user may write",
        ) from exc


def locked_folder(folder: str) -> contextlib.AbstractContextManager[list[int]]:
    """Look and change as one act. Held for moments only, so nobody waits long."""
    return locked([folder])


def read(path: str) -> t.Optional[Lease]:
    """The lease, or None where there is none. One that cannot be read is an error, not none."""
    try:
        with open(path, encoding="utf-8") as handle:
            return leases.read(json.load(handle))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise MigrationError(
            "read",
            f"the lease {path}",
            f"{type(exc).__name__}: {exc}",
            "See at the balancer where the member stands, then remove the file",
        ) from exc


def write(path: str, lease: Lease) -> None:
    _replace(path, lease.as_document())


def write_sign(path: str, sign: t.Mapping[str, t.Any]) -> None:
    """That a process keeps a lease: its token and the number of the process."""
    _replace(path, sign)


def read_sign(path: str) -> t.Dict[str, t.Any]:
    """Empty where nobody has signed."""
    try:
        with open(path, encoding="utf-8") as handle:
            sign: t.Dict[str, t.Any] = json.load(handle)
        return sign
    except (OSError, ValueError):
        return {}


def _replace(path: str, document: t.Mapping[str, t.Any]) -> None:
    """Readers see the one before or this one, never half of it."""
    handle, draft = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".draft-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            json.dump(document, out)
            out.flush()
            os.fsync(out.fileno())
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
        raise


def remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def all_in(folder: str, backend: str) -> t.List[Lease]:
    """Every lease of a backend, by member; a folder that is not there yet has none."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    found = [
        read(os.path.join(folder, name))
        for name in names
        if name.startswith("lease-") and name.endswith(".json")
    ]
    return [lease for lease in found if lease is not None and lease.backend == backend]
