# SPDX-License-Identifier: GPL-3.0-or-later
"""lb_member against a real HAProxy with real users."""

from __future__ import annotations

import http.client
import threading
import time
import typing as t

import pytest

from integration import haproxy_fixture
from integration.haproxy_fixture import Fleet, run_module, wait_until


@pytest.fixture(scope="module")
def whole_fleet(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Fleet]:
    with haproxy_fixture.fleet(tmp_path_factory.mktemp("f", numbered=True)) as found:
        yield found


@pytest.fixture
def fleet(whole_fleet: Fleet) -> t.Iterator[Fleet]:
    """The fleet as it should be found by each test: everybody in traffic."""
    yield whole_fleet
    for server in whole_fleet.servers:
        whole_fleet.haproxy.ask(f"set server emailai/{server.name} state ready")
    wait_until(lambda: all(state[0] == "UP" for state in whole_fleet.haproxy.states().values()))


def slow_request(port: int, seconds: float) -> tuple[threading.Thread, list[t.Any]]:
    """A request that is in flight when this returns; its status, or what ended it, comes later."""
    seen: list[t.Any] = []

    def ask() -> None:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
        try:
            line.request("GET", f"/slow/{seconds}")
            seen.append(line.getresponse().status)
        except (OSError, http.client.HTTPException) as exc:
            seen.append(exc)
        finally:
            line.close()

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.3)
    return thread, seen


def busy_server(fleet: Fleet) -> str:
    """Who carries the slow request."""
    return next(
        name
        for name, (_ignored, sessions) in fleet.haproxy.states().items()
        if sessions == "1" and name != "BACKEND"
    )


def reload_and_wait(fleet: Fleet) -> None:
    """The new worker has checked everybody, and sees nothing of what the old one still holds."""
    fleet.haproxy.reload()
    wait_until(lambda: {("UP", "0")} == set(fleet.haproxy.states().values()))


def test_drained_and_ready_four_times_each(fleet: Fleet) -> None:
    states = fleet.haproxy.states
    for state, word in (("drained", "DRAIN"), ("ready", "UP")):
        before = states()["app-1"][0]
        promised = fleet.member("app-1", state, check_mode=True)
        assert promised["changed"]
        assert states()["app-1"][0] == before
        done = fleet.member("app-1", state)
        assert done["changed"]
        assert done["diff"] == promised["diff"]
        assert states()["app-1"][0] == word
        assert not fleet.member("app-1", state, check_mode=True)["changed"]
        again = fleet.member("app-1", state)
        assert not again["changed"]
        assert again["members"][0]["state"] == state
        assert states()["app-1"][0] == word


def test_the_drain_waits_for_the_last_request(fleet: Fleet) -> None:
    thread, seen = slow_request(fleet.haproxy.port, 2)
    name = busy_server(fleet)
    done = fleet.member(name, "drained")
    assert done["in_flight"] == 1
    assert done["waited_seconds"] > 1.5
    thread.join()
    assert seen == [200]


def test_a_health_check_under_way_is_no_traffic(fleet: Fleet) -> None:
    """Checks that take half of the time meet every second look, and no user is there."""
    server = fleet.servers[0]
    server.set_slow_health(0.3)
    try:
        for _number in range(3):
            assert fleet.member(server.name, "drained")["waited_seconds"] < 5
            assert fleet.member(server.name, "ready")["changed"]
    finally:
        server.set_slow_health(0)


def test_a_drain_that_times_out_gives_the_traffic_back(fleet: Fleet) -> None:
    thread, seen = slow_request(fleet.haproxy.port, 3)
    name = busy_server(fleet)
    failed = fleet.member(name, "drained", timeout_seconds=1)
    assert failed["failed"]
    assert failed["timed_out"]
    assert failed["msg"].startswith(f"Cannot drain {name}: 1 requests")
    assert fleet.haproxy.states()[name][0] == "UP"
    thread.join()
    assert seen == [200]


def test_force_cuts_what_is_left_and_counts_it(fleet: Fleet) -> None:
    thread, seen = slow_request(fleet.haproxy.port, 6)
    name = busy_server(fleet)
    done = fleet.member(name, "drained", timeout_seconds=0.5, on_timeout="force")
    assert done["cut"] == 1
    assert fleet.haproxy.states()[name] == ("DRAIN", "0")
    thread.join()
    assert seen != [200]


def test_a_request_held_by_the_old_worker_of_a_reload_is_waited_for(fleet: Fleet) -> None:
    thread, seen = slow_request(fleet.haproxy.port, 3)
    name = busy_server(fleet)
    reload_and_wait(fleet)
    done = fleet.member(name, "drained")
    assert done["waited_seconds"] > 1
    thread.join()
    assert seen == [200]


def test_the_master_socket_shows_what_the_old_worker_holds(fleet: Fleet) -> None:
    thread, seen = slow_request(fleet.haproxy.port, 3)
    name = busy_server(fleet)
    reload_and_wait(fleet)
    balancer = {"socket": fleet.haproxy.socket, "master_socket": fleet.haproxy.master_socket}
    # The application's own port is looked at elsewhere, so that only the balancer can know.
    done = fleet.member(name, "drained", balancers=[balancer], app_address="127.0.0.1:9")
    assert done["in_flight"] == 1
    assert done["waited_seconds"] > 1
    thread.join()
    assert seen == [200]


def test_a_reload_during_the_drain_does_not_bring_the_member_back(fleet: Fleet) -> None:
    thread, seen = slow_request(fleet.haproxy.port, 3)
    name = busy_server(fleet)
    results: list[dict[str, t.Any]] = []
    drain = threading.Thread(target=lambda: results.append(fleet.member(name, "drained")))
    drain.start()
    wait_until(lambda: fleet.haproxy.states().get(name, ("",))[0] == "DRAIN")
    fleet.haproxy.reload()
    drain.join()
    thread.join()
    assert results[0]["changed"]
    assert fleet.haproxy.states()[name][0] == "DRAIN"
    assert seen == [200]


