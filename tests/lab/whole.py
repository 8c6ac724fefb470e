# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole lab: brought up, healed, reset, ended. Each step may be repeated at any moment."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import smtplib
import sys
import time
import typing as t
from pathlib import Path

from lab import ground
from lab.balancer import Balancer
from lab.database import Databases
from lab.fleet import Fleet
from lab.layout import APPS, BUCKET, DATABASES, REPOSITORY, Layout
from lab.process import Process, all_recorded
from lab.store import Store


class Lab:
    """All parts of one lab."""

    def __init__(self, layout: t.Optional[Layout] = None) -> None:
        self.layout = layout or Layout.from_environment()
        self.databases = Databases(self.layout)
        self.balancer = Balancer(self.layout)
        self.fleet = Fleet(self.layout)

    @property
    def store(self) -> Store:
        keys = self.layout.secrets()["store"]
        layout = self.layout
        return Store(
            layout.folder / "store", layout.pids, layout.store_ports, keys["access_key"], keys["secret_key"]
        )

    # -- life ---------------------------------------------------------------

    def up(self, tell: t.Callable[[str], None] = lambda _line: None) -> float:
        """Everything that does not run is started, what was half made is made anew; seconds taken."""
        began = time.monotonic()
        with self._alone():
            self._check_identity()
            self._check_ports()
            for folder in (self.layout.pids, self.layout.load, self.layout.work, self.layout.balancer):
                folder.mkdir(parents=True, exist_ok=True)
            # The store takes longest and needs nobody: it starts first and is waited for last.
            self.store.launch()
            self._up_sinks()
            self.databases.up()
            tell(f"databases after {time.monotonic() - began:.1f} s")
            self.fleet.up()
            ground.wait_until(self.fleet.is_ready, 30, "the health of all application servers")
            self.balancer.up()
            self.balancer.wait_until_all_up()
            tell(f"application after {time.monotonic() - began:.1f} s")
            self.store.wait()
            self.store.new_bucket(BUCKET)
            ground.wait_until(self._sinks_answer, 20, "an answer of the sinks")
        return time.monotonic() - began

    def down(self) -> None:
        """End what was started and remove what was made; nothing else is touched."""
        if not self.layout.is_made:
            return
        run = self.layout.run
        for process in all_recorded(self.layout.pids):
            if process.name not in (*APPS, "store"):
                process.end(5)
        self.fleet.down()
        self.store.remove()
        for server in self.databases.all().values():
            server.remove()
        for process in all_recorded(self.layout.pids):
            process.end()
        shutil.rmtree(run, ignore_errors=True)
        self.layout.remove()

    def reset(self) -> float:
        """Everything as right after the first ``up``: rows, releases, logs, bucket; the same secrets."""
        began = time.monotonic()
        self._up_if_needed()
        with self._alone():
            Process(self.layout.pids, "load").end()
            self.fleet.down()
            self.balancer.down()
            for server in reversed(self.databases.all().values()):
                server.remove()
            for folder in ("hosts", "haproxy", "load", "mail", "webhook", "work", "artifacts"):
                _empty(self.layout.folder / folder)
            _empty_bucket(self.store)
        self.up()
        return time.monotonic() - began

    def _up_if_needed(self) -> None:
        if not self.store.process.is_alive():
            self.up()

    # -- what there is ------------------------------------------------------

    def status(self) -> dict[str, t.Any]:
        """Part → whether it runs, its pid, its address."""
        if not self.layout.is_made:
            return {}
        parts: dict[str, t.Any] = {}
        for name, server in self.databases.all().items():
            parts[f"postgres-{name}"] = _line(server.is_running(), server.pid, f"127.0.0.1:{server.port}")
        for name, place in self._addresses().items():
            process = Process(self.layout.pids, name)
            parts[name] = _line(process.is_alive(), process.pid, place)
        return parts

    def missing(self) -> list[str]:
        """The parts that do not run; users are no part of the lab."""
        parts = self.status() or {"everything": {"running": False}}
        return [name for name, entry in parts.items() if not entry["running"] and name != "load"]

    def _addresses(self) -> dict[str, str]:
        layout = self.layout
        apps = {name: f"http://127.0.0.1:{layout.port(name)}" for name in APPS}
        return {
            "store": self.store.endpoint_url,
            "haproxy": layout.public_url,
            **apps,
            "smtp": f"127.0.0.1:{layout.port('smtp')} -> {layout.mail}",
            "webhook": f"http://127.0.0.1:{layout.port('webhook')} -> {layout.webhooks}",
            "load": str(layout.load),
        }

    def describe(self) -> str:
        """What a person wants to know after ``up``."""
        layout = self.layout
        lines = {
            "application": layout.public_url,
            "balancer statistics": f"http://127.0.0.1:{layout.port('stats')}/ (password in secrets.json)",
            "production": f"127.0.0.1:{layout.port('prod')}/{DATABASES['prod']}",
            "replica": f"127.0.0.1:{layout.port('replica')}/{DATABASES['prod']}",
            "staging": f"127.0.0.1:{layout.port('staging')}/{DATABASES['staging']}",
            "S3": f"{self.store.endpoint_url}/{BUCKET}",
            "mail": str(layout.mail),
            "chat and status page": str(layout.webhooks),
            "everything else": str(layout.folder),
        }
        return "\n".join(f"  {name:20} {place}" for name, place in lines.items())

    # -- inside -------------------------------------------------------------

    @contextlib.contextmanager
    def _alone(self) -> t.Iterator[None]:
        """One builder at a time, also across processes."""
        self.layout.folder.mkdir(parents=True, exist_ok=True)
        with (self.layout.folder / "lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _check_identity(self) -> None:
        known, layout = self.layout.secrets(), self.layout
        if (known["port_base"], known["profile"]) != (layout.port_base, layout.profile):
            raise RuntimeError(
                f"{layout.folder} holds a lab with LAB_PORT_BASE={known['port_base']} and"
                f" LAB_PROFILE={known['profile']}. Take it down first, or choose another LAB_DIR."
            )

    def _check_ports(self) -> None:
        """A port that is held while our part does not run belongs to somebody else."""
        running = {name for name, entry in self.status().items() if entry["running"]}
        names = {"postgres-prod": "prod", "postgres-replica": "replica", "postgres-staging": "staging",
                 "haproxy": "front", "smtp": "smtp", "webhook": "webhook", "store": "store"}  # fmt: skip
        names.update({name: name for name in APPS})
        wanted = [self.layout.port(part) for process, part in names.items() if process not in running]

        def held() -> list[int]:
            return [port for port in wanted if ground.is_listening(port)]

        try:
            # A server that was killed a moment ago lets go of its port when its last thread is gone.
            ground.wait_until(lambda: not held(), 3, "the freedom of all ports")
        except TimeoutError:
            raise RuntimeError(
                f"ports {held()} are in use by somebody else. Set LAB_PORT_BASE to a free range."
            ) from None

    def _up_sinks(self) -> None:
        for name, place in (("smtp", self.layout.mail), ("webhook", self.layout.webhooks)):
            argv = [sys.executable, "-m", "lab.sinks", name, self.layout.port(name), place]
            start_module(self.layout, name, argv)

    def _sinks_answer(self) -> bool:
        try:
            with smtplib.SMTP("127.0.0.1", self.layout.port("smtp"), timeout=2):
                return ground.is_listening(self.layout.port("webhook"))
        except (OSError, smtplib.SMTPException):
            return False


def start_module(
    layout: Layout, name: str, argv: t.Sequence[t.Any], settings: t.Optional[t.Mapping[str, str]] = None
) -> Process:
    """Start one of this package's own programs as a recorded process."""
    process = Process(layout.pids, name)
    folder = layout.folder / "log"
    folder.mkdir(parents=True, exist_ok=True)
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(REPOSITORY / "tests"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment.update(settings or {})
    process.start(argv, folder / f"{name}.log", cwd=layout.folder, env=environment)
    return process


def _line(is_running: bool, pid: int, place: str) -> dict[str, t.Any]:
    return {"running": is_running, "pid": pid if is_running else 0, "where": place}


def _empty(folder: Path) -> None:
    """Remove what is in a folder, not the folder: a process may have it open."""
    for path in folder.glob("*") if folder.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _empty_bucket(store: Store) -> None:
    client = store.client()
    for upload in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        client.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for entry in page.get("Contents", []):
            client.delete_object(Bucket=BUCKET, Key=entry["Key"])


def dump(content: t.Any) -> str:
    return json.dumps(content, indent=2, default=str)
