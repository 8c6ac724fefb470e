# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signs that the server or its replicas suffer, each with the marks of a throttle. Reads only."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import compose, row

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

_MIB: t.Final = 1024 * 1024


@dataclass(frozen=True)
class Signal:
    """One reading. ``value`` is None where it cannot be read; ``text`` is the sentence, with ``{}`` for it.

    At ``upper`` it is time to slow down, but never below the share ``least`` of full speed; below ``lower``
    all is well again.
    """

    name: str
    value: float | None
    lower: float
    upper: float
    text: str
    least: float = 0.0

    @property
    def sentence(self) -> str:
        if self.value is None:
            return f"{self.name} cannot be read"
        digits = 1 if self.value < 10 else 0
        return self.text.replace("{}", f"{self.value:,.{digits}f}".removesuffix(".0"))


# name: lower mark, upper mark, sentence. Marks in the unit of the sentence.
_MARKS: t.Final[dict[str, tuple[float, float, str]]] = {
    "waiting sessions": (2, 3, "{} sessions wait for locks"),
    "replica lag": (16, 64, "a replica is {} MiB behind"),
    "replica delay": (2, 10, "a replica is {} s behind"),
    "slot backlog": (512, 2048, "a replication slot holds back {} MiB of write-ahead log"),
    "archive backlog": (16, 64, "{} files of write-ahead log wait to be archived"),
    # One failure is enough: while none succeeds, the disk of the server fills with what we write.
    "archiver": (0.5, 1, "write-ahead log cannot be archived, failed tries in a row: {}"),
    "write-ahead log": (64, 128, "{} MiB of write-ahead log a second"),
    # Rows that were changed since are kept for it, in every table: what we change grows meanwhile.
    "oldest snapshot": (120, 300, "a transaction has held its snapshot for {} s"),
    # The ordinary kind steps aside for others; this one does not, and must end in time.
    "autovacuum": (0.5, 1, "{} autovacuums work against wraparound"),
}

# What a role may not see is NULL or left out; then the whole answer is NULL, and never a comfortable number.
_QUERY: t.Final = """
WITH me AS (
    SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS sees_all, pg_is_in_recovery() AS is_standby
), here AS (
    SELECT CASE WHEN me.is_standby THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn FROM me
)
SELECT (SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND locktype <> 'virtualxid'),
       (SELECT CASE WHEN count(*) FILTER (WHERE replay_lsn IS NULL) > 0 THEN NULL
                    ELSE coalesce(max(pg_wal_lsn_diff(here.lsn, replay_lsn)), 0) END
          FROM pg_stat_replication),
       (SELECT CASE WHEN count(*) FILTER (WHERE replay_lsn IS NULL) > 0 THEN NULL
                    ELSE coalesce(extract(epoch FROM max(replay_lag)), 0) END FROM pg_stat_replication),
       (SELECT coalesce(max(pg_wal_lsn_diff(here.lsn, restart_lsn)), 0) FROM pg_replication_slots),
       pg_wal_lsn_diff(here.lsn, '0/0'),
       CASE WHEN me.sees_all THEN
            (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0) FROM pg_stat_activity
              WHERE datname = current_database() AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
                AND backend_type <> 'autovacuum worker' AND application_name NOT LIKE 'emailai.migration%')
       END,
       CASE WHEN me.sees_all THEN
            (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND backend_type = 'autovacuum worker' AND query LIKE '%(to prevent wraparound)')
       END
  FROM me, here
"""

# Counting the files takes a right of its own, and without an archive there is nothing to count.
_ARCHIVE: t.Final = """
SELECT current_setting('archive_mode') <> 'off' AND NOT pg_is_in_recovery(),
       has_function_privilege('pg_catalog.pg_ls_archive_statusdir()', 'EXECUTE')
"""
_WAITING_FILES: t.Final = "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'"
_ARCHIVER: t.Final = """
SELECT failed_count, archived_count, (last_failed_time > coalesce(last_archived_time, '-infinity')) IS TRUE
  FROM pg_stat_archiver
"""


