# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a file of ``server`` lines says, and the same file with one of them changed. Touches nothing."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._balancer.member import CLOSED, DRAINED, READY

# Behind the name, so that what we took out can be told from what somebody else did.
_OURS: t.Final = "drained"
_LINE: t.Final = re.compile(
    r"^(?P<indent>\s*)server\s+(?P<address>[^\s;#]+)(?P<options>[^;#]*);"
    r"[ \t]*(?:#[ \t]*(?P<words>.*?))?[ \t]*$"
)


class FileError(Exception):
    """A file that cannot be what was meant; the message says why."""


@dataclass(frozen=True)
class Server:
    """One line. Its name is the first word of its comment, or its address."""

    name: str
    address: str
    options: t.Tuple[str, ...]
    admission: str
    indent: str = ""

    @property
    def weight(self) -> int:
        found = [each[7:] for each in self.options if each.startswith("weight=")]
        return int(found[0]) if found and found[0].isdigit() else 1

    def with_admission(self, admission: str) -> str:
        """The line as it must be."""
        options = [each for each in self.options if each != "down"] + (["down"] if admission != READY else [])
        words = [self.name, *([_OURS] if admission == DRAINED else [])]
        return f"{self.indent}server {' '.join([self.address, *options])}; # {' '.join(words)}"


def _server(line: str) -> t.Optional[Server]:
    found = _LINE.match(line)
    if found is None:
        return None
    words = (found["words"] or "").split()
    options = tuple(found["options"].split())
    admission = READY
    if "down" in options:
        admission = DRAINED if _OURS in words[1:] else CLOSED
    return Server(
        words[0] if words else found["address"], found["address"], options, admission, found["indent"]
    )


def servers(text: str) -> t.List[Server]:
    """All in their order; a name that stands for two servers is an error."""
    found = [server for server in map(_server, text.splitlines()) if server is not None]
    if not found:
        raise FileError("it has no line like 'server 10.0.0.11:3000; # app-1'")
    names = [server.name for server in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FileError(f"it names {', '.join(twice)} twice")
    return found


def changed(text: str, name: str, admission: str) -> str:
    """The same file with one server's admission; every other line stays as it is, letter by letter."""
    lines = text.splitlines(keepends=True)
    for at, line in enumerate(lines):
        server = _server(line.rstrip("\n"))
        if server is not None and server.name == name:
            lines[at] = server.with_admission(admission) + "\n"
            return "".join(lines)
    raise FileError(f"it does not name {name}")


def endpoint(address: str) -> t.Tuple[str, int]:
    """Host and port as nginx reads them: without a port it is 80."""
    host, _c, port = address.rpartition(":")
    if host and port.isdigit() and not host.endswith(":"):
        return host.strip("[]"), int(port)
    return address.strip("[]"), 80
