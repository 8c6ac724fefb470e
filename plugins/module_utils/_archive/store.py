# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where backups are kept: one face for every kind of store, and the options that choose one."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._archive import folder, keys, s3
from ansible_collections.emailai.migration.plugins.module_utils._archive.stored import (
    Entry,
    Pending,
    Stored,
    Writer,
)
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

STORE_OPTIONS: t.Final[dict[str, t.Any]] = {
    "kind": {"type": "str", "choices": ["s3", "folder"], "default": "s3"},
    "bucket": {"type": "str"},
    "prefix": {"type": "str", "default": "migrations/"},
    "endpoint_url": {"type": "str"},
    "region": {"type": "str"},
    # Says who, not that it is really them.
    "access_key": {"type": "str", "no_log": False},
    "secret_key": {"type": "str", "no_log": True},
    "ca_cert": {"type": "path"},
    "checksum": {"type": "str", "choices": ["crc32", "none"], "default": "crc32"},
    "encryption": {"type": "str", "choices": ["bucket", "AES256", "aws:kms"], "default": "bucket"},
    "kms_key": {"type": "str", "no_log": False},
    "path": {"type": "path"},
    **keys.KEY_OPTIONS,
}


class Store(t.Protocol):
    label: str
    prefix: str
    checksum: str

    def check(self) -> None:
        """Raise unless the store can be reached and listed with these keys. Writes nothing."""

    def probe_write(self) -> None:
        """Raise unless something may be written; leaves nothing behind."""

    def entries(self, prefix: str) -> list[Entry]: ...

    def head(self, key: str) -> Entry | None: ...

    def read(self, key: str) -> t.Iterator[bytes]: ...

    def put(self, key: str, body: bytes) -> Stored:
        """Write a small object that must not be there yet."""

    def writer(self, key: str, streams: int) -> Writer:
        """Write an object of unknown size that must not be there yet; it appears whole or not at all."""

    def delete(self, keys: t.Sequence[str]) -> None: ...

    def pending(self) -> list[Pending]:
        """Uploads under our prefix that were begun and neither finished nor given up."""

    def drop_pending(self, pending: Pending) -> None: ...

    def fetch_commands(self, prefix: str) -> list[str]:
        """Plain commands that bring all objects under ``prefix`` into the current folder."""


def open_store(options: t.Mapping[str, t.Any]) -> Store:
    """The store that a module's option ``store`` describes."""
    prefix = (options.get("prefix") or "").strip("/")
    prefix = f"{prefix}/" if prefix else ""
    if options.get("kind") == "folder":
        if not options.get("path"):
            raise MigrationError(
                "use", "the store", "a folder store needs a path", "Set store.path", kind="storage"
            )
        return folder.FolderStore(options["path"], prefix)
    if not options.get("bucket"):
        raise MigrationError(
            "use", "the store", "an S3 store needs a bucket", "Set store.bucket", kind="storage"
        )
    return s3.S3Store(s3.Access.from_options(options), options["bucket"], prefix)