# One look sees a moment; the mean of these many, at least half of them, is how much others are at work.
_LOOKS: t.Final = 30
# At least so much is left of full speed beside others who are at work. The slower two workers are on two
# processors, the less the slowest hundredth of what an application does is felt: docs/performance_data.md.
COMPANY_SHARE: t.Final = 0.05
# A tenth of a processor is more than a monitor needs, and three looks of thirty. A migration can wait.
_COMPANY: t.Final = (0.05, 0.1, "{} sessions of others are at work on average", COMPANY_SHARE)
COMPANY: t.Final = "work of other sessions"
# Who waits for a lock or for his client, as an idle session does, needs no processor.
_AT_WORK: t.Final = """
SELECT CASE WHEN pg_has_role('pg_read_all_stats', 'USAGE') THEN
            (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'
                AND coalesce(wait_event_type, '') NOT IN ('Lock', 'Client') AND pid <> pg_backend_pid()
                AND application_name NOT LIKE 'emailai.migration%')
       END
"""


class Company:
    """How many sessions of others are at work on the whole server, by many looks at it.

    Workers share it: one reads while another looks, so what was seen is replaced and never changed.
    """

    def __init__(self) -> None:
        self._seen: tuple[int | None, ...] = ()

    def look(self, connection: Connection) -> None:
        self._seen = (*self._seen, row(connection, compose(_AT_WORK))[0])[-_LOOKS:]

    @property
    def is_known(self) -> bool:
        return len(self._seen) >= _LOOKS // 2

    def read(self) -> list[Signal]:
        """Nothing before enough was seen: a short work is over before anybody feels it."""
        looks = self._seen
        if len(looks) < _LOOKS // 2:
            return []
        seen = [number for number in looks if number is not None]
        mean = sum(seen) / len(seen) if len(seen) == len(looks) else None
        return [Signal(COMPANY, mean, *_COMPANY)]


@dataclass
class Archiver:
    """How often archiving failed since it last succeeded, as far as was seen; the server has totals."""

    _failed: int = 0
    _archived: int | None = None

    def tries(self, failed: int, archived: int, fails_now: bool) -> int:
        """The last try decides: a file that cannot be archived is tried again until it can."""
        if not fails_now or archived != self._archived or failed < self._failed:
            # Of the failures before this look, one is certain where the last try was one.
            self._failed, self._archived = failed - fails_now, archived
        return max(failed - self._failed, int(fails_now))


class Watch:
    """Reads the signals of one database; remembers the last reading, for a rate needs two."""

    def __init__(self, clock: t.Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: tuple[float, float] | None = None
        self._archiver = Archiver()

    def read(self, connection: Connection) -> list[Signal]:
        waiting, lag, delay, slots, position, oldest, vacuums = row(connection, compose(_QUERY))
        found: dict[str, float | None] = {
            "waiting sessions": waiting,
            "replica lag": None if lag is None else float(lag) / _MIB,
            "replica delay": None if delay is None else float(delay),
            "slot backlog": float(slots) / _MIB,
            **self._archive(connection),
            "oldest snapshot": None if oldest is None else float(oldest),
            "autovacuum": vacuums,
        }
        rate = self._rate(float(position))
        if rate is not None:
            found["write-ahead log"] = rate
        return [Signal(name, found[name], *_MARKS[name]) for name in found]

    def _archive(self, connection: Connection) -> dict[str, float | None]:
        archives, may_count = row(connection, compose(_ARCHIVE))
        if not archives:
            return {"archive backlog": 0, "archiver": 0}
        files = float(row(connection, compose(_WAITING_FILES))[0]) if may_count else None
        tries = self._archiver.tries(*row(connection, compose(_ARCHIVER)))
        return {"archive backlog": files, "archiver": tries}

    def _rate(self, position: float) -> float | None:
        """A second; None at the first look, which has nothing to compare with."""
        now = self._clock()
        before, self._last = self._last, (now, position)
        if before is None or now <= before[0]:
            return None
        return max(0.0, (position - before[1]) / _MIB / (now - before[0]))
