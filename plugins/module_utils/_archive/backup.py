# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a backup: streams and digests under one snapshot, then the manifest that makes it count."""

from __future__ import annotations

import contextlib
import datetime
import os
import time
import typing as t
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field

from ansible_collections.emailai.migration.plugins.module_utils._archive import (
    catalog,
    client,
    digests,
    keys,
    names,
    packing,
    parts,
    sealing,
    shelf,
    store,
    stream,
)
from ansible_collections.emailai.migration.plugins.module_utils._archive import manifest as manifests
from ansible_collections.emailai.migration.plugins.module_utils._archive.watch import Progress
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres import connection as postgres

_GONE_WITHIN_SECONDS: t.Final = 10
_TELL_EVERY_SECONDS: t.Final = 0.5


@dataclass(frozen=True)
class Order:
    """What is to be backed up, and how."""

    target: postgres.Target
    identifier: str = ""
    run_id: str = ""
    client_folder: str = ""
    compression_level: int = 2
    jobs: int = 2
    lock_wait_seconds: int = 10
    key: keys.Key | None = field(default=None, repr=False)

    @property
    def purpose(self) -> str:
        # The server keeps 63 bytes of a session's name; the end of ours tells backups apart.
        return f"back up {self.identifier[-36:]}"


@dataclass(frozen=True)
class _Plan:
    name: str
    section: str
    options: tuple[str, ...]
    tables: tuple[str, ...] = ()


def plan_streams(sizes: t.Mapping[str, int], jobs: int) -> list[_Plan]:
    """The streams of one dump. Pure.

    One small stream holds everything before and after the data; large tables
    share ``jobs`` streams of data; whatever is not named in one of those, large
    objects and sequences included, is in the last. A table that the grouping
    forgot is therefore in the backup all the same.
    """
    groups = parts.group_tables(sizes, jobs)
    plans = [_Plan("schema", "schema", ("--section=pre-data", "--section=post-data"))]
    for number, group in enumerate(groups, 1):
        chosen = tuple(f"--table={name}" for name in group)
        plans.append(_Plan(f"data-{number}", "data", ("--section=data", *chosen), tuple(group)))
    left_out = tuple(f"--exclude-table-data={name}" for group in groups for name in group)
    plans.append(_Plan("data-rest", "data", ("--section=data", *left_out)))
    return plans


def make(order: Order, place: store.Store, progress: Progress, crew: stream.Crew) -> manifests.Manifest:
    """The whole of it; returns the manifest as it stands in the store. Leaves no session behind."""
    began = time.time()
    arrived: list[str] = []
    mark = names.key(place.prefix, order.identifier, names.MANIFEST)
    try:
        with postgres.session(order.target, order.purpose) as coordinator:
            document = _under_snapshot(order, place, coordinator, arrived, progress, crew)
        ensure_gone(order.target, order.purpose)
        document["seconds"] = round(time.time() - began, 2)
        document["finished_at"] = _now().isoformat()
        document["restore_by_hand"] = manifests.restore_by_hand(
            document, place.fetch_commands(names.key(place.prefix, order.identifier, ""))
        )
        if order.key:
            manifests.sign(document, order.key.sign)
        shelf.drop_strays(place, order.identifier)
        crew.ensure_wanted()
        place.put(mark, manifests.dump(document))
    except BaseException:
        # What was on its way has been given up by its writer; this is what had arrived. It stays if
        # the manifest could not be taken away: a manifest without its objects would look like a backup.
        with contextlib.suppress(MigrationError):
            shelf.drop_strays(place, order.identifier)
            if place.head(mark) is None:
                place.delete(arrived)
        raise
    return document


def _under_snapshot(
    order: Order,
    place: store.Store,
    coordinator: t.Any,
    arrived: list[str],
    progress: Progress,
    crew: stream.Crew,
) -> manifests.Manifest:
    catalog.pin(coordinator, order.lock_wait_seconds)
    coordinator.commit()
    server = catalog.read_server(coordinator)
    program = client.find(server.major, order.client_folder, order.target.ssl_mode)
    coordinator.commit()
    catalog.begin(coordinator)
    snapshot = str(catalog.rows(coordinator, "SELECT pg_export_snapshot()")[0][0])
    created_at = _now()
    sizes = catalog.table_sizes(coordinator)
    plans = plan_streams(sizes, order.jobs)
    progress.begin("dump", sum(sizes.values()), tables=len(sizes))
    with ThreadPoolExecutor(len(plans) + 2, thread_name_prefix="stream") as pool:
        # On the session that holds the snapshot, which has nothing else to do.
        description = pool.submit(catalog.read_description, coordinator)
        tables = pool.submit(_digests, order, sizes, snapshot, progress, crew)
        streams = [
            pool.submit(
                _one_stream, order, place, program, plan, len(plans), snapshot, arrived, progress, crew
            )
            for plan in plans
        ]
        all_or_nothing([description, tables, *streams], progress, crew)
    content = {**description.result(), "tables": tables.result()}
    return {
        "format": manifests.FORMAT,
        "id": order.identifier,
        "run_id": order.run_id,
        "database": order.target.dbname,
        "identity": catalog.identity(coordinator),
        "created_at": created_at.isoformat(),
        "collection_version": manifests.COLLECTION_VERSION,
        "location": f"{place.label}{order.identifier}/",
        "server": server.facts(),
        "client_version": program.version,
        "database_bytes": server.database_bytes,
        "compression": {"kind": packing.best_kind(), "level": order.compression_level},
        "encryption": {"kind": sealing.KIND, "key": order.key.id} if order.key else {},
        "checksum": place.checksum,
        "streams": [future.result() for future in streams],
        "content": content,
    }


