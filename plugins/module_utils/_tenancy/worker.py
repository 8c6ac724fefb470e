# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts the data migration as a detached process, or attaches to the one that runs."""

from __future__ import annotations

import os
import platform
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import lease, tables
from ansible_collections.emailai.migration.plugins.module_utils._journal import worker as detached
from ansible_collections.emailai.migration.plugins.module_utils._postgres import disk
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import connect, session
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    cause_of,
    compose,
    driver_error,
    is_lost,
    rows,
    run,
    value,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import move, rights, schema, unlink
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.compare import (
    Comparison,
    map_differences,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.engine import (
    LEASE,
    RECONNECT_SECONDS,
    Engine,
    Settings,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.progress import Display, line

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target
    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Model

NAME: t.Final = "org_migration"
_LOSSES: t.Final = 5


@dataclass(frozen=True)
class Job:
    """state: moved, swept or unlinked. Rows are written through ``target``; ``maker`` owns the tables."""

    target: Target
    maker: Target
    model: Model
    settings: Settings
    state: str
    owner: str = ""

    @property
    def folder(self) -> str:
        return self.settings.work_folder


def is_done(connection: Connection, job: Job) -> bool:
    """Whether the data already is as the job wants it. Reads only."""
    if job.state == "unlinked":
        return unlink.is_unlinked(connection, job.model, job.settings.keep_organizations)
    if job.state == "swept":
        return move.is_swept(connection, job.model, job.settings.grace_seconds)
    return move.is_settled(connection, job.model, job.settings.grace_seconds)


def start_or_attach(job: Job) -> str:
    """Gives the name to follow the work by; empty when nothing is to do."""
    if job.target.user != job.maker.user:
        _refuse_blind(job)
    with session(job.maker, "move start") as connection:
        _refuse_without_rights(job, connection)
        held = _running(connection, job)
        if held:
            return held
        if is_done(connection, job):
            return ""
        connection.rollback()
        tables.ensure(connection, writers=[job.target.user] if job.target.user != job.maker.user else [])
        # The way back does not wait for the way forth: it raises the epoch, and the other is fenced.
        seize = job.state == "unlinked" or _is_dead(connection)
        taken = lease.acquire(
            connection,
            LEASE,
            job.settings.run_id,
            job.owner or platform.node(),
            detail=_detail(job),
            seize=seize,
        )
        if taken is None:
            # Somebody was faster between the two looks.
            return _running(connection, job)
        name = _name(connection, taken.epoch)
    epoch = taken.epoch
    detached.detach(job.folder, f"{NAME}-{name}", lambda reporter: _work(job, epoch, reporter))
    return name


def _refuse_blind(job: Job) -> None:
    """The owner sees every row; the role that writes may not, and what it cannot see would be left out."""
    with session(job.target, "move start") as connection:
        faults = map_differences(job.model, schema.read(connection, job.model))
    schema.refuse(Comparison(differences=faults), "move data into")


def _refuse_without_rights(job: Job, maker: Connection) -> None:
    """Both roles, before the first write: half of the work done is worse than none."""
    act, thing = ("take back", "links") if job.state == "unlinked" else ("move", "the data")
    rights.refuse(maker, job.model, rights.OWNER, act, thing)
    with session(job.target, "move start") as connection:
        rights.refuse(connection, job.model, "writer", act, thing)


def _name(connection: Connection, epoch: int) -> str:
    """Of one work on one database: one folder may serve several databases."""
    here = str(rows(connection, compose("SELECT emailai_migration.here()"))[0][0])
    connection.rollback()
    return f"{here.replace('/', '-')}-{epoch}"


def _detail(job: Job) -> dict[str, t.Any]:
    return {"state": job.state, "folder": job.folder, "map": job.model.digest}


def _running(connection: Connection, job: Job) -> str:
    """The name of the work that holds a live lease; refuses one that does something else."""
    if not tables.exist(connection):
        return ""
    held = lease.read(connection, LEASE)
    if held is None or not held.is_live or _is_dead(connection):
        return ""
    other = held.detail.get("state"), held.detail.get("map"), held.run_id
    if job.state == "unlinked" and other[0] != "unlinked":
        return ""
    if other != (job.state, job.model.digest, job.settings.run_id):
        raise MigrationError(
            "start",
            f"the data migration (state {job.state})",
            f"{held.holder()} works on this database (state {other[0]})",
            "Wait for it, or abort it with control.yml",
            kind="held",
            holder=held.holder(),
        )
    return _name(connection, held.epoch)


def _is_dead(connection: Connection) -> bool:
    """Whether the holder was a process of this host that is gone: no need to wait for the lease to expire."""
    held = lease.read(connection, LEASE)
    if held is None or held.host != platform.node():
        return False
    return not detached.is_alive({"state": "running", "pid": held.pid})


def _work(job: Job, epoch: int, reporter: detached.Reporter) -> dict[str, t.Any]:
    with session(job.target, "move start") as connection:
        run(
            connection,
            compose(
                "UPDATE emailai_migration.lease SET pid = {pid} WHERE database = emailai_migration.here()"
                " AND name = {name} AND epoch = {epoch}",
                pid=value(os.getpid()),
                name=value(LEASE),
                epoch=value(epoch),
            ),
        )
        connection.commit()
    display = Display(reporter, os.path.join(job.folder, "migration.log"), job.target.dbname)
    try:
        return _until_done(job, epoch, display)
    finally:
        _let_go(job, epoch)


def _until_done(job: Job, epoch: int, display: Display) -> dict[str, t.Any]:
    """The work, begun again where it stopped whenever its session was lost.

    Bounded, for it may be the work itself that the server does not survive.
    """
    cause = ""
    # One for all attempts: it knows what was there before the first of them wrote.
    room = disk.Room(job.settings.disk_free_bytes)
    for loss in range(_LOSSES):
        try:
            found = _once(job, epoch, display, room)
            # What was done before a loss is not in the answer of the attempt after it.
            return dict(found, changed=True) if loss else found
        except (MigrationError, driver_error()) as exc:
            if not _is_out_of_reach(exc):
                raise
            cause = cause_of(exc)
            display.log(f"The session was lost ({cause}); connecting again.")
            _wait_until_reached(job.target)
    raise MigrationError(
        "finish",
        "the data migration",
        f"its session was lost {_LOSSES} times: {cause}",
        "Read the server's log, then run the same command again: it goes on after the last batch",
        kind="database",
    )


def _is_out_of_reach(exc: Exception) -> bool:
    return exc.act == "reach" if isinstance(exc, MigrationError) else is_lost(exc)


def _wait_until_reached(target: Target) -> None:
    deadline = time.monotonic() + RECONNECT_SECONDS
    while True:
        try:
            return connect(target, "move start").close()
        except MigrationError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.5)


def _once(job: Job, epoch: int, display: Display, room: disk.Room) -> dict[str, t.Any]:
    engine = Engine(job.target, job.maker, job.model, job.settings, epoch, display, room)
    try:
        if job.state == "unlinked":
            return unlink.unlink(engine)
        if job.state == "swept":
            return move.only_sweep(engine)
        return move.move(engine)
    except driver_error() as exc:
        if is_lost(exc):
            raise
        raise MigrationError(
            "finish", "the data migration", cause_of(exc), "Run the same command again", kind="database"
        ) from None
    finally:
        engine.close()


def _let_go(job: Job, epoch: int) -> None:
    try:
        with session(job.target, "move end") as connection:
            lease.release(connection, LEASE, epoch)
    except MigrationError:
        # Out of reach: the lease expires by itself.
        return


def follow(job: Job, name: str, seconds: float) -> dict[str, t.Any]:
    """The answer of the work, or its progress after so many seconds with ``finished`` false."""
    if detached.read_report(job.folder, f"{NAME}-{name}") is None:
        return _afar(job, name)
    report = detached.wait(job.folder, f"{NAME}-{name}", seconds)
    if report["state"] == "done":
        return dict(report["result"], finished=True, progress=report.get("progress", {}))
    if report["state"] == "failed":
        raise _failure(report)
    if report["state"] == "lost":
        raise MigrationError(
            "finish",
            "the data migration",
            "its worker died",
            "Run the same command again: it goes on after the last batch",
            kind="lost",
        )
    figures = report.get("progress", {})
    return {
        "finished": False,
        "job": name,
        "progress": figures,
        "line": line(figures) if figures else "starting",
    }


def _failure(report: dict[str, t.Any]) -> MigrationError:
    """The worker's own sentence, as it wrote it."""

    class Told(MigrationError):
        def __str__(self) -> str:
            return str(report["message"])

    return Told("finish", "the data migration", str(report["message"]), **dict(report.get("facts", {})))


def _afar(job: Job, name: str) -> dict[str, t.Any]:
    """A worker of another host or folder: what the progress rows say."""
    with session(job.target, "status", autocommit=True) as connection:
        held = lease.read(connection, LEASE)
        if held is None or not held.is_live or _name(connection, held.epoch) != name:
            return {"finished": True, "changed": False, "progress": {}, "elsewhere": True}
        found = rows(
            connection,
            compose(
                "SELECT coalesce(sum(done), 0)::bigint, coalesce(sum(total), 0)::bigint, max(reason)"
                " FROM emailai_migration.progress WHERE database = emailai_migration.here() AND"
                " run_id = {run}",
                run=value(job.settings.run_id),
            ),
        )
    done, total, reason = found[0]
    figures = {
        "stage": f"{held.owner} on {held.host}",
        "done": done,
        "total": total,
        "percent": round(100 * done / total, 1) if total else 0.0,
        "rate": 0.0,
        "eta_seconds": None,
        "reason": reason or "",
    }
    return {"finished": False, "job": name, "progress": figures, "line": line(figures), "elsewhere": True}
