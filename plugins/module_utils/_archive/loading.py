# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fills a fresh database from the store: schema, then data in parallel streams, then indexes and keys."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ansible_collections.emailai.migration.plugins.module_utils._archive import (
    backup,
    catalog,
    client,
    keys,
    names,
    packing,
    preflight,
    sealing,
    store,
    stream,
)
from ansible_collections.emailai.migration.plugins.module_utils._archive import manifest as manifests
from ansible_collections.emailai.migration.plugins.module_utils._archive.watch import Progress
from ansible_collections.emailai.migration.plugins.module_utils._postgres import connection as postgres

# A copy that does not survive a crash is made again; nothing of it has to be on disk at each commit.
_SESSION: t.Final = "-c synchronous_commit=off -c statement_timeout=0 -c lock_timeout=0"

Stream = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class Loader:
    """``target`` names the server; ``folder`` takes the small archive of the schema, and nothing else."""

    target: postgres.Target
    manifest: manifests.Manifest
    place: store.Store
    program: client.Client
    folder: str
    purpose: str
    jobs: int
    progress: Progress
    crew: stream.Crew
    key: keys.Key | None = field(default=None, repr=False)

    def load(self, database: str, terms: preflight.Terms, is_for_use: bool) -> dict[str, float]:
        """Everything into ``database``, which is empty; returns the seconds of each step.

        What nobody will query needs no statistics.
        """
        streams = self.manifest["streams"]
        expected = sum(one["bytes_plain"] for one in streams)
        self.progress.begin("restore", expected, tables=len(self.manifest["content"]["tables"]))
        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            environment = stack.enter_context(postgres.child_environment(self.target))
            environment.update(PGAPPNAME=backup.application_name(self.purpose), PGOPTIONS=_SESSION)
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="schema-", dir=self.folder))
            schema = os.path.join(folder, "schema.dump")
            self._fetch(next(one for one in streams if one["section"] == "schema"), schema)
            command = self._command(database, terms)
            chosen = self._without(schema, terms.left_out) if terms.left_out else []
            stream.run_child(self.crew, [*command, "--section=pre-data", *chosen, schema], environment)
            self._pour_all([*command, "--section=data"], environment)
            loaded = time.monotonic()
            last = [*command, "--section=post-data", f"--jobs={self.jobs}", schema]
            stream.run_child(self.crew, last, environment)
        indexed = time.monotonic()
        seconds = {"data": round(loaded - began, 2), "indexes": round(indexed - loaded, 2)}
        if is_for_use:
            self._analyze(database)
            seconds["analyze"] = round(time.monotonic() - indexed, 2)
        return seconds

    def _command(self, database: str, terms: preflight.Terms) -> list[str]:
        program = self.program.program("pg_restore")
        return [program, "--exit-on-error", "--no-password", "--dbname", conninfo(database), *terms.options]

    def _fetch(self, one: Stream, path: str) -> None:
        with open(path, "wb") as handle:
            self._receive(one, handle.write)

    def _pour_all(self, command: t.Sequence[str], environment: t.Mapping[str, str]) -> None:
        data = [one for one in self.manifest["streams"] if one["section"] == "data"]

        def pour(one: Stream) -> None:
            stream.feed_child(self.crew, command, environment, lambda write: self._receive(one, write))

        with ThreadPoolExecutor(max(1, min(self.jobs, len(data))), thread_name_prefix="stream") as pool:
            backup.all_or_nothing([pool.submit(pour, one) for one in data], self.progress, self.crew)

    def _receive(self, one: Stream, write: t.Callable[[bytes], t.Any]) -> None:
        def sink(data: bytes) -> None:
            write(data)
            self.progress.add_bytes(len(data))

        expected = stream.Sums(
            one["bytes_plain"], one["sha256_plain"], one["bytes_packed"], one["sha256_packed"]
        )
        chunks = self.place.read(names.key(self.place.prefix, self.manifest["id"], one["file"]))
        codec = packing.unpacker(self.manifest["compression"]["kind"])
        if self.key:
            codec = sealing.Both(sealing.Opener(self.key), codec)
        stream.receive(chunks, codec, expected, one["file"], sink, self.crew)

    def _without(self, schema: str, left_out: t.Collection[str]) -> list[str]:
        """Options that let pg_restore skip these extensions and what is said about them."""
        contents = f"{schema}.list"
        command = [self.program.program("pg_restore"), "--list", f"--file={contents}", schema]
        stream.run_child(self.crew, command, {})
        with open(contents, encoding="utf-8") as handle:
            lines = handle.read().splitlines()
        with open(contents, "w", encoding="utf-8") as handle:
            handle.writelines(f"{line}\n" for line in kept_entries(lines, left_out))
        return [f"--use-list={contents}"]

    def _analyze(self, database: str) -> None:
        self.progress.begin("analyze")
        with postgres.session(
            self.target.for_database(database), self.purpose, autocommit=True
        ) as connection:
            self.crew.sessions.append(connection)
            catalog.pin(connection, lock_wait_seconds=10)
            with connection.cursor() as cursor:
                cursor.execute("ANALYZE")


def ensure_whole(place: store.Store, manifest: manifests.Manifest) -> None:
    """What the store says about every object, before anything is made from them."""
    for one in manifest["streams"]:
        entry = place.head(names.key(place.prefix, manifest["id"], one["file"]))
        cause = ""
        if entry is None:
            cause = "it is not in the store"
        elif entry.size != one["bytes_packed"]:
            cause = f"it has {entry.size} bytes of {one['bytes_packed']}"
        elif entry.crc32 not in (-1, int(one["crc32"], 16)):
            cause = "the store's checksum is not the manifest's"
        if cause:
            raise stream.damaged(one["file"], cause)


def kept_entries(lines: t.Sequence[str], left_out: t.Collection[str]) -> list[str]:
    """A list of contents without these extensions. Pure."""
    chosen = "|".join(re.escape(name) for name in left_out)
    unwanted = re.compile(rf"\d+; \d+ \d+ (?:EXTENSION - |COMMENT - EXTENSION )(?:{chosen})(?:\s|$)")
    return [line for line in lines if not unwanted.match(line)]


def conninfo(database: str) -> str:
    """A database's name as libpq reads it; a bare one with an equals sign would be taken for options."""
    escaped = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{escaped}'"
