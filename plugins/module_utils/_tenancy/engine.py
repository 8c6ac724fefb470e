# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Walks a table in batches: fenced, resumable, obedient to the control row, in nobody's way."""

from __future__ import annotations

import contextlib
import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import control, lease
from ansible_collections.emailai.migration.plugins.module_utils._postgres import ddl, disk, signals
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import connect, session
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    TRANSIENT,
    cause_of,
    compose,
    driver_error,
    row,
    run,
    sqlstate,
    value,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import pages, progress, pulse
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.throttle import Pace

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target
    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Model

LEASE: t.Final = "move"
_SIGNAL_SECONDS: t.Final = 1.0
# Often at first, for until others were seen they are not spared: for most of a second, in which a small work
# is over. Later what it costs is nothing.
_FIRST_LOOK_SECONDS: t.Final = 0.05
_LOOK_SECONDS: t.Final = 0.1
_ROUNDS: t.Final = 20
RECONNECT_SECONDS: t.Final = 60
# A table of fewer batches is not worth a second session.
_BATCHES_A_WORKER: t.Final = 3
# A table of fewer batches may double; nobody will notice.
_BATCHES_FOR_STRIPES: t.Final = 24


class Work(pages.Walkable, t.Protocol):
    """What the engine can walk through: see batches.Task and unlink.Unlinking."""

    @property
    def name(self) -> str: ...
    @property
    def table(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def fills(self) -> str | None: ...

    def apply(self, connection: Connection, page: pages.Page) -> int: ...
    def remaining(self, connection: Connection, limit: int) -> list[str]: ...
    def keys_of(self, connection: Connection, page: pages.Page) -> list[str]: ...


@dataclass(frozen=True)
class Settings:
    run_id: str = ""
    grace_seconds: float = 60
    batch_rows: int = 1000
    patience: ddl.Patience = field(default_factory=ddl.Patience)
    horizon_seconds: float = 60
    work_folder: str = ""
    keep_organizations: bool = True
    workers: int = 2
    health_url: str = ""
    disk_free_bytes: int = 0
    cost: t.Mapping[str, float] = field(default_factory=dict)


class Engine:
    """The work on one database. A pass is shared by workers, each an engine with a session of its own.

    Rows are written as the role of ``target``; ``maker`` owns the tables and makes what only their owner may.
    """

    def __init__(
        self,
        target: Target,
        maker: Target,
        model: Model,
        settings: Settings,
        epoch: int,
        display: progress.Display,
        room: disk.Room,
    ) -> None:
        self.target = target
        self.maker = maker
        self.model = model
        self.settings = settings
        self.epoch = epoch
        self.display = display
        self.pace = Pace(settings.batch_rows)
        self._watch = signals.Watch()
        self._company = signals.Company()
        self.room = room
        self.connection = connect(target, "move")
        self.quarantined = 0
        self._looked = self._met = 0.0
        self._stopped = threading.Event()

    def close(self) -> None:
        with contextlib.suppress(driver_error()):
            self.connection.close()

    # -- passes ---------------------------------------------------------------

    def walk(self, work: Work, total: int) -> progress.Position:
        """The whole table once, each part in key order from where the last attempt stopped."""
        names = self._divide(work, total)
        stripes = self._stripes(work, total)
        if len(names) == 1:
            return self._walk_part(work, names[0], total, stripes)
        # Fewer workers than an earlier attempt had take several parts, one after the other.
        number = min(max(1, self.settings.workers), len(names))
        share = -(-len(names) // number)
        shares = [names[at : at + share] for at in range(0, len(names), share)]
        lanes = [self._lane() for _names in shares]
        try:
            with ThreadPoolExecutor(len(lanes)) as pool:
                # The figures of the whole stand in the row of the first part.
                totals = [total] + [0] * (len(lanes) - 1)
                found = pool.map(
                    lambda lane, names, rows: lane.guarded(work, names, rows, stripes), lanes, shares, totals
                )
                return _together(list(found))
        finally:
            for lane in lanes:
                self.quarantined += lane.quarantined
                lane.close()

    def _lane(self) -> Engine:
        lane = Engine(self.target, self.maker, self.model, self.settings, self.epoch, self.display, self.room)
        lane._stopped = self._stopped
        # What the passes before and the other workers saw is known at once.
        lane._company = self._company
        lane.pace.heard(self._company.read())
        return lane

    def guarded(
        self, work: Work, names: t.Sequence[str], total: int, stripes: int
    ) -> list[progress.Position]:
        """Some parts, one after the other. When a worker fails the others end after their batch."""
        try:
            return [self._walk_part(work, name, 0 if at else total, stripes) for at, name in enumerate(names)]
        except BaseException:
            self._stopped.set()
            raise

    def _divide(self, work: Work, total: int) -> list[str]:
        """The parts of a table; once divided they stay so, for each has its own cursor."""
        run_id = self.settings.run_id
        names = progress.parts(self.connection, run_id, work.name)
        if not names:
            for position in self._cut(work, total // self.settings.batch_rows // _BATCHES_A_WORKER):
                names.append(progress.part_name(work.name, len(names)))
                progress.save(self.connection, run_id, names[-1], position, 0, self.epoch, "")
            self.fenced_commit()
        self.connection.rollback()
        return names

    def _cut(self, work: Work, most: int) -> list[progress.Position]:
        """A range of keys for each worker; a small table stays whole.

        It ends at the last key of this moment: what comes later has triggers, and who went on to the end of
        a table to which somebody adds would never be there.
        """
        number = min(self.settings.workers, most)
        table = self.model.at(work.table)
        end = pages.last_key(self.connection, table, work.key)
        if end is None:
            return [progress.Position(is_finished=True)]
        marks = pages.bounds(self.connection, table, work.key, number) if number > 1 else []
        return [
            progress.Position(last, pages.Part(until)) for last, until in zip([None, *marks], [*marks, end])
        ]

    def _stripes(self, work: Work, total: int) -> int:
        """Into how many stripes the pass is dealt: one in a small table."""
        if not work.fills or total < self.settings.batch_rows * _BATCHES_FOR_STRIPES:
            return 1
        stripes = pages.stripes(self.connection, self.model.at(work.table), work.key, work.fills)
        self.connection.rollback()
        return stripes

    def _walk_part(self, work: Work, name: str, total: int, stripes: int) -> progress.Position:
        while True:
            try:
                return self._walk(work, name, total, stripes)
            except driver_error() as exc:
                if not self.connection.closed:
                    self.connection.rollback()
                    raise MigrationError(
                        "go on with", work.name, cause_of(exc), "Run the same command again", kind="database"
                    ) from None
                self._reconnect()

    def _walk(self, work: Work, name: str, total: int, stripes: int) -> progress.Position:
        position = progress.load(self.connection, self.settings.run_id, name)
        self.connection.rollback()
        dealer = pages.Dealer(work, position.part, stripes)
        while not (position.is_finished or self._stopped.is_set()):
            self.obey()
            page = dealer.next(self.connection, position.last, self.pace.rows)
            self._meet()
            self.connection.rollback()
            begun = time.monotonic()
            if page is None:
                position.is_finished = True
                self._save(name, position, total)
                break
            position.changed += self._batch(work, name, page, position, total)
            self.display.advance(work.name, page.size, self.pace.reason)
            time.sleep(self.pace.rest(time.monotonic() - begun))
        return position

    def _batch(self, work: Work, name: str, page: pages.Page, position: progress.Position, total: int) -> int:
        """The page and the new cursor in one transaction; gives the rows changed."""
        begun = time.monotonic()
        try:
            changed = self._apply(work, page)
        except driver_error() as exc:
            if self.connection.closed:
                raise
            self.connection.rollback()
            if sqlstate(exc) in TRANSIENT:
                # The second pass takes what this batch could not.
                self.pace.failed()
                changed = 0
            else:
                changed = self._bisect(work, work.keys_of(self.connection, page))
        seconds = time.monotonic() - begun
        self.pace.succeeded(seconds)
        position.last = page.end
        position.done += page.passed
        position.seconds += seconds
        whole = progress.Position(**dict(vars(position), changed=position.changed + changed))
        self._save(name, whole, total)
        return changed

    def _apply(self, work: Work, page: pages.Page) -> int:
        # Without statistics of tables that were empty a moment ago the planner
        # would read whole tables for each batch.
        run(self.connection, compose("SET LOCAL enable_seqscan = off"))
        return work.apply(self.connection, page)

    def _save(self, name: str, position: progress.Position, total: int) -> None:
        if not position.is_finished:
            # The server's death may take the last batches, each with its cursor: they are done again. The
            # end is waited for, and a later commit of anybody's keeps what it has seen.
            run(self.connection, compose("SET LOCAL synchronous_commit = off"))
        with self.connection.cursor() as cursor:
            lease.hold(cursor, LEASE, self.epoch)
        progress.save(
            self.connection, self.settings.run_id, name, position, total, self.epoch, self.pace.reason
        )
        self.connection.commit()

    def _bisect(self, work: Work, keys: list[str]) -> int:
        """Do the rows that can be done; set the others aside with the server's reason."""
        if not keys:
            return 0
        try:
            changed = self._apply(work, pages.listed(keys))
            self.fenced_commit()
            return changed
        except driver_error() as exc:
            if self.connection.closed:
                raise
            self.connection.rollback()
            if sqlstate(exc) in TRANSIENT:
                return 0
            if len(keys) == 1:
                self._set_aside(work, keys[0], exc)
                return 0
        half = len(keys) // 2
        return self._bisect(work, keys[:half]) + self._bisect(work, keys[half:])

    def _set_aside(self, work: Work, key: str, exc: Exception) -> None:
        self.quarantined += 1
        run(
            self.connection,
            compose(
                "INSERT INTO emailai_migration.quarantine (run_id, table_name, row_key, sqlstate, message)"
                " VALUES ({run}, {table}, {key}, {state}, {message}) ON CONFLICT DO NOTHING",
                run=value(self.settings.run_id),
                table=value(work.table),
                key=value(key),
                state=value(sqlstate(exc)),
                message=value(cause_of(exc)),
            ),
        )
        self.fenced_commit()

    def settle(self, work: Work) -> tuple[int, int]:
        """A bounded number of rounds over what was skipped; gives rows changed and rows left."""
        changed = 0
        for number in range(_ROUNDS):
            self.obey()
            keys = work.remaining(self.connection, 5000)
            self.connection.rollback()
            if not keys:
                return changed, 0
            size = min(500, self.pace.rows)
            now = sum(self._bisect(work, keys[at : at + size]) for at in range(0, len(keys), size))
            changed += now
            if not now:
                time.sleep(min(0.5, 0.05 * (number + 1)))
        left = len(work.remaining(self.connection, 5000))
        self.connection.rollback()
        return changed, left

    # -- the world around -----------------------------------------------------

    def fence(self, connection: Connection | None = None) -> None:
        """In the transaction at hand: fail if somebody else has taken the work over."""
        with (connection or self.connection).cursor() as cursor:
            lease.extend(cursor, LEASE, self.epoch)

    def fenced_commit(self) -> None:
        self.fence()
        self.connection.commit()

    def obey(self) -> None:
        """Read what the operator wants and how the server feels; at most once a second."""
        if time.monotonic() - self._looked < _SIGNAL_SECONDS and self._looked:
            return
        while True:
            application = pulse.read(self.settings.health_url)
            wish = control.read(self.connection)
            server = [*self._watch.read(self.connection), *self.room.read(self.connection)]
            self.pace.heard([*server, *application])
            self.fenced_commit()
            self._looked = time.monotonic()
            self.pace.fixed, self.pace.share = wish.batch_rows, wish.pace
            if wish.wanted == "abort":
                raise MigrationError(
                    "finish",
                    "the data migration",
                    f"{wish.changed_by or 'somebody'} asked to abort",
                    "Set the control row to run and start again: it goes on where it stopped",
                    kind="aborted",
                )
            if wish.wanted == "run":
                return
            self.display.reason = f"paused by {wish.changed_by or 'somebody'}"
            self.display.show(is_due=True)
            time.sleep(0.5)

    def _meet(self) -> None:
        """See who else is at work, now and then."""
        seconds = _LOOK_SECONDS if self._company.is_known else _FIRST_LOOK_SECONDS
        if time.monotonic() - self._met >= seconds:
            self._company.look(self.connection)
            self._met = time.monotonic()
            self.pace.heard(self._company.read())

    def wait_for_horizon(self) -> int:
        """Until every transaction that was open at this moment has ended; gives the mark they had to pass.

        Two empty sweeps prove nothing: an open transaction can still commit a
        row that no sweep has seen. Prepared transactions count as open.
        """
        mark = self._snapshot("xmax")
        deadline = time.monotonic() + self.settings.horizon_seconds
        while self._snapshot("xmin") < mark:
            if time.monotonic() >= deadline:
                raise MigrationError(
                    "prove",
                    "the end of the data migration",
                    f"inconclusive: {self._oldest()} was open before the last batch and still is",
                    "End that transaction and run the same command again: only the sweep is repeated",
                    kind="inconclusive",
                )
            self.display.reason = "waiting for open transactions to end"
            self.display.show()
            self.obey()
            time.sleep(0.02)
        self.display.reason = ""
        return mark

    def _snapshot(self, end: str) -> int:
        query = compose(
            "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
            if end == "xmax"
            else "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
        )
        found = int(row(self.connection, query)[0])
        self.connection.rollback()
        return found

    def _oldest(self) -> str:
        found = row(
            self.connection,
            compose(
                "SELECT coalesce("
                "(SELECT format('session %s (%s %s) in transaction since %s', pid, usename, application_name,"
                "   xact_start::timestamp(0)) FROM pg_stat_activity"
                "  WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 1),"
                "(SELECT format('prepared transaction %s of %s', gid, prepared::timestamp(0))"
                "   FROM pg_prepared_xacts ORDER BY prepared LIMIT 1),"
                "'a transaction that this role may not see')"
            ),
        )[0]
        self.connection.rollback()
        return str(found)

    def _reconnect(self) -> None:
        deadline = time.monotonic() + RECONNECT_SECONDS
        while True:
            try:
                self.close()
                self.connection = connect(self.target, "move")
                return
            except MigrationError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.5)


def _together(lanes: t.Sequence[t.Sequence[progress.Position]]) -> progress.Position:
    """The parts as one. Lanes worked at the same time, so a row costs a share of their seconds."""
    parts = [part for lane in lanes for part in lane]
    return progress.Position(
        done=sum(part.done for part in parts),
        changed=sum(part.changed for part in parts),
        seconds=sum(part.seconds for part in parts) / len(lanes),
        is_finished=all(part.is_finished for part in parts),
    )


class Heart:
    """Keeps the lease alive while one statement takes longer than a lease lasts."""

    def __init__(self, target: Target, epoch: int) -> None:
        self._target, self._epoch = target, epoch
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Heart:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join(5)

    def _beat(self) -> None:
        while not self._stop.wait(lease.HEARTBEAT_SECONDS):
            try:
                with session(self._target, "heartbeat") as connection, connection.cursor() as cursor:
                    lease.extend(cursor, LEASE, self._epoch)
                    connection.commit()
            except lease.FencedError:
                # The next batch meets the fence and ends the work with its own sentence.
                return
            except (MigrationError, driver_error()):
                # A cut connection: the batches reconnect too, and the lease outlives some beats.
                continue
