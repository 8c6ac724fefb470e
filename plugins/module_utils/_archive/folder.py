# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A local or mounted folder as a store. An object appears whole, by a rename, or not at all."""

from __future__ import annotations

import contextlib
import datetime
import os
import shlex
import typing as t
import uuid
import zlib

from ansible_collections.emailai.migration.plugins.module_utils._archive.stored import Entry, Pending, Stored
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

_DRAFT: t.Final = ".pending-"
_CHUNK: t.Final = 1024 * 1024


class FolderStore:
    checksum = "crc32"

    def __init__(self, path: str, prefix: str) -> None:
        self.root = os.path.abspath(path)
        self.prefix = prefix
        self.label = f"folder {os.path.join(self.root, prefix)}"

    def check(self) -> None:
        if not os.path.isdir(self.root):
            raise MigrationError("use", self.label, f"{self.root} is not a folder", "Make it", kind="storage")
        if not os.access(self.root, os.R_OK | os.W_OK | os.X_OK):
            raise MigrationError(
                "use",
                self.label,
                "this user may not read and write there",
                "Change its owner or mode",
                kind="storage",
            )

    def probe_write(self) -> None:
        self.check()

    def entries(self, prefix: str) -> list[Entry]:
        return [entry for entry in self._walk() if entry.key.startswith(prefix) and not _is_draft(entry.key)]

    def head(self, key: str) -> Entry | None:
        try:
            return self._entry(key)
        except FileNotFoundError:
            return None

    def read(self, key: str) -> t.Iterator[bytes]:
        try:
            with open(self._path(key), "rb") as handle:
                while True:
                    chunk = handle.read(_CHUNK)
                    if not chunk:
                        return
                    yield chunk
        except OSError as exc:
            raise _failure("read", key, self.label, exc) from None

    def put(self, key: str, body: bytes) -> Stored:
        writer = self.writer(key, 1)
        try:
            writer.write(body)
            return writer.finish()
        except BaseException:
            writer.abort()
            raise

    def writer(self, key: str, streams: int) -> _Draft:
        return _Draft(self, key, self._path(key))

    def delete(self, keys: t.Sequence[str]) -> None:
        for key in keys:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path(key))
            # The last object takes its folder along.
            with contextlib.suppress(OSError):
                os.rmdir(os.path.dirname(self._path(key)))

    def pending(self) -> list[Pending]:
        drafts = [
            entry for entry in self._walk() if entry.key.startswith(self.prefix) and _is_draft(entry.key)
        ]
        return [Pending(entry.key, self._path(entry.key), entry.modified) for entry in drafts]

    def drop_pending(self, pending: Pending) -> None:
        self.delete([pending.key])

    def fetch_commands(self, prefix: str) -> list[str]:
        return [f"cp {shlex.quote(os.path.join(self.root, prefix))}* ."]

    def crc32(self, key: str) -> int:
        value = 0
        for chunk in self.read(key):
            value = zlib.crc32(chunk, value)
        return value

    def _path(self, key: str) -> str:
        return os.path.join(self.root, *key.split("/"))

    def _entry(self, key: str) -> Entry:
        facts = os.stat(self._path(key))
        modified = datetime.datetime.fromtimestamp(facts.st_mtime, datetime.timezone.utc)
        return Entry(key, facts.st_size, modified)

    def _walk(self) -> t.Iterator[Entry]:
        for folder, _ignored, names in os.walk(os.path.join(self.root, *self.prefix.rstrip("/").split("/"))):
            for name in sorted(names):
                key = os.path.relpath(os.path.join(folder, name), self.root).replace(os.sep, "/")
                with contextlib.suppress(FileNotFoundError):
                    yield self._entry(key)


class _Draft:
    """An object on its way, in a file beside its place."""

    def __init__(self, store: FolderStore, key: str, path: str) -> None:
        self._store = store
        self._key = key
        self._path = path
        self._draft = os.path.join(
            os.path.dirname(path), f"{_DRAFT}{os.path.basename(path)}-{uuid.uuid4().hex[:8]}"
        )
        self._crc32 = 0
        self._size = 0
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            descriptor = os.open(self._draft, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
        except OSError as exc:
            raise _failure("write", key, store.label, exc) from None
        self._handle = os.fdopen(descriptor, "wb")

    def write(self, data: bytes) -> None:
        try:
            self._handle.write(data)
        except OSError as exc:
            raise _failure("write", self._key, self._store.label, exc) from None
        self._crc32 = zlib.crc32(data, self._crc32)
        self._size += len(data)

    def finish(self) -> Stored:
        try:
            self._handle.flush()
            os.fsync(self._handle.fileno())
            self._handle.close()
            # A rename would replace what is there; a link refuses.
            os.link(self._draft, self._path)
            os.unlink(self._draft)
            _fsync_folder(os.path.dirname(self._path))
        except OSError as exc:
            raise _failure("write", self._key, self._store.label, exc) from None
        found = self._store.crc32(self._key)
        if found != self._crc32:
            raise MigrationError(
                "write",
                f"{self._key} to {self._store.label}",
                "what is read back is not what was written",
                kind="storage",
            )
        return Stored(self._key, self._size, found, "read back")

    def abort(self) -> None:
        with contextlib.suppress(OSError):
            self._handle.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._draft)
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(self._path))


def _is_draft(key: str) -> bool:
    return key.rpartition("/")[2].startswith(_DRAFT)


def _fsync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failure(act: str, key: str, label: str, exc: OSError) -> MigrationError:
    cure = "Free space there" if exc.errno == 28 else ""
    return MigrationError(act, f"{key} in {label}", (exc.strerror or str(exc)).lower(), cure, kind="storage")
