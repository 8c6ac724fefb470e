# SPDX-License-Identifier: GPL-3.0-or-later
"""lb_member against what stands in for the API of AWS (moto's server, spoken to over HTTP)."""

from __future__ import annotations

import threading
import typing as t
import urllib.request
from pathlib import Path

import boto3
import pytest
from moto.elbv2 import models
from moto.server import ThreadedMotoServer

from integration.haproxy_fixture import run_module, wait_until

# `make test` has no time for these.
pytestmark = pytest.mark.further

REGION = "us-east-1"
MEMBERS = {f"app-{number}": f"10.0.0.1{number}:3000" for number in range(1, 5)}


class Aws:
    """One target group with four addresses. A test says how a target is while AWS would find out."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.states: dict[str, tuple[str, str]] = {}
        ec2 = boto3.client("ec2", endpoint_url=url, region_name=REGION)
        self.elb = boto3.client("elbv2", endpoint_url=url, region_name=REGION)
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        group = self.elb.create_target_group(
            Name="emailai",
            Protocol="HTTP",
            Port=3000,
            VpcId=vpc,
            TargetType="ip",
            HealthCheckPath="/api/health",
        )
        self.arn = group["TargetGroups"][0]["TargetGroupArn"]
        targets = [{"Id": text.partition(":")[0], "Port": 3000} for text in MEMBERS.values()]
        self.elb.register_targets(TargetGroupArn=self.arn, Targets=targets)

    def registered(self) -> set[str]:
        rows = self.elb.describe_target_health(TargetGroupArn=self.arn)["TargetHealthDescriptions"]
        return {row["Target"]["Id"] for row in rows if row["TargetHealth"]["State"] in ("healthy", "initial")}

    def member(self, state: str, check_mode: bool = False, **more: t.Any) -> dict[str, t.Any]:
        params = {
            "balancers": [self.description()],
            "backend": "emailai",
            "member": "app-1",
            "state": state,
            "timeout_seconds": 5,
            # Nobody listens there: these targets are on no network.
            "app_address": "127.0.0.1:9",
            **more,
        }
        return run_module("lb_member", params, check_mode)

    def description(self) -> dict[str, t.Any]:
        return {"kind": "target_group", "members": MEMBERS, "region": REGION, "endpoint_url": self.url}


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Aws]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # Its memory is that of this process.
    urllib.request.urlopen(f"http://{host}:{port}/moto-api/reset", data=b"", timeout=10).close()
    found = Aws(f"http://{host}:{port}")
    # The stand-in knows neither the way to healthy nor the delay of a deregistration: it is told what AWS
    # documents to answer meanwhile.
    as_it_is = models.FakeTargetGroup.health_for

    def health_for(self: t.Any, target: t.Any, ec2_backend: t.Any) -> t.Any:
        if target["Id"] in found.states:
            state, reason = found.states[target["Id"]]
            return models.FakeHealthStatus(target["Id"], 3000, "3000", state, reason)
        return as_it_is(self, target, ec2_backend)

    monkeypatch.setattr(models.FakeTargetGroup, "health_for", health_for)
    yield found
    server.stop()


def test_drained_and_ready_four_times_each(aws: Aws) -> None:
    for state, is_in in (("drained", False), ("ready", True)):
        before = aws.registered()
        promised = aws.member(state, check_mode=True)
        assert promised["changed"]
        assert aws.registered() == before
        done = aws.member(state)
        assert done["changed"], done
        assert done["diff"] == promised["diff"]
        assert ("10.0.0.11" in aws.registered()) is is_in
        assert not aws.member(state, check_mode=True)["changed"]
        assert not aws.member(state)["changed"]
    assert len(aws.registered()) == 4


def draining(aws: Aws) -> None:
    """As AWS shows a target that still finishes what it has; it stays in the list for that time."""
    aws.states["10.0.0.11"] = ("draining", "Target.DeregistrationInProgress")


def test_a_target_that_drains_is_waited_for(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    deregister = models.FakeTargetGroup.deregister

    def slowly(self: t.Any, targets: list[dict[str, t.Any]]) -> None:
        # It stays listed while it drains.
        draining(aws)
        threading.Timer(2, lambda: (aws.states.clear(), deregister(self, targets))).start()

    monkeypatch.setattr(models.FakeTargetGroup, "deregister", slowly)
    done = aws.member("drained")
    assert done["waited_seconds"] > 1.5
    assert done["members"][0]["state"] == "closed"
    assert "10.0.0.11" not in aws.registered()


def test_a_target_that_drains_too_long_is_registered_again(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    register = models.FakeTargetGroup.register
    monkeypatch.setattr(models.FakeTargetGroup, "deregister", lambda _self, _targets: draining(aws))

    def again(self: t.Any, targets: list[dict[str, t.Any]]) -> None:
        aws.states.clear()
        register(self, targets)

    monkeypatch.setattr(models.FakeTargetGroup, "register", again)
    failed = aws.member("drained", timeout_seconds=1)
    assert failed["timed_out"]
    assert aws.states == {}
    assert len(aws.registered()) == 4


def test_a_target_has_to_become_healthy(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    assert aws.member("drained")["changed"]
    register = models.FakeTargetGroup.register

    def at_first_initial(self: t.Any, targets: list[dict[str, t.Any]]) -> None:
        if targets[0]["Id"] not in self.targets:
            aws.states["10.0.0.11"] = ("initial", "Elb.InitialHealthChecking")
            threading.Timer(2, aws.states.clear).start()
        register(self, targets)

    monkeypatch.setattr(models.FakeTargetGroup, "register", at_first_initial)
    done = aws.member("ready")
    assert done["waited_seconds"] > 1.5
    assert done["members"][0]["serving"]


def test_a_target_that_stays_unhealthy_is_a_failure(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    aws.member("drained")
    aws.states["10.0.0.11"] = ("unhealthy", "Target.FailedHealthChecks")
    failed = aws.member("ready", timeout_seconds=1)
    assert "unhealthy (Target.FailedHealthChecks)" in failed["msg"]


def test_capacity_counts_healthy_targets_only(aws: Aws) -> None:
    aws.states["10.0.0.14"] = ("unhealthy", "Target.Timeout")
    refused = aws.member("drained", min_healthy=3)
    assert refused["capacity"] == {
        "balancer": f"AWS in {REGION}",
        "members": 4,
        "healthy": 3,
        "healthy_after": 2,
        "minimum": 3,
        "enough": False,
    }
    assert len(aws.registered()) == 3


def test_a_target_whose_health_is_not_checked_is_not_drained(aws: Aws) -> None:
    aws.states["10.0.0.11"] = ("unavailable", "Target.HealthCheckDisabled")
    assert "does not check its health" in aws.member("drained")["msg"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"backend": "nobody"}, "Name the backend as the target group is called"),
        ({"member": "app-9"}, "does not know it; it knows app-1"),
        ({"member": "app-1", "members": {"app-1": "10.0.0.11"}}, "is not an id and a port"),
    ],
)
def test_what_is_described_wrongly_is_one_sentence(aws: Aws, more: dict[str, t.Any], words: str) -> None:
    description = {**aws.description(), **({"members": more.pop("members")} if "members" in more else {})}
    failed = aws.member("drained", balancers=[description], **more)
    assert failed["failed"]
    assert words in failed["msg"]
    assert len(aws.registered()) == 4


def test_readiness_is_told(aws: Aws) -> None:
    params = {"balancers": [aws.description()], "backend": "emailai", "members": list(MEMBERS)}
    lines = run_module("lb_member_info", params)["readiness"]
    assert {line["state"] for line in lines} == {"met"}, lines
    assert len(aws.registered()) == 4


def test_a_run_that_is_lost_is_healed_here_too(aws: Aws, tmp_path: Path) -> None:
    lease = {"folder": str(tmp_path / "leases"), "seconds": 1}
    assert aws.member("drained", lease=lease)["changed"]
    assert len(aws.registered()) == 3
    wait_until(lambda: len(aws.registered()) == 4, 20)
    path = next((tmp_path / "leases").glob("lease-*.json"))
    wait_until(lambda: '"readmitted"' in path.read_text())
