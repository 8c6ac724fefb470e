# SPDX-License-Identifier: GPL-3.0-or-later
"""``make bench-backup``: backup, proof and swap beside the least that the programs themselves need.

The floor of a backup is pg_dump into nothing: not compressed, not kept, not proven. The control is
the runbook's own pipeline, up to the uploaded object. The floor of a proof is pg_restore from a
folder that lies uncompressed on the same disk, which looks at nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import typing as t
from pathlib import Path

import psycopg2

from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import (
    Target,
    child_environment,
)
from ansible_collections.emailai.migration.plugins.modules import pg_backup, pg_restore
from bench import archive
from bench.costs import Family, look_at, seconds_of_tree
from bench.figures import Figures
from integration.call_module import login, options
from lab.ground import free_port
from lab.postgres import SUPERUSER, Server
from lab.store import Store, throw_away_store

_CORES: t.Final = os.cpu_count() or 1
TARGETS: t.Final = {
    "vs_floor": f"at most {'2.0' if _CORES >= 4 else '2.6'} on {_CORES} cores",
    "vs_runbook": "at most 0.40",
    "bytes_vs_runbook": "at most 0.95",
    "proof_vs_restore": "at most 1.35",
    "swap_outage_s": "at most 2",
    "rss_mib": "at most 256",
}
_SWAPS: t.Final = 5
_JOBS: t.Final = 2


class Bench:
    """One server, one database, one store, one folder, and what is measured there."""

    def __init__(self, server: Server, store: Store, folder: Path, figures: Figures) -> None:
        self.server, self.store, self.folder, self.figures = server, store, folder, figures
        self.target = Target(**server.address(SUPERUSER, "mail"))
        self.bucket = store.new_bucket()
        self.work = folder / "work"
        self.peak_mib = 0.0
        self._numbers = itertools.count(1)

    # -- ours ----------------------------------------------------------------

    def call(self, module: t.Any, **more: t.Any) -> dict[str, t.Any]:
        """The module as a task calls it, and what it costs."""
        given = options(
            module.__name__.rpartition(".")[2],
            **login(self.target),
            store={
                "bucket": self.bucket,
                "endpoint_url": self.store.endpoint_url,
                "access_key": self.store.access_key,
                "secret_key": self.store.secret_key,
            },
            client_folder=str(self.server.bin),
            work_folder=str(self.work),
            jobs=_JOBS,
            **more,
        )
        with Family(self._worker) as family:
            answer: dict[str, t.Any] = module.run(given, False)
        self.family, self.peak_mib = family, max(self.peak_mib, family.peak_mib)
        return answer

    def _worker(self) -> int | None:
        """The detached process of the work that runs, by its own report."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            for path in self.work.glob("*.json"):
                report = json.loads(path.read_text())
                if report["state"] == "running":
                    return int(report["pid"])
        return None

    def backup(self, run_id: str) -> tuple[float, dict[str, t.Any]]:
        store, server = self.store.process.pid, self.server.pid
        before = look_at(store).seconds, seconds_of_tree(server)
        took, answer = timed(lambda: self.call(pg_backup, run_id=run_id))
        self.figures.add("cpu_ours_s", self.family.seconds)
        self.figures.add("cpu_store_s", look_at(store).seconds - before[0])
        self.figures.add("cpu_server_s", seconds_of_tree(server) - before[1])
        return took, answer["backup"]

    # -- what it is held against ---------------------------------------------

    def run(self, program: str, *arguments: str, **streams: t.Any) -> float:
        """A client program by itself, with the password where ours has it."""
        with child_environment(self.target) as environment:
            command = [str(self.server.bin / program), "--no-password", *arguments]
            return timed(lambda: subprocess.run(command, env=environment, check=True, **streams))[0]

    def floor(self) -> float:
        before = _seconds_of_children(), seconds_of_tree(self.server.pid)
        took = self.run("pg_dump", "-Fc", "-Z0", stdout=subprocess.DEVNULL)
        used = _seconds_of_children() - before[0] + seconds_of_tree(self.server.pid) - before[1]
        self.figures.add("cpu_floor_s", used)
        return took

    def runbook(self) -> tuple[float, int]:
        """``pg_dump -Fc | gzip > file``, then the upload; its seconds and bytes."""
        path = self.folder / "runbook.sql.gz"
        began = time.monotonic()
        with child_environment(self.target) as environment, path.open("wb") as file:
            dump = subprocess.Popen(
                [self.server.bin / "pg_dump", "--no-password", "-Fc"], env=environment, stdout=subprocess.PIPE
            )
            subprocess.run(["gzip"], stdin=dump.stdout, stdout=file, check=True)
            dump.wait()
        self.store.client().upload_file(str(path), self.bucket, f"runbook-{next(self._numbers)}")
        return time.monotonic() - began, path.stat().st_size

    @contextlib.contextmanager
    def folder_dump(self) -> t.Iterator[str]:
        path = self.folder / "folder dump"
        self.run("pg_dump", "-Fd", "-Z0", f"-j{_JOBS}", f"--file={path}")
        yield str(path)

    def restore(self, dump: str) -> float:
        self.server.new_database("restored")
        try:
            return self.run("pg_restore", f"-j{_JOBS}", "--exit-on-error", "--dbname=restored", dump)
        finally:
            self.server.execute("DROP DATABASE restored WITH (FORCE)")

    # -- the comparison ------------------------------------------------------

    def round(self, number: int, dump: str) -> None:
        """All of them, one after the other, so that a neighbour's noise meets each alike."""
        run_id = f"round {number}"
        floor = self.floor()
        ours, backup = self.backup(run_id)
        theirs, their_bytes = self.runbook()
        restore = self.restore(dump)
        proof, proven = timed(lambda: self.call(pg_restore, run_id=run_id))
        add = self.figures.add
        add("floor_s", floor)
        add("backup_s", ours)
        add("runbook_s", theirs)
        add("restore_s", restore)
        add("proof_s", proof)
        for name, seconds in proven["proof"]["seconds"].items():
            add(f"proof_{name}_s", seconds)
        add("vs_floor", ours / floor)
        add("vs_runbook", ours / theirs)
        add("bytes_vs_runbook", backup["bytes"] / their_bytes)
        add("proof_vs_restore", proof / restore)
        print(
            f"round {number}: floor {floor:.1f} s, ours {ours:.1f} s, the runbook's {theirs:.1f} s;"
            f" restore {restore:.1f} s, proof {proof:.1f} s",
            flush=True,
        )

    def swaps(self, run_id: str) -> None:
        """There and back, as a client sees it that comes back at once."""
        for _turn in range(_SWAPS):
            for more in ({"state": "swapped", "confirmed_by": "bench"}, {"state": "swapped_back"}):
                with Visitor(self.target) as visitor:
                    self.call(pg_restore, run_id=run_id, **more)
                self.figures.add("swap_outage_s", visitor.outage)