def test_a_cold_server_is_not_readmitted_from_maintenance_before_it_is_healthy(fleet: Fleet) -> None:
    server = fleet.servers[1]
    assert fleet.member(server.name, "drained")["changed"]
    fleet.haproxy.ask(f"set server emailai/{server.name} state maint")
    server.set_cold(2)
    server.restart()
    with fleet.users(count=4).visiting() as users:
        done = fleet.member(server.name, "ready")
        time.sleep(0.5)
    server.set_cold(0)
    assert done["changed"]
    assert done["waited_seconds"] > 1.5
    assert done["members"][0]["health"] == done["members"][0]["full_health"]
    assert users.failures == []
    assert users.requests > 50


def test_a_sick_server_is_not_readmitted(fleet: Fleet) -> None:
    server = fleet.servers[1]
    fleet.member(server.name, "drained")
    server.stop()
    wait_until(lambda: fleet.haproxy.states()[server.name][0] == "DOWN")
    failed = fleet.member(server.name, "ready", timeout_seconds=1)
    server.restart()
    assert failed["failed"]
    assert "health 0 of 3" in failed["msg"]
    assert failed["members"][0]["state"] == "drained"


def test_capacity_is_read_from_the_balancer_and_guards_every_drain(fleet: Fleet) -> None:
    assert fleet.member("app-1", "drained", min_healthy_percent=75)["capacity"]["healthy_after"] == 3
    for check_mode in (True, False):
        refused = fleet.member("app-2", "drained", check_mode, min_healthy_percent=75)
        assert refused["failed"]
        assert refused["capacity"]["healthy_after"] == 2
        assert refused["capacity"]["minimum"] == 3
    assert fleet.haproxy.states()["app-2"][0] == "UP"


def test_two_drains_at_the_same_time_cannot_both_take_the_last_spare(fleet: Fleet) -> None:
    results: list[dict[str, t.Any]] = []
    threads = [
        threading.Thread(
            target=lambda name=server.name: results.append(fleet.member(name, "drained", min_healthy=3))
        )
        for server in fleet.servers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(bool(result.get("failed")) for result in results) == [False, True, True, True]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"socket": "operator"}, ("Permission denied", "level admin")),
        ({"member": "app-9"}, ("does not know it", "app-1, app-2")),
        ({"backend": "nobody"}, ("Can't find backend", "Name the backend")),
        ({"socket": "dead"}, ("Cannot ask HAProxy", "No such file")),
        ({"socket": "127.0.0.1:1"}, ("Cannot ask HAProxy", "refused")),
    ],
)
def test_what_goes_wrong_at_the_socket_is_a_failure_with_a_sentence(
    fleet: Fleet, change: dict[str, str], words: tuple[str, ...]
) -> None:
    sockets = {"operator": fleet.haproxy.operator_socket, "dead": str(fleet.folder / "dead.sock")}
    more: dict[str, t.Any] = {key: value for key, value in change.items() if key != "socket"}
    if "socket" in change:
        more["balancers"] = [{"socket": sockets.get(change["socket"], change["socket"])}]
    failed = fleet.member(more.pop("member", "app-1"), "drained", **more)
    assert failed["failed"]
    assert all(word in failed["msg"] for word in words), failed["msg"]
    assert {state for state, _ignored in fleet.haproxy.states().values()} == {"UP"}


def test_all_balancers_or_none(fleet: Fleet) -> None:
    good, refusing = (
        {"socket": f"127.0.0.1:{fleet.haproxy.tcp_port}"},
        {"socket": fleet.haproxy.operator_socket},
    )
    failed = fleet.member("app-1", "drained", balancers=[good, refusing])
    assert failed["failed"]
    assert "Permission denied" in failed["msg"]
    assert fleet.haproxy.states()["app-1"][0] == "UP"
    both = fleet.member("app-1", "drained", balancers=[good, {"socket": fleet.haproxy.socket}])
    assert both["changed"]
    assert len(both["members"]) == 2


def info(fleet: Fleet, socket: str, **more: t.Any) -> dict[str, t.Any]:
    params = {"balancers": [{"socket": socket}], "backend": "emailai", "members": ["app-1", "app-2"], **more}
    return run_module("lb_member_info", params)


def test_readiness_is_met_by_a_healthy_fleet_only(fleet: Fleet) -> None:
    found = info(fleet, fleet.haproxy.socket, batches=[["app-1"], ["app-2"]])
    assert {line["state"] for line in found["readiness"]} == {"met"}
    assert [step["healthy_after"] for step in found["steps"]] == [3, 3]
    fleet.member("app-1", "drained")
    lines = info(fleet, fleet.haproxy.socket, batches=[["app-2", "app-3"]])["readiness"]
    assert [line["found"] for line in lines if line["state"] == "open"] == [
        "not serving: app-1 (DRAIN)",
        "1 would, with app-2, app-3 drained",
    ]


@pytest.mark.parametrize(("socket", "found"), [("operator", "takes no orders"), ("dead", "No such file")])
def test_readiness_turns_what_cannot_be_done_into_open_lines(fleet: Fleet, socket: str, found: str) -> None:
    path = {"operator": fleet.haproxy.operator_socket, "dead": "/nowhere.sock"}[socket]
    answer = info(fleet, path)
    assert not answer.get("failed")
    assert answer["readiness"][0]["state"] == "open"
    assert found in answer["readiness"][0]["found"]