def _one_stream(
    order: Order,
    place: store.Store,
    program: client.Client,
    plan: _Plan,
    streams: int,
    snapshot: str,
    arrived: list[str],
    progress: Progress,
    crew: stream.Crew,
) -> dict[str, t.Any]:
    kind = packing.best_kind()
    file = manifests.stream_file(plan.name, kind, order.key is not None)
    threads = max(1, (os.cpu_count() or 1) // streams)
    began = time.time()
    with postgres.child_environment(order.target) as environment:
        environment["PGAPPNAME"] = application_name(order.purpose)
        command = [
            program.program("pg_dump"), "--format=custom", "--compress=0", "--no-password",
            f"--lock-wait-timeout={order.lock_wait_seconds}s", f"--snapshot={snapshot}", *plan.options,
        ]  # fmt: skip
        writer = place.writer(names.key(place.prefix, order.identifier, file), streams)
        codec = packing.packer(kind, order.compression_level, threads if threads > 1 else 0)
        if order.key:
            codec = sealing.Both(codec, sealing.Sealer(order.key))
        sums, stored = stream.send(crew, command, environment, codec, writer, progress.add_bytes)
    arrived.append(stored.key)
    return {
        "name": plan.name,
        "file": file,
        "section": plan.section,
        "tables": list(plan.tables),
        "bytes_plain": sums.bytes_plain,
        "sha256_plain": sums.sha256_plain,
        "bytes_packed": sums.bytes_packed,
        "sha256_packed": sums.sha256_packed,
        "crc32": f"{stored.crc32:08x}",
        "validated_by": stored.validated_by,
        "version": stored.version,
        "seconds": round(time.time() - began, 2),
    }


def _digests(
    order: Order, sizes: t.Mapping[str, int], snapshot: str, progress: Progress, crew: stream.Crew
) -> dict[str, dict[str, t.Any]]:
    readers = digests.Readers(
        order.target, order.purpose, snapshot, order.lock_wait_seconds, progress.add_table, crew.sessions
    )
    return readers.read(list(sizes), order.jobs)


def all_or_nothing(futures: t.Sequence[Future[t.Any]], progress: Progress, crew: stream.Crew) -> None:
    """Wait for all; the first failure ends the others at once and is the one that is raised.

    If the crew was stopped from outside, what failed because of that is no news.
    """
    waiting: set[Future[t.Any]] = set(futures)
    first: BaseException | None = None
    while waiting:
        done, waiting = wait_for(waiting, timeout=_TELL_EVERY_SECONDS, return_when=FIRST_EXCEPTION)
        progress.tell()
        for future in done:
            fault = future.exception()
            if fault is not None and first is None:
                first = stream.Cancelled("go on with", "the work", crew.reason) if crew.reason else fault
                crew.stop("another part of it failed")
    if first is not None:
        raise first


def application_name(purpose: str) -> str:
    """What a session for this purpose is called in the server's views."""
    return f"emailai.migration {purpose}"[:63]


def ensure_gone(target: postgres.Target, purpose: str) -> None:
    """Prove that no session for this purpose is left: one that holds a lock would stall what comes next."""
    query = (
        "SELECT count(pid), count(pg_terminate_backend(pid)) FILTER (WHERE %s) FROM pg_stat_activity"
        " WHERE application_name = %s AND pid <> pg_backend_pid()"
    )
    deadline = time.monotonic() + _GONE_WITHIN_SECONDS
    with postgres.session(target, "look", autocommit=True) as connection:
        while True:
            is_late = time.monotonic() > deadline
            left = catalog.rows(connection, query, (is_late, application_name(purpose)))[0][0]
            if not left:
                return
            if time.monotonic() > deadline + _GONE_WITHIN_SECONDS:
                raise MigrationError(
                    "end",
                    f"{left} sessions of ours",
                    "the server still shows them",
                    "Terminate them",
                    kind="database",
                )
            time.sleep(0.05)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)
