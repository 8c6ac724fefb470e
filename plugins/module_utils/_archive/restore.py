# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a backup back: into a fresh database, proven against its manifest, or under the live name."""

from __future__ import annotations

import contextlib
import datetime
import platform
import time
import typing as t
from dataclasses import dataclass, field

from ansible_collections.emailai.migration.plugins.module_utils._archive import (
    catalog,
    client,
    content,
    databases,
    digests,
    keys,
    loading,
    loss,
    names,
    preflight,
    shelf,
    store,
    stream,
)
from ansible_collections.emailai.migration.plugins.module_utils._archive import manifest as manifests
from ansible_collections.emailai.migration.plugins.module_utils._archive.databases import Mark
from ansible_collections.emailai.migration.plugins.module_utils._archive.watch import Progress
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres import connection as postgres

_SHOWN: t.Final = 5


@dataclass(frozen=True)
class Order:
    """``target`` is the server, by way of a database that is never touched, such as postgres."""

    target: postgres.Target
    store_options: t.Mapping[str, t.Any] = field(repr=False)
    backup: shelf.Backup
    database: str
    work_folder: str
    client_folder: str = ""
    jobs: int = 2
    keep: bool = False
    confirmed_by: str = ""
    key: keys.Key | None = field(default=None, repr=False)

    @property
    def manifest(self) -> manifests.Manifest:
        return self.backup.manifest

    @property
    def identifier(self) -> str:
        return str(self.manifest["id"])

    @property
    def purpose(self) -> str:
        return f"restore {self.identifier[-36:]}"


def prove(order: Order, progress: Progress, crew: stream.Crew) -> dict[str, t.Any]:
    """Restore into a fresh database, compare everything, drop it, and add the proof to the backup."""
    started = _now()
    with _maintenance(order) as server:
        terms = preflight.ensure_restorable(server, order.manifest)
        seconds = _load_fresh(order, server, order.database, terms, progress, crew, is_for_use=order.keep)
        began = time.monotonic()
        differences = _differences(order, order.database, terms, progress, crew)
        seconds["compare"] = round(time.monotonic() - began, 2)
        version = str(catalog.rows(server, "SELECT current_setting('server_version')")[0][0])
        if order.keep:
            databases.put_mark(
                server, order.database, Mark(order.identifier, "restored" if differences else "proven")
            )
        else:
            databases.drop(server, order.database)
    summary = order.backup.summary()
    proof = {
        "backup": order.identifier,
        "passed": not differences,
        "started_at": started.isoformat(),
        "finished_at": _now().isoformat(),
        "seconds": seconds,
        "target_version": version,
        "host": platform.node(),
        "terms": terms.words,
        "tables": summary["tables"],
        "rows": summary["rows"],
        "differences": differences,
    }
    shelf.add_proof(store.open_store(order.store_options), order.identifier, proof)
    _ensure_equal(order, differences)
    return {"proof": proof}


def restore(order: Order, progress: Progress, crew: stream.Crew) -> dict[str, t.Any]:
    """Restore into a fresh database and leave it there."""
    with _maintenance(order) as server:
        terms = preflight.ensure_restorable(server, order.manifest)
        seconds = _load_fresh(order, server, order.database, terms, progress, crew)
        databases.put_mark(server, order.database, Mark(order.identifier, "restored"))
    return {"database": order.database, "seconds": seconds, "terms": terms.words}


def swap(order: Order, progress: Progress, crew: stream.Crew) -> dict[str, t.Any]:
    """Restore beside the live database, prove it, say what is lost, then change the names."""
    live = order.database
    staged = names.database_beside(live, "restore", order.identifier)
    aside = names.database_beside(live, "before", order.identifier)
    with _maintenance(order) as server:
        terms = preflight.ensure_restorable(server, order.manifest, must_keep_ownership=True)
        current = _require_live(server, live)
        ready = databases.find(server, staged)
        seconds: dict[str, float] = {}
        if ready is None or ready.mark != Mark(order.identifier, "proven"):
            seconds = _load_fresh(order, server, staged, terms, progress, crew)
            differences = _differences(order, staged, terms, progress, crew)
            if differences:
                databases.drop(server, staged)
            _ensure_equal(order, differences)
            databases.put_mark(server, staged, Mark(order.identifier, "proven"))
        lost = {}
        if current.allows_connections:
            there = order.target.for_database(live)
            lost = loss.count(there, order.manifest, order.purpose, order.jobs, progress, crew)
        crew.ensure_wanted()
        databases.copy_properties(server, live, staged)
        comments = {
            staged: databases.mark_text(Mark(order.identifier, "swapped", aside, current.comment)),
            live: databases.mark_text(Mark(order.identifier, "before", live, current.comment)),
        }
        outage = databases.swap(server, live, staged, aside, comments)
    return {
        "database": live,
        "before": aside,
        "outage_seconds": round(outage, 3),
        "seconds": seconds,
        "snapshot_at": order.manifest["created_at"],
        "confirmed_by": order.confirmed_by,
        "lost": lost,
    }


