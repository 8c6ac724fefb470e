# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prisma's own command, and how it learns the database's address without showing it in a command line.

Prisma takes its URL from the environment only: so does this child, and nothing else of ours.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import typing as t
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

if t.TYPE_CHECKING:
    from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target

_TAIL_BYTES: t.Final = 4000
_ADDRESS: t.Final = re.compile(r"postgres(?:ql)?://\S+")


@dataclass(frozen=True)
class Client:
    """How Prisma is started, where, and for how long."""

    command: tuple[str, ...]
    folder: Path
    url_variables: tuple[str, ...]
    timeout_seconds: float

    def run(self, target: Target, lock_timeout_ms: int, *words: str) -> str:
        """What it said, if it ended well; ClientError otherwise."""
        url = url_for(target, lock_timeout_ms)
        environment = dict(os.environ, CHECKPOINT_DISABLE="1", PRISMA_HIDE_UPDATE_MESSAGE="1")
        environment.update(dict.fromkeys(self.url_variables, url))
        with tempfile.TemporaryFile() as output:
            code = self._wait([*self.command, *words], environment, output)
            output.seek(max(0, output.seek(0, 2) - _TAIL_BYTES))
            said = hidden(output.read().decode("utf-8", "replace"), target)
        if code != 0:
            raise ClientError(" ".join(words), f"it ended with {code} and said: {_last_words(said)}")
        return said

    def _wait(self, command: list[str], environment: dict[str, str], output: t.Any) -> int:
        words = " ".join(command[len(self.command) :])
        try:
            child = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except OSError as exc:
            raise ClientError(
                words, f"{command[0]}: {exc.strerror}", "Install Node.js and the application's packages here"
            ) from exc
        try:
            return child.wait(self.timeout_seconds)
        except subprocess.TimeoutExpired:
            raise ClientError(words, f"it did not end within {self.timeout_seconds:g} s") from None
        finally:
            # npx is only the parent of what works.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


class ClientError(MigrationError):
    """Prisma did not do what it was asked."""

    def __init__(self, words: str, cause: str, cure: str = "", **facts: t.Any) -> None:
        super().__init__("run", f"prisma {words}", cause, cure, **facts)


def url_for(target: Target, lock_timeout_ms: int) -> str:
    """The address as Prisma reads it; each of its sessions gives a lock up after so long."""
    options = {
        "schema": target.schema,
        "host": target.host if target.host.startswith("/") else "",
        "sslmode": target.ssl_mode,
        "sslcert": target.ca_cert,
        "options": f"-c lock_timeout={lock_timeout_ms}",
    }
    host = "localhost" if target.host.startswith("/") else target.host or "localhost"
    host = f"[{host}]" if ":" in host else host
    login = quote(target.user, safe="") + (f":{quote(target.password, safe='')}" if target.password else "")
    query = urlencode({name: text for name, text in options.items() if text}, quote_via=quote)
    return f"postgresql://{login}@{host}:{target.port}/{quote(target.dbname, safe='')}?{query}"


def hidden(text: str, target: Target) -> str:
    """Without any address, and without the password as Prisma may repeat it."""
    text = _ADDRESS.sub("postgresql://********", text)
    for secret in {target.password, quote(target.password, safe="")} - {""}:
        text = text.replace(secret, "********")
    return text


def _last_words(said: str) -> str:
    """From the error on; what stands before it is Prisma's greeting."""
    start = said.rfind("Error:")
    return " ".join(said[max(0, start) :].split())[:600] or "nothing"
