# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy through its runtime socket: asks, and believes no command whose answer it has not read."""

from __future__ import annotations

import os
import socket
import tempfile
import time
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._balancer import haproxy_table
from ansible_collections.emailai.migration.plugins.module_utils._balancer.member import DRAINED, Member
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

_ANSWER_SECONDS: t.Final = 5.0
_Answer = t.TypeVar("_Answer")


def _connect(address: str) -> socket.socket:
    """A path is a UNIX socket, anything else is host:port."""
    if address.startswith("/"):
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.settimeout(_ANSWER_SECONDS)
        line.connect(address)
        return line
    host, _ignored, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError("it is neither a path nor host:port")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS)


def _exchange(address: str, command: str) -> str:
    """One command on a connection of its own, of which we close our end so that its answer is the last."""
    deadline = time.monotonic() + _ANSWER_SECONDS
    parts: list[bytes] = []
    with _connect(address) as line:
        line.sendall(command.encode() + b"\n")
        line.shutdown(socket.SHUT_WR)
        while True:
            # The time limit is on the whole answer: a peer that sends a byte now and then
            # must not hold a deployment for ever.
            line.settimeout(max(0.01, deadline - time.monotonic()))
            part = line.recv(65536)
            if not part:
                return b"".join(parts).decode("utf-8", "replace")
            parts.append(part)


class Haproxy:
    """One HAProxy. ``master`` is its master socket, which alone knows the old workers of a reload."""

    rests_as = (DRAINED,)
    checks_while_out = (DRAINED,)

    def __init__(self, address: str, master: str = "") -> None:
        self.address = address
        self.master = master

    @property
    def name(self) -> str:
        return f"HAProxy at {self.address}"

    @property
    def lock_folder(self) -> str:
        return os.path.dirname(self.address) if self.address.startswith("/") else tempfile.gettempdir()

    def ask(self, command: str, address: str = "") -> str:
        """The answer, whatever it says; only silence is a failure here."""
        try:
            return _exchange(address or self.address, command)
        except (OSError, ValueError) as exc:
            raise MigrationError(
                "ask", self.name, str(exc), "See that it runs and that this host may use its socket"
            ) from exc

    def order(self, act: str, thing: str, command: str) -> None:
        """A command that is silent when it worked: any word is a refusal."""
        refusal = haproxy_table.refusal(self.ask(command))
        if refusal:
            raise MigrationError(act, f"{thing} on {self.name}", refusal, haproxy_table.cure_for(refusal))

    def _read(self, thing: str, read: t.Callable[[], _Answer]) -> _Answer:
        try:
            return read()
        except haproxy_table.TableError as exc:
            raise MigrationError(
                "read", f"{thing} of {self.name}", str(exc), haproxy_table.cure_for(str(exc))
            ) from exc

    def members(self, backend: str) -> list[Member]:
        return self._read(
            f"backend {backend}",
            lambda: haproxy_table.members(
                self.name,
                backend,
                haproxy_table.read_statistics(self.ask("show stat")),
                haproxy_table.read_states(self.ask(f"show servers state {backend}")),
                self._old_statistics(),
            ),
        )

    def map_entries(self, name: str) -> dict[str, str]:
        return self._read(f"map {name}", lambda: haproxy_table.read_map(self.ask(f"show map {name}")))

    def set_map_entry(self, name: str, key: str, value: str, is_new: bool) -> None:
        # A value given as payload needs no quoting; one that is there is changed in one step,
        # so that no request ever finds the key missing.
        command = (
            f"add map {name} <<\n{key} {value}\n"
            if is_new
            else f"set map {name} {key} {haproxy_table.quoted(value)}"
        )
        self.order("set", f"{key} in map {name}", command)

    def _old_workers(self) -> list[int]:
        return haproxy_table.old_workers(self.ask("show proc", self.master))

    def _old_statistics(self) -> list[dict[str, str]]:
        rows: list[dict[str, str]] = []
        for pid in self._old_workers() if self.master else []:
            answer = self.ask(f"@!{pid} show stat", self.master)
            # A worker that ended between the two questions has no connections left.
            if answer.startswith("# pxname,") or pid in self._old_workers():
                rows += haproxy_table.read_statistics(answer)
        return rows

    def mark(self) -> str:
        return self._read("the process", lambda: haproxy_table.process_id(self.ask("show info")))

    def may_write(self) -> bool:
        return self.ask("show cli level").strip() == "admin"

    def drain(self, backend: str, member: str) -> None:
        self.order("drain", member, f"set server {backend}/{member} state drain")

    def reopen(self, backend: str, member: str) -> None:
        # A server that leaves maintenance counts as up before any check ran. So it leaves into
        # drain, and its health is set to nothing, which its checks then have to earn back.
        self.order("reopen", member, f"set server {backend}/{member} state drain")
        self.order("reopen", member, f"set server {backend}/{member} health down")

    def admit(self, backend: str, member: str) -> None:
        self.order("readmit", member, f"set server {backend}/{member} state ready")

    def cut(self, backend: str, member: str) -> None:
        self.order("cut the sessions of", member, f"shutdown sessions server {backend}/{member}")