class Visitor:
    """Reads through the live name without a pause, and comes back whenever it is thrown out."""

    def __init__(self, target: Target) -> None:
        self._dsn = target.dsn()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="visitor")
        self._good: list[float] = []

    def __enter__(self) -> Visitor:
        self._thread.start()
        self._wait_for_more()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._wait_for_more()
        self._over.set()
        self._thread.join()

    @property
    def outage(self) -> float:
        return max(after - before for before, after in itertools.pairwise(self._good))

    def _wait_for_more(self) -> None:
        seen, deadline = len(self._good), time.monotonic() + 60
        while len(self._good) < seen + 5 and time.monotonic() < deadline:
            time.sleep(0.01)

    def _run(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(psycopg2.Error):
                self._stay()
            time.sleep(0.005)

    def _stay(self) -> None:
        connection = psycopg2.connect(**self._dsn, connect_timeout=2)
        try:
            with connection.cursor() as cursor:
                while not self._over.is_set():
                    cursor.execute("SELECT 1")
                    connection.commit()
                    self._good.append(time.monotonic())
                    time.sleep(0.005)
        finally:
            connection.close()


Answer = t.TypeVar("Answer")


def _seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(work: t.Callable[[], Answer]) -> tuple[float, Answer]:
    began = time.monotonic()
    answer = work()
    return time.monotonic() - began, answer


def fill(server: Server, mebibytes: int) -> None:
    """By a process of its own: the worker is a fork of ours, and would count its memory too."""
    server.new_database("mail")
    target = Target(**server.address(SUPERUSER, "mail"))
    child = multiprocessing.get_context("fork").Process(target=archive.fill, args=(target, mebibytes))
    child.start()
    child.join()
    if child.exitcode:
        raise RuntimeError("the database could not be filled")


def main() -> int:
    mebibytes = int(os.environ.get("SIZE", "1200"))
    rounds = int(os.environ.get("ROUNDS", "5"))
    figures = Figures()
    settings = {"shared_buffers": "1GB", "max_wal_size": "8GB", "maintenance_work_mem": "256MB"}
    with tempfile.TemporaryDirectory(prefix="emailai-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        server = Server(folder / "server", free_port(), fsync=True, settings=settings)
        stack.callback(server.remove)
        server.create()
        server.start()
        store = throw_away_store()
        stack.callback(store.remove)
        print(f"filling {mebibytes} MiB", flush=True)
        fill(server, mebibytes)
        size = server.execute("SELECT pg_database_size('mail')")[0][0]
        figures.add("database_mib", size / 1024 / 1024)
        bench = Bench(server, store, folder, figures)
        # Once without a look at the clock: each of them reads a database that is in memory.
        bench.floor()
        with bench.folder_dump() as dump:
            for number in range(1, rounds + 1):
                bench.round(number, dump)
        bench.swaps(f"round {rounds}")
        figures.add("rss_mib", bench.peak_mib)
    print("\n".join(figures.table(TARGETS)))
    print(figures.as_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
