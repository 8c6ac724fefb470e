# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's desk: one lab, the commands he types, and what he reads afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from lab.ground import is_listening
from lab.layout import DATABASES, REPOSITORY, Layout

_SERVERS: t.Final = ("app-1", "app-2", "app-3", "app-4")

RECAP = re.compile(
    r"^(?P<host>[\w.-]+)\s*:\s*ok=(\d+)\s+changed=(?P<changed>\d+)\s+unreachable=(\d+)\s+failed=(?P<failed>\d+)",
    re.M,
)


@dataclass(frozen=True)
class Run:
    """One command and its answer."""

    status: int
    output: str
    seconds: float

    @property
    def changed(self) -> dict[str, int]:
        """How many changes each host reports; empty when there was no recap."""
        return {found["host"]: int(found["changed"]) for found in RECAP.finditer(self.output)}

    def must_succeed(self) -> Run:
        assert self.status == 0, self.output[-6000:]
        return self

    def must_fail(self, *words: str) -> Run:
        assert self.status != 0, f"it should have failed:\n{self.output[-4000:]}"
        for word in words:
            assert word in self.one_line, f"{word!r} is not in:\n{self.output[-6000:]}"
        return self

    @property
    def one_line(self) -> str:
        """The output without the line breaks and quotes that the terminal puts into sentences."""
        return " ".join(self.output.split())


def free_port_base(span: int = 40) -> int:
    """A stretch of free ports below the ephemeral range, so that nobody is handed one meanwhile."""
    start = 12000 + (os.getpid() % 200) * span
    for base in range(start, start + 200 * span, span):
        if not any(is_listening(base + offset) for offset in range(span)):
            return base
    raise RuntimeError("no stretch of free ports")


class Desk:
    """A lab of its own in ``folder``, with the environment that points every command at it."""

    def __init__(self, folder: Path, profile: str = "clean") -> None:
        self.layout = Layout(folder, free_port_base(), profile)
        self.environment = {
            **os.environ,
            "LAB_DIR": str(folder),
            "LAB_PORT_BASE": str(self.layout.port_base),
            "LAB_PROFILE": profile,
            "PYTHONPATH": f"{REPOSITORY}/collections:{REPOSITORY}/tests",
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            # Into a pipe Ansible writes in blocks: a line would be read long after it was said.
            "PYTHONUNBUFFERED": "1",
            "ANSIBLE_FORCE_COLOR": "0",
        }
        self.environment.pop("ANSIBLE_COLLECTIONS_PATH", None)

    # -- commands -------------------------------------------------------------

    def lab(self, *words: str, timeout: float = 180) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "lab", *words],
            env=self.environment, cwd=REPOSITORY, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"lab {' '.join(words)}:\n{done.stdout[-4000:]}"
        return done.stdout

    def start(
        self, playbook: str, *words: str, limit: t.Optional[str] = "prod", **variables: t.Any
    ) -> subprocess.Popen[str]:
        """Begin a playbook and do not wait; its output is a pipe."""
        extra = ["-e", json.dumps({"journal_owner": "tester", **variables})]
        command = [
            str(Path(sys.executable).parent / "ansible-playbook"),
            playbook,
            *words,
            *(["-l", limit] if limit is not None else []),
            *extra,
        ]
        return subprocess.Popen(
            command, env=self.environment, cwd=REPOSITORY, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    def play(
        self,
        playbook: str,
        *words: str,
        limit: t.Optional[str] = "prod",
        timeout: float = 600,
        **variables: t.Any,
    ) -> Run:
        began = time.monotonic()
        process = self.start(playbook, *words, limit=limit, **variables)
        try:
            output, _ignored = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ignored = process.communicate()
            raise AssertionError(f"{playbook} did not end within {timeout} s:\n{output[-6000:]}") from None
        return Run(process.returncode, output, time.monotonic() - began)

    # -- what there is --------------------------------------------------------

    def rows(
        self, query: str, *parameters: t.Any, side: str = "prod", role: str = "postgres"
    ) -> list[tuple[t.Any, ...]]:
        """Ask the database itself, as nobody's client."""
        connection = self._connect(side, role)
        with connection, connection.cursor() as cursor:
            cursor.execute(query, parameters or None)
            found = cursor.fetchall() if cursor.description else []
        connection.close()
        return found

    def _connect(self, side: str, role: str, application_name: str = "desk") -> t.Any:
        return psycopg2.connect(
            host="127.0.0.1", port=self.layout.port(side), dbname=DATABASES[side], user=role,
            password=self.layout.secrets()["roles"][role], application_name=application_name,
        )  # fmt: skip

    def do(self, statement: str, side: str = "prod") -> None:
        """One statement outside of a transaction."""
        connection = self._connect(side, "postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
        connection.close()

    @contextlib.contextmanager
    def visitor(self, application_name: str) -> t.Iterator[None]:
        """A session that calls itself so and does nothing."""
        connection = self._connect("prod", "postgres", application_name)
        try:
            yield
        finally:
            connection.close()

    def value(self, query: str, *parameters: t.Any, side: str = "prod") -> t.Any:
        return self.rows(query, *parameters, side=side)[0][0]

    def load_report(self) -> dict[str, t.Any]:
        found: dict[str, t.Any] = json.loads(self.lab("load", "report"))
        return found

    def releases(self) -> dict[str, str]:
        """Which release each server's folder points to."""
        return {name: self._link(name, "current") for name in _SERVERS}

    def exchanged(self, release: str) -> list[str]:
        """The servers on which the release was ever taken up, though it was taken back since."""
        links = ("current", "previous")
        return [name for name in _SERVERS if release in (self._link(name, link) for link in links)]

    def _link(self, server: str, name: str) -> str:
        link = self.layout.host(server) / name
        return os.readlink(link).rsplit("/", 1)[-1] if link.is_symlink() else ""
