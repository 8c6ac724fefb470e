# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""NGINX Plus through its API: the upstream's servers are told, its peers are asked."""

from __future__ import annotations

import json
import tempfile
import typing as t
from urllib.parse import quote

from ansible_collections.emailai.migration.plugins.module_utils._balancer.member import (
    CLOSED,
    DRAINED,
    READY,
    Member,
)
from ansible_collections.emailai.migration.plugins.module_utils._balancer.nginx_file import endpoint
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

_ANSWER_SECONDS: t.Final = 5.0
Row = t.Dict[str, t.Any]


def admission(peer: Row) -> str:
    """What an operator asked for; everything else a peer's state says is what NGINX found out."""
    return {"draining": DRAINED, "down": CLOSED}.get(str(peer["state"]), READY)


def member(balancer: str, name: str, peer: Row) -> Member:
    """One peer. A figure that is missing is an error (KeyError, TypeError), not a zero."""
    checks = peer.get("health_checks") or {}
    last = checks.get("last_passed")
    host, port = endpoint(str(peer["server"]))
    state = str(peer["state"])
    return Member(
        balancer=balancer,
        name=name,
        address=host,
        port=port,
        admission=admission(peer),
        is_running=state in ("up", "draining"),
        weight=int(peer["weight"]),
        sessions=int(peer["active"]),
        queued=0,
        connections=0,
        idle_connections=0,
        # Where nothing is checked yet, or at all, health is not known.
        health=None if last is None else int(bool(last) and not checks.get("unhealthy_now")),
        full_health=None if last is None else 1,
        status=state,
    )


class NginxPlus:
    """One instance. ``url`` leads to the API with its version: http://10.0.0.5:8080/api/9."""

    rests_as = (DRAINED,)
    checks_while_out = (DRAINED,)

    def __init__(self, url: str, members: t.Mapping[str, str]) -> None:
        self.url = url.rstrip("/")
        # How people call a server, where that is not its address.
        self.addresses = dict(members)

    @property
    def name(self) -> str:
        return f"NGINX Plus at {self.url.partition('//')[2].partition('/')[0].rpartition('@')[2]}"

    @property
    def lock_folder(self) -> str:
        return tempfile.gettempdir()

    def mark(self) -> str:
        return ""

    def _ask(self, act: str, thing: str, path: str, change: t.Optional[Row] = None) -> t.Any:
        # It brings all of Ansible's HTTP with it, and the other kinds do without.
        from ansible_collections.emailai.migration.plugins.module_utils import _http

        manner = _http.Manner(act, f"{thing} on {self.name}", "balancer", _ANSWER_SECONDS, words=words)
        return _http.request(manner, f"{self.url}/http/{path}", change, "PATCH" if change else "GET")

    def _upstream(self, backend: str) -> str:
        return f"upstreams/{quote(backend, safe='')}"

    def members(self, backend: str) -> t.List[Member]:
        found = self._ask("read", f"upstream {backend}", self._upstream(backend))
        names = {address: name for name, address in self.addresses.items()}
        try:
            return [
                member(self.name, names.get(str(peer["name"]), str(peer["name"])), peer)
                for peer in found["peers"]
            ]
        except (KeyError, TypeError, ValueError) as exc:
            raise MigrationError(
                "read",
                f"upstream {backend} on {self.name}",
                f"its answer lacks {exc}",
                "See the API's version",
            ) from exc

    def may_write(self) -> bool:
        """A change of a server that cannot exist is refused in one way by an API that takes changes (no such
        upstream), in another by one that does not (405)."""
        try:
            self._ask("try", "a change", "upstreams/-/servers/0", {"down": False})
        except MigrationError as exc:
            if exc.facts.get("status") in (401, 403, 405):
                return False
            if exc.facts.get("status") != 404:
                raise
        return True

    def _change(self, act: str, backend: str, name: str, change: Row, wanted: str) -> None:
        address = self.addresses.get(name, name)
        servers = self._ask(act, name, f"{self._upstream(backend)}/servers")
        ids = [row["id"] for row in servers if row.get("server") == address]
        if not ids:
            raise MigrationError(act, f"{name} on {self.name}", f"{backend} has no server {address}")
        for number in ids:
            self._ask(act, name, f"{self._upstream(backend)}/servers/{number}", change)
        # An answer is not the deed.
        after = [each for each in self.members(backend) if each.name == name]
        if any(each.admission != wanted for each in after):
            raise MigrationError(
                act, f"{name} on {self.name}", f"it took the order and keeps it {after[0].status}"
            )

    def drain(self, backend: str, member: str) -> None:
        self._change("drain", backend, member, {"drain": True}, DRAINED)

    def reopen(self, backend: str, member: str) -> None:
        self._change("reopen", backend, member, {"drain": True}, DRAINED)

    def admit(self, backend: str, member: str) -> None:
        self._change("readmit", backend, member, {"down": False}, READY)

    def cut(self, backend: str, member: str) -> None:
        raise MigrationError(
            "cut the sessions of", f"{member} on {self.name}", "it cannot end the requests of one server"
        )


def words(body: bytes) -> str:
    """What the API says about a refusal."""
    try:
        return str(json.loads(body.decode("utf-8"))["error"]["text"])
    except (ValueError, KeyError, TypeError):
        return ""
