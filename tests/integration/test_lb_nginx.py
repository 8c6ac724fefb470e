# SPDX-License-Identifier: GPL-3.0-or-later
"""lb_member against a real nginx with real users."""

from __future__ import annotations

import json
import threading
import time
import typing as t

import pytest

from integration import nginx_fixture
from integration.haproxy_fixture import run_module, wait_until
from integration.nginx_fixture import Site, Visitors

# `make test` has no time for these.
pytestmark = pytest.mark.further


@pytest.fixture(scope="module")
def whole_site(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    if nginx_fixture.BINARY is None:
        # A machine may be without it; where CI runs it is installed, and a skip counts as a failure.
        pytest.skip("nginx is not installed: install the package nginx-light")
    with nginx_fixture.site(tmp_path_factory.mktemp("n", numbered=True)) as found:
        yield found


@pytest.fixture
def site(whole_site: Site) -> t.Iterator[Site]:
    """As each test should find it: everybody in traffic, by the file and by what runs."""
    yield whole_site
    for server in whole_site.servers:
        if not whole_site.nginx.is_in_traffic(server.name):
            assert not whole_site.member(server.name, "ready").get("failed")


def slow_requests(site: Site, seconds: float, count: int = 1) -> tuple[list[threading.Thread], list[int]]:
    """Requests that are in flight when this returns; their statuses come later."""
    seen: list[int] = []
    threads = [
        threading.Thread(target=lambda: seen.append(site.nginx.status(f"/slow/{seconds}")))
        for _number in range(count)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.4)
    return threads, seen


def test_drained_and_ready_four_times_each(site: Site) -> None:
    for state, in_traffic in (("drained", False), ("ready", True)):
        before = site.nginx.file.read_text()
        promised = site.member("app-1", state, check_mode=True)
        assert promised["changed"]
        assert site.nginx.file.read_text() == before
        done = site.member("app-1", state)
        assert done["changed"]
        assert done["diff"] == promised["diff"]
        assert site.nginx.is_in_traffic("app-1") is in_traffic
        assert not site.member("app-1", state, check_mode=True)["changed"]
        again = site.member("app-1", state)
        assert not again["changed"]
        assert again["members"][0]["state"] == state


def test_only_the_line_of_the_member_is_changed(site: Site) -> None:
    before = site.nginx.file.read_text().splitlines()
    site.member("app-2", "drained")
    after = site.nginx.file.read_text().splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    port = site.servers[1].port
    assert changed == [
        (
            f"server 127.0.0.1:{port} max_fails=0; # app-2",
            f"server 127.0.0.1:{port} max_fails=0 down; # app-2 drained",
        )
    ]
    site.member("app-2", "ready")
    assert site.nginx.file.read_text().splitlines() == before


def test_every_old_worker_is_waited_for(site: Site) -> None:
    """Four requests lie on four servers and two workers; the drained one's is held by an old worker."""
    threads, seen = slow_requests(site, 3, count=4)
    # The old workers' connections are looked at by the balancer alone.
    done = site.member("app-1", "drained", app_address="127.0.0.1:9")
    assert done["waited_seconds"] > 1.5
    assert done["members"][0]["sessions"] == 0
    for thread in threads:
        thread.join()
    assert seen == [200] * 4


def test_a_drain_that_times_out_gives_the_traffic_back(site: Site) -> None:
    threads, seen = slow_requests(site, 4, count=4)
    failed = site.member("app-1", "drained", timeout_seconds=0.5)
    assert failed["timed_out"]
    assert site.nginx.is_in_traffic("app-1")
    for thread in threads:
        thread.join()
    assert seen == [200] * 4


def test_a_restart_of_every_server_loses_no_request(site: Site) -> None:
    for server in site.servers:
        server.set_cold(1.5)
    with Visitors(site.nginx.port).visiting() as users:
        for server in site.servers:
            assert site.member(server.name, "drained")["changed"]
            server.restart()
            done = site.member(server.name, "ready")
            assert done["changed"], done
            assert done["waited_seconds"] > 1
    for server in site.servers:
        server.set_cold(0)
    assert users.failures == []
    assert users.requests > 500


def test_the_same_without_a_drain_loses_requests(site: Site) -> None:
    """The control: if these users saw nothing either, the test above would prove nothing."""
    server = site.servers[0]
    server.set_cold(1.5)
    with Visitors(site.nginx.port).visiting() as users:
        server.restart()
        time.sleep(1.2)
    server.set_cold(0)
    time.sleep(0.5)
    assert users.failures != []


def test_a_configuration_that_nginx_refuses_is_put_back(site: Site) -> None:
    main = site.nginx.folder / "nginx.conf"
    good = main.read_text()
    before = site.nginx.file.read_text()
    main.write_text(good + "nonsense;\n")
    try:
        failed = site.member("app-1", "drained")
    finally:
        main.write_text(good)
    assert failed["failed"]
    assert "-t: " in failed["msg"]
    assert site.nginx.file.read_text() == before


def test_capacity_is_read_from_the_servers_themselves(site: Site) -> None:
    refused = site.member("app-1", "drained", min_healthy=4)
    assert "3 of 4 members would go on serving" in refused["msg"]
    site.servers[3].stop()
    try:
        refused = site.member("app-1", "drained", min_healthy=3)
        assert refused["capacity"]["healthy_after"] == 2
    finally:
        site.servers[3].restart()
        wait_until(lambda: site.nginx.status("/page") == 200)
        time.sleep(1)
    assert site.nginx.is_in_traffic("app-1")


def test_a_sick_server_is_not_readmitted(site: Site) -> None:
    server = site.servers[0]
    site.member(server.name, "drained")
    server.set_cold(60)
    server.restart()
    failed = site.member(server.name, "ready", timeout_seconds=1.5)
    assert "health 0 of 3" in failed["msg"]
    assert not site.nginx.is_in_traffic(server.name)
    server.set_cold(0)
    server.restart()


def test_what_somebody_else_took_down_is_not_called_ours(site: Site) -> None:
    text = site.nginx.file.read_text()
    site.nginx.file.write_text(text.replace("; # app-1", " down; # app-1"))
    assert site.member("app-1", "drained")["members"][0]["state"] == "closed"
    site.nginx.file.write_text(text)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pid_file": "/nowhere.pid"}, "Cannot find the nginx of /nowhere.pid"),
        ({"file": "/nowhere.conf"}, "Cannot read /nowhere.conf"),
        ({"command": ["/nowhere/nginx"]}, "No such file"),
    ],
)
def test_what_is_described_wrongly_is_one_sentence(site: Site, change: dict[str, t.Any], words: str) -> None:
    before = site.nginx.file.read_text()
    failed = site.member("app-1", "drained", balancers=[site.nginx.description(**change)])
    assert failed["failed"]
    assert words in failed["msg"]
    assert site.nginx.file.read_text() == before


def test_readiness_tells_a_healthy_site(site: Site) -> None:
    params = {
        "balancers": [site.nginx.description()],
        "backend": "emailai",
        "members": ["app-1", "app-2"],
        "batches": [["app-1"]],
    }
    lines = run_module("lb_member_info", params)["readiness"]
    assert {line["state"] for line in lines} == {"met"}, lines


def test_a_run_that_is_lost_is_healed_here_too(site: Site) -> None:
    folder = site.folder / "leases"
    lease = {"folder": str(folder), "seconds": 1.5, "health_url": f"{site.servers[0].url}/api/health"}
    assert site.member("app-1", "drained", lease=lease)["changed"]
    assert not site.nginx.is_in_traffic("app-1")
    wait_until(lambda: site.nginx.is_in_traffic("app-1"), 20)
    path = next(folder.glob("lease-*.json"))
    wait_until(lambda: json.loads(path.read_text())["state"] == "readmitted")
    path.unlink()
