# SPDX-License-Identifier: GPL-3.0-or-later
"""A real PgBouncer in front of a server: in session or in transaction mode."""

from __future__ import annotations

import shutil
import tempfile
import typing as t
from pathlib import Path

from lab.ground import free_port, give_to_server, is_listening, server_user, short_root
from lab.postgres import Server
from lab.process import Process, wait_for_answer

_CONFIGURATION = """\
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
pool_mode = {mode}
auth_type = scram-sha-256
auth_file = {folder}/users.txt
max_client_conn = 100
default_pool_size = 20
logfile = {folder}/pgbouncer.log
{more}
"""


def program() -> str:
    """Where the distribution keeps it; FileNotFoundError names the package."""
    found = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if found is None:
        raise FileNotFoundError("pgbouncer is not installed: install the package pgbouncer")
    return found


class Pooler:
    """Knows the roles that the server had when it was made; ``more`` are lines of its configuration."""

    def __init__(self, server: Server, mode: str, *more: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="emailai-pool-", dir=short_root()))
        self.port = free_port()
        self._process = Process(self.folder, "pgbouncer")
        lines = (f'"{role}" "{password}"\n' for role, password in server.passwords().items())
        self._write("users.txt", "".join(lines))
        text = _CONFIGURATION.format(
            server=server.port, port=self.port, mode=mode, folder=self.folder, more="\n".join(more)
        )
        self._write("pgbouncer.ini", text)
        give_to_server(self.folder)

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        give_to_server(path)

    def __enter__(self) -> Pooler:
        log = self.folder / "output.log"
        user: dict[str, t.Any] = server_user()
        self._process.start([program(), self.folder / "pgbouncer.ini"], log, cwd="/", **user)
        wait_for_answer(self._process, lambda: is_listening(self.port), 10, log)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._process.end(5)
        shutil.rmtree(self.folder, ignore_errors=True)
