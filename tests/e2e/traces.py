# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything a run could have touched in a lab, read so that two readings can be compared."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import typing as t
from dataclasses import dataclass
from pathlib import Path

from lab.layout import BUCKET, DATABASES
from lab.whole import Lab

if t.TYPE_CHECKING:
    from e2e.desk import Desk

_COUNTERS = (
    "SELECT tup_inserted + tup_updated + tup_deleted, pg_current_wal_lsn()::text"
    " FROM pg_stat_database WHERE datname = current_database()"
)
# What a server writes for a mere reader (hint bits, pruned pages) and for itself.
_BY_ITSELF = (
    "FPI_FOR_HINT",
    "PRUNE_ON_ACCESS",
    "RUNNING_XACTS",
    "CHECKPOINT",
    "FPI",
    "SWITCH",
    "PARAMETER",
    "NEXTOID",
)
_RECORD = re.compile(r"^(?P<manager>[\w-]+)/(?P<type>\S+)\s+(?P<number>\d+) ", re.MULTILINE)


@dataclass(frozen=True)
class Reading:
    """``content`` must be equal; ``tuples`` and ``positions`` are counters of the servers."""

    content: dict[str, t.Any]
    tuples: dict[str, int]
    positions: dict[str, str]


class Traces:
    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.lab = Lab(desk.layout)

    def read(self) -> Reading:
        return Reading(
            {
                **{f"dump of {side}": self._dump(side) for side in DATABASES},
                "store": self._listing(),
                "balancer": self.lab.balancer.states(),
                "hosts": self._tree(self.desk.layout.folder / "hosts", ("log",)),
                "mail": self._tree(self.desk.layout.mail, ()),
                "work": self._tree(self.desk.layout.work, ()),
            },
            *self._counters(),
        )

    def settle(self) -> None:
        """Do now what the server would do by itself soon after the rows were loaded."""
        for side in DATABASES:
            # It would come by once a minute, and a slow machine needs longer than that for a look.
            self.desk.do("ALTER SYSTEM SET autovacuum = off", side=side)
            self.desk.do("SELECT pg_reload_conf()", side=side)
            self.desk.do("VACUUM (FREEZE, ANALYZE)", side=side)
            self.desk.do("VACUUM (FREEZE)", side=side)
            self.desk.do("CHECKPOINT", side=side)

    def tuples_written(self, before: Reading, after: Reading) -> dict[str, int]:
        return {side: after.tuples[side] - before.tuples[side] for side in DATABASES}

    def records_written(self, before: Reading, after: Reading) -> dict[str, int]:
        """Records of the write-ahead log between two readings that a reader does not cause."""
        found: dict[str, int] = {}
        for side in DATABASES:
            folder = Path(self.desk.value("SHOW data_directory", side=side)) / "pg_wal"
            done = subprocess.run(
                [f"{self.desk.layout.secrets()['programs']}/pg_waldump", "-p", str(folder), "--stats=record",
                 "-s", before.positions[side], "-e", after.positions[side]],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            if before.positions[side] == after.positions[side]:
                continue
            assert "Total" in done.stdout, done.stderr
            for record in _RECORD.finditer(done.stdout):
                if not record["type"].startswith(_BY_ITSELF):
                    found[f"{side}: {record['manager']}/{record['type']}"] = int(record["number"])
        return found

    def _counters(self) -> tuple[dict[str, int], dict[str, str]]:
        tuples: dict[str, int] = {}
        positions: dict[str, str] = {}
        for side in DATABASES:
            # The server publishes its counters with a delay of up to a second.
            self.desk.rows("SELECT pg_stat_force_next_flush()", side=side)
            written, position = self.desk.rows(_COUNTERS, side=side)[0]
            tuples[side], positions[side] = int(written), position
        return tuples, positions

    def _dump(self, side: str) -> str:
        """A digest of everything in the database. The key of \\restrict is new in each dump."""
        layout = self.desk.layout
        done = subprocess.run(
            [f"{layout.secrets()['programs']}/pg_dump", "--restrict-key=e2e", "-h", "127.0.0.1",
             "-p", str(layout.port(side)), "-U", "postgres", DATABASES[side]],
            env={**os.environ, "PGPASSWORD": layout.secrets()["roles"]["postgres"]},
            stdout=subprocess.PIPE, check=True, timeout=60,
        )  # fmt: skip
        return hashlib.sha256(done.stdout).hexdigest()

    def _listing(self) -> list[tuple[str, int]]:
        answer = self.lab.store.client().list_objects_v2(Bucket=BUCKET)
        uploads = self.lab.store.client().list_multipart_uploads(Bucket=BUCKET)
        return [(entry["Key"], entry["Size"]) for entry in answer.get("Contents", [])] + [
            (entry["Key"], -1) for entry in uploads.get("Uploads", [])
        ]

    def _tree(self, folder: Path, without: t.Sequence[str]) -> dict[str, tuple[int, float]]:
        found: dict[str, tuple[int, float]] = {}
        for path in sorted(folder.rglob("*")):
            parts = path.relative_to(folder).parts
            if not any(part in parts for part in without):
                seen = path.lstat()
                found["/".join(parts)] = (seen.st_size, seen.st_mtime)
        return found
