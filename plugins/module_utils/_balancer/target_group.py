# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A target group of AWS. Who is registered gets traffic once its checks call it healthy; who is not is not
even listed, so the inventory says which targets there are."""

from __future__ import annotations

import contextlib
import tempfile
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._balancer.member import (
    CLOSED,
    DRAINED,
    READY,
    Member,
)
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

_CURES: t.Final = {
    "TargetGroupNotFound": "Name the backend as the target group is called, and its region",
    "AccessDenied": "Allow elasticloadbalancing: DescribeTargetGroups, DescribeTargetHealth, RegisterTargets,"
    " DeregisterTargets",
    "InvalidTarget": "Write the target in members as it is registered: i-0123456789abcdef0:3000",
}


def admission(state: str) -> str:
    """draining: still finishing. unused: not registered, so no check looks at it either."""
    return {"draining": DRAINED, "unused": CLOSED}.get(state, READY)


def member(
    balancer: str, name: str, target: t.Tuple[str, int], health: t.Optional[t.Mapping[str, str]]
) -> Member:
    """What AWS says of a target; None where it does not list it."""
    state = health["State"] if health is not None else "unused"
    reason = health.get("Reason", "") if health is not None else ""
    is_checked = state != "unavailable"
    return Member(
        balancer=balancer,
        name=name,
        address=target[0],
        port=target[1],
        admission=admission(state),
        is_running=state == "healthy",
        weight=1,
        # AWS tells nobody how many requests a target has; while it calls it draining, it may have some.
        sessions=int(state == "draining"),
        queued=0,
        connections=0,
        idle_connections=0,
        health=int(state == "healthy") if is_checked else None,
        full_health=1 if is_checked else None,
        status=f"{state} ({reason})" if reason else state,
    )


def target_of(name: str, text: str) -> t.Tuple[str, int]:
    """``i-0123:3000`` or ``10.0.0.11:3000``."""
    identity, _c, port = text.rpartition(":")
    if not identity or not port.isdigit():
        raise MigrationError(
            "read",
            f"the target of {name}",
            f"{text!r} is not an id and a port",
            "Write it as i-0123456789abcdef0:3000 or 10.0.0.11:3000",
        )
    return identity, int(port)


class TargetGroup:
    """All of them are reached with what the host itself may do: an instance role, or a profile."""

    rests_as = (DRAINED, CLOSED)
    # Nobody who is out is checked; AWS checks before it sends anything.
    checks_while_out = ()

    def __init__(self, members: t.Mapping[str, str], region: str, profile: str, endpoint_url: str) -> None:
        self.targets = {name: target_of(name, text) for name, text in members.items()}
        self.region = region
        self.profile = profile
        self.endpoint_url = endpoint_url
        self._made: t.Any = None

    @property
    def name(self) -> str:
        return f"AWS in {self.region or 'its own region'}"

    @property
    def lock_folder(self) -> str:
        return tempfile.gettempdir()

    def mark(self) -> str:
        return ""

    @contextlib.contextmanager
    def _told(self, act: str, thing: str) -> t.Iterator[None]:
        # Loading it takes longer than all that the other kinds do.
        try:
            from botocore.exceptions import BotoCoreError, ClientError
        except ImportError as exc:
            raise MigrationError(act, thing, str(exc), "Install boto3 on the host that does this") from exc
        try:
            yield
        except (BotoCoreError, ClientError) as exc:
            code = str(getattr(exc, "response", {}).get("Error", {}).get("Code", ""))
            cure = next((text for sign, text in _CURES.items() if code.startswith(sign)), "")
            raise MigrationError(act, f"{thing} on {self.name}", str(exc), cure, code=code) from exc

    @property
    def _client(self) -> t.Any:
        if self._made is None:
            import boto3
            from botocore.config import Config

            session = boto3.session.Session(
                profile_name=self.profile or None, region_name=self.region or None
            )
            self._made = session.client(
                "elbv2",
                endpoint_url=self.endpoint_url or None,
                config=Config(
                    connect_timeout=5, read_timeout=10, retries={"mode": "standard", "max_attempts": 4}
                ),
            )
        return self._made

    def _arn(self, backend: str) -> str:
        if backend.startswith("arn:"):
            return backend
        return str(self._client.describe_target_groups(Names=[backend])["TargetGroups"][0]["TargetGroupArn"])

    def members(self, backend: str) -> t.List[Member]:
        with self._told("read", f"target group {backend}"):
            rows = self._client.describe_target_health(TargetGroupArn=self._arn(backend))
        found = {
            (row["Target"]["Id"], int(row["Target"]["Port"])): row["TargetHealth"]
            for row in rows["TargetHealthDescriptions"]
        }
        # Who is registered and not in the inventory serves as well: it counts for what goes on serving.
        names = {target: name for name, target in self.targets.items()}
        others = {target: f"{target[0]}:{target[1]}" for target in found if target not in names}
        return [member(self.name, name, at, found.get(at)) for at, name in {**names, **others}.items()]

    def may_write(self) -> bool:
        """To take out a target that cannot be there changes nothing, and is refused to who may not."""
        try:
            with self._told("try", "a change"):
                self._client.deregister_targets(
                    TargetGroupArn=self._any_arn(), Targets=[{"Id": "i-00000000000000000", "Port": 65535}]
                )
        except MigrationError as exc:
            return not str(exc.facts.get("code", "")).startswith(("AccessDenied", "UnauthorizedOperation"))
        return True

    def _any_arn(self) -> str:
        return str(self._client.describe_target_groups()["TargetGroups"][0]["TargetGroupArn"])

    def _target(self, act: str, name: str) -> t.List[t.Dict[str, t.Any]]:
        if name not in self.targets:
            raise MigrationError(
                act,
                f"{name} on {self.name}",
                "the inventory does not say which target it is",
                "Add it to members",
            )
        identity, port = self.targets[name]
        return [{"Id": identity, "Port": port}]

    def _register(self, act: str, backend: str, name: str) -> None:
        with self._told(act, name):
            self._client.register_targets(TargetGroupArn=self._arn(backend), Targets=self._target(act, name))

    def drain(self, backend: str, member: str) -> None:
        with self._told("drain", member):
            self._client.deregister_targets(
                TargetGroupArn=self._arn(backend), Targets=self._target("drain", member)
            )

    def reopen(self, backend: str, member: str) -> None:
        self._register("reopen", backend, member)

    def admit(self, backend: str, member: str) -> None:
        # Registering who is registered changes nothing; one that still drains is registered anew.
        self._register("readmit", backend, member)

    def cut(self, backend: str, member: str) -> None:
        raise MigrationError(
            "cut the sessions of",
            f"{member} on {self.name}",
            "AWS ends them itself, after the delay of the target group",
            "Set deregistration_delay.timeout_seconds below the time a drain may take",
        )
