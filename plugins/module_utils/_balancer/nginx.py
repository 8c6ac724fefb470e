# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx without an API: a file of ``server`` lines, its own test of the whole configuration, a reload."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shutil
import subprocess
import tempfile
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.emailai.migration.plugins.module_utils._balancer import nginx_file, nginx_workers
from ansible_collections.emailai.migration.plugins.module_utils._balancer.member import (
    DRAINED,
    READY,
    Member,
)
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._folder_lock import locked

_COMMAND_SECONDS: t.Final = 30.0
_RELOAD_SECONDS: t.Final = 20.0
_HEALTH_SECONDS: t.Final = 2.0
# nginx itself checks nobody: who has been out must answer us so often in a row.
_FULL_HEALTH: t.Final = 3


class Nginx:
    """One nginx of this host. ``command`` is its own, to which -t and -s reload are added."""

    rests_as = (DRAINED,)
    checks_while_out = (DRAINED,)

    def __init__(self, file: str, command: t.Sequence[str], pid_file: str, health_path: str) -> None:
        self.file = file
        self.command = list(command)
        self.pid_file = pid_file
        self.health_path = health_path
        self._streaks: t.Dict[str, int] = {}

    @property
    def name(self) -> str:
        return f"nginx with {self.file}"

    @property
    def lock_folder(self) -> str:
        # Not the file's own folder: that is locked for each change, also while this one is held.
        return tempfile.gettempdir()

    @property
    def folder(self) -> str:
        return os.path.dirname(os.path.abspath(self.file))

    def mark(self) -> str:
        return ""

    def _read(self) -> str:
        try:
            with open(self.file, encoding="utf-8") as handle:
                return handle.read()
        except OSError as exc:
            raise MigrationError(
                "read", self.file, exc.strerror or str(exc), "Name the file that the upstream includes"
            ) from exc

    @contextlib.contextmanager
    def _understood(self) -> t.Iterator[None]:
        try:
            yield
        except nginx_file.FileError as exc:
            raise MigrationError("read", self.file, str(exc), "Write one server a line") from exc

    def members(self, backend: str) -> t.List[Member]:
        with self._understood():
            servers = nginx_file.servers(self._read())
        workers = nginx_workers.workers(nginx_workers.master(self.pid_file))
        held = nginx_workers.held(workers)
        with ThreadPoolExecutor(max_workers=16) as pool:
            healths = list(pool.map(self._health, servers))
        found = []
        for server, health in zip(servers, healths):
            host, port = nginx_file.endpoint(server.address)
            found.append(
                Member(
                    balancer=self.name,
                    name=server.name,
                    address=host,
                    port=port,
                    admission=server.admission,
                    is_running=health > 0,
                    weight=server.weight,
                    sessions=held.get((self._address(host), port), 0),
                    queued=0,
                    connections=0,
                    # A connection kept for the next request looks like one in use; a reload ends those to a
                    # server that is down, so what is left then is a request.
                    idle_connections=0,
                    health=health,
                    full_health=_FULL_HEALTH,
                    status="down" if server.admission != READY else "up",
                )
            )
        return found

    def _address(self, host: str) -> t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]:
        try:
            return ipaddress.ip_address(host)
        except ValueError:
            raise MigrationError(
                "count the connections to",
                host,
                "it is a name, which may stand for several servers",
                f"Write its address in {self.file}",
            ) from None

    def _health(self, server: nginx_file.Server) -> int:
        """A server in traffic is well or not; one that has been out has to earn its health from nothing."""
        from ansible_collections.emailai.migration.plugins.module_utils._platform import http

        host, port = nginx_file.endpoint(server.address)
        place = f"[{host}]" if ":" in host else host
        is_good = not http.fault_of(f"http://{place}:{port}{self.health_path}", _HEALTH_SECONDS)
        before = _FULL_HEALTH if server.admission == READY else self._streaks.get(server.name, 0)
        self._streaks[server.name] = min(before + 1, _FULL_HEALTH) if is_good else 0
        return self._streaks[server.name]

    def may_write(self) -> bool:
        if not (os.access(self.file, os.W_OK) and os.access(self.folder, os.W_OK)):
            return False
        # Only who may signal the master can reload.
        nginx_workers.master(self.pid_file)
        return True

    def drain(self, backend: str, member: str) -> None:
        self._change("drain", member, DRAINED)

    def reopen(self, backend: str, member: str) -> None:
        self._streaks.pop(member, None)
        self._change("reopen", member, DRAINED)

    def admit(self, backend: str, member: str) -> None:
        self._change("readmit", member, READY)

    def cut(self, backend: str, member: str) -> None:
        raise MigrationError(
            "cut the sessions of",
            f"{member} on {self.name}",
            "nginx cannot end the requests of one server",
            "Set worker_shutdown_timeout in its configuration, or allow more time",
        )

    def _change(self, act: str, member: str, admission: str) -> None:
        """One change of the file at a time: two that read the same one would lose the first."""
        with locked([self.folder], _COMMAND_SECONDS):
            self._exchange(act, member, admission)

    def _exchange(self, act: str, member: str, admission: str) -> None:
        """Write, let nginx test the whole, reload, and wait until no worker serves by the old file."""
        before = self._read()
        with self._understood():
            after = nginx_file.changed(before, member, admission)
        if after == before:
            return
        self._write(after)
        try:
            self._order(act, member, "-t")
            elders = nginx_workers.workers(nginx_workers.master(self.pid_file))
            self._order(act, member, "-s", "reload")
            self._wait_for_new_workers(act, member, elders)
        except BaseException:
            self._write(before)
            # What runs may have the new file by now: it must not be other than what lies on the disk.
            with contextlib.suppress(MigrationError):
                self._order(act, member, "-s", "reload")
            raise

    def _write(self, text: str) -> None:
        try:
            handle, draft = tempfile.mkstemp(dir=self.folder, prefix=".emailai-")
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                out.write(text)
            shutil.copystat(self.file, draft)
            with contextlib.suppress(PermissionError):
                shutil.chown(draft, os.stat(self.file).st_uid, os.stat(self.file).st_gid)
            os.replace(draft, self.file)
        except OSError as exc:
            raise MigrationError("write", self.file, exc.strerror or str(exc)) from exc

    def _order(self, act: str, member: str, *words: str) -> None:
        try:
            done = subprocess.run(
                [*self.command, *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_COMMAND_SECONDS,
                check=False,
            )
            refusal = done.stderr.strip() if done.returncode else ""
        except (OSError, subprocess.TimeoutExpired) as exc:
            refusal = str(exc)
        if refusal:
            raise MigrationError(
                act,
                f"{member} on {self.name}",
                f"{' '.join(words)}: {refusal.splitlines()[-1]}",
                "The file is as it was. See that nginx runs, and what 'nginx -t' says",
            )

    def _wait_for_new_workers(self, act: str, member: str, elders: t.Mapping[int, bool]) -> None:
        """A reload is a signal: while an old worker still takes requests, nothing has changed."""
        deadline = time.monotonic() + _RELOAD_SECONDS
        while True:
            workers = nginx_workers.workers(nginx_workers.master(self.pid_file))
            is_new = any(pid not in elders for pid in workers)
            if is_new and all(is_leaving for pid, is_leaving in workers.items() if pid in elders):
                return
            if time.monotonic() >= deadline:
                raise MigrationError(
                    act,
                    f"{member} on {self.name}",
                    f"old workers still serve {_RELOAD_SECONDS:g} s after the reload",
                    "Read its error log",
                )
            time.sleep(0.02)