def swap_back(target: postgres.Target, live: str) -> dict[str, t.Any]:
    """Undo of ``swap``, by what the databases say about themselves."""
    with postgres.session(target, "swap back", autocommit=True) as server:
        current = _require_live(server, live)
        mark = current.mark
        if mark is None or mark.state != "swapped":
            raise MigrationError(
                "swap back", f"database {live}", "it was not swapped in", "There is nothing to undo"
            )
        if databases.find(server, mark.other) is None:
            raise MigrationError("swap back", f"database {live}", f"{mark.other} is not there any more")
        staged = names.database_beside(live, "restore", mark.backup)
        comments = {live: databases.mark_text(Mark(mark.backup, "proven")), mark.other: mark.note}
        outage = databases.swap(server, live, mark.other, staged, comments)
    return {"database": live, "restored": staged, "outage_seconds": round(outage, 3)}


def _load_fresh(
    order: Order,
    server: t.Any,
    database: str,
    terms: preflight.Terms,
    progress: Progress,
    crew: stream.Crew,
    is_for_use: bool = True,
) -> dict[str, float]:
    """Make the database and fill it; what fails is dropped, for half a database proves nothing."""
    loader = loading.Loader(
        target=order.target,
        manifest=order.manifest,
        place=store.open_store(order.store_options),
        program=client.find(
            int(order.manifest["server"]["major"]), order.client_folder, order.target.ssl_mode
        ),
        folder=order.work_folder,
        purpose=order.purpose,
        jobs=order.jobs,
        progress=progress,
        crew=crew,
        key=order.key,
    )
    loading.ensure_whole(loader.place, order.manifest)
    _make_room(server, database)
    databases.create(server, database, order.manifest["server"], Mark(order.identifier, "loading"))
    try:
        return loader.load(database, terms, is_for_use)
    except BaseException:
        with contextlib.suppress(Exception):
            databases.drop(server, database)
        raise


def _make_room(server: t.Any, database: str) -> None:
    """Drop what an earlier attempt of ours left under this name; anything else is not ours to drop."""
    existing = databases.find(server, database)
    if existing is None:
        return
    if existing.mark is None or existing.mark.state in ("swapped", "before"):
        raise MigrationError(
            "use", f"database {database}", "it exists and is not a copy that we made", "Choose another name"
        )
    databases.ensure_unused(server, database)
    databases.drop(server, database)


def _differences(
    order: Order, database: str, terms: preflight.Terms, progress: Progress, crew: stream.Crew
) -> list[str]:
    target = order.target.for_database(database)
    progress.begin("compare", 0, tables=len(order.manifest["content"]["tables"]))
    found = _content(target, order.purpose, order.jobs, progress, crew)
    with postgres.session(target, order.purpose) as connection:
        major = catalog.read_server(connection).major
    return content.compare(
        order.manifest["content"], found, terms.keeps_ownership, major == order.manifest["server"]["major"]
    )


def _content(
    target: postgres.Target, purpose: str, jobs: int, progress: Progress, crew: stream.Crew
) -> content.Content:
    with postgres.session(target, purpose) as connection:
        catalog.pin(connection, 10)
        connection.commit()
        catalog.begin(connection)
        found = catalog.read_description(connection)
        tables = list(catalog.table_sizes(connection))
    found["tables"] = _readers(target, purpose, progress, crew).read(tables, jobs)
    return found


def _readers(target: postgres.Target, purpose: str, progress: Progress, crew: stream.Crew) -> digests.Readers:
    return digests.Readers(target, purpose, on_table=progress.add_table, sessions=crew.sessions)


def _ensure_equal(order: Order, differences: t.Sequence[str]) -> None:
    if not differences:
        return
    more = f", and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
    raise MigrationError(
        "prove",
        f"backup {order.identifier}",
        f"the restored database differs: {'; '.join(differences[:_SHOWN])}{more}",
        "Make another backup",
        kind="database",
        differences=list(differences),
    )


def _require_live(server: t.Any, live: str) -> databases.Database:
    found = databases.find(server, live)
    if found is None:
        raise MigrationError("swap", f"database {live}", "there is none of this name")
    return found


@contextlib.contextmanager
def _maintenance(order: Order) -> t.Iterator[t.Any]:
    if order.target.dbname == order.database:
        raise MigrationError(
            "work on",
            f"database {order.database}",
            "the session would stand in it",
            "Set login_db to another one",
        )
    with postgres.session(order.target, order.purpose, autocommit=True) as server:
        catalog.pin(server, 10)
        yield server


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)
