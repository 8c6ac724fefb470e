# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's application as far as it needs no database: its releases, its switches, its ids."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import typing as t
from pathlib import Path

import pytest
from lab_app.database import arguments, new_id
from lab_app.http import Request
from lab_app.service import _ORGANIZATION_ROUTES, _ROUTES, Service

from lab import fleet

SETTINGS = {"DATABASE_URL": "postgresql://nobody:x@127.0.0.1:1/none", "PORT": "1", "HOST_NAME": "app-1"}


def _service(folder: Path, version: str = "v2.0.0-orgs", **faults: t.Any) -> Service:
    (folder / "shared").mkdir(exist_ok=True)
    return Service(fleet.release(version, faults), SETTINGS, folder)


def _ask(service: Service, method: str, path: str) -> int:
    return service.answer(Request(method, path, {}, {}, {})).status


@pytest.mark.parametrize("route", _ROUTES + _ORGANIZATION_ROUTES, ids=lambda route: route[2])
def test_each_function_can_be_broken(tmp_path: Path, route: tuple[str, str, str]) -> None:
    method, path, name = route
    service = _service(tmp_path)
    (tmp_path / "shared" / "faults.json").write_text(json.dumps({"fail": [name]}))
    response = service.answer(Request(method, path.replace("([^/]+)", "x"), {}, {}, {}))
    assert response.status == 500
    assert f"ERROR {name}: " in (tmp_path / "log" / "app.log").read_text()


def test_a_switch_works_at_the_next_request_and_mending_too(tmp_path: Path) -> None:
    service = _service(tmp_path, cold_start_seconds=0)
    switch = tmp_path / "shared" / "faults.json"
    assert _ask(service, "GET", "/api/metrics") == 200
    switch.write_text(json.dumps({"fail": ["metrics"]}))
    assert _ask(service, "GET", "/api/metrics") == 500
    switch.unlink()
    assert _ask(service, "GET", "/api/metrics") == 200


def test_a_cold_start_is_503(tmp_path: Path) -> None:
    assert _ask(_service(tmp_path, cold_start_seconds=60), "GET", "/api/health") == 503


def test_an_error_rate_hits_users_and_spares_health(tmp_path: Path) -> None:
    service = _service(tmp_path, error_rate=1.0, cold_start_seconds=60)
    assert _ask(service, "GET", "/api/metrics") == 500
    assert _ask(service, "GET", "/api/health") == 503


def test_fatal_lines_reach_the_error_log(tmp_path: Path) -> None:
    service = _service(tmp_path, fatal_lines=True)
    _ask(service, "GET", "/api/metrics")
    assert " FATAL " in (tmp_path / "log" / "app.log").read_text()


def test_a_lost_connection_is_told_in_the_log_and_not_to_the_user(tmp_path: Path) -> None:
    service = _service(tmp_path, lost_connections=1.0, cold_start_seconds=0)
    assert _ask(service, "GET", "/api/metrics") == 200
    assert "ERROR metrics: connection to server at" in (tmp_path / "log" / "app.log").read_text()


@pytest.mark.parametrize(("release", "expected"), [("v2.0.0-orgs", 500), ("v1.9.0", 200), ("", 500)])
def test_a_switch_may_mean_one_release_only(tmp_path: Path, release: str, expected: int) -> None:
    service = _service(tmp_path, cold_start_seconds=0)
    (tmp_path / "shared" / "faults.json").write_text(json.dumps({"fail": ["metrics"], "release": release}))
    assert _ask(service, "GET", "/api/metrics") == expected


def test_the_old_release_knows_no_organizations(tmp_path: Path) -> None:
    service = _service(tmp_path, "v1.9.0")
    for method, path, _name in _ORGANIZATION_ROUTES:
        assert _ask(service, method, path.replace("([^/]+)", "x")) in (404, 500)
    assert _ask(service, "GET", "/api/organizations/x") == 404


def test_each_answer_names_release_and_server(tmp_path: Path) -> None:
    response = _service(tmp_path).answer(Request("GET", "/nowhere", {}, {}, {}))
    assert response.headers == {"X-Release": "v2.0.0-orgs", "X-Server": "app-1"}


def test_only_the_new_release_is_marked() -> None:
    assert fleet.release("v1.9.0")["application_name"] == "emailai-app"
    assert fleet.release("v2.0.0-orgs")["application_name"] == "emailai-orgs"
    assert fleet.release("v2.0.0-orgs", is_marked=False)["application_name"] == "emailai-app"


def test_a_mark_in_the_url_wins() -> None:
    url = "postgresql://a:b%40c@h:5433/d?schema=public&application_name=emailai-orgs"
    found = arguments(url, "emailai-app")
    assert (found["password"], found["application_name"], found["port"]) == ("b@c", "emailai-orgs", 5433)
    assert arguments("postgresql://a:b@h/d", "emailai-app")["application_name"] == "emailai-app"


def test_an_artifact_is_the_same_each_time_and_its_checksum_true(tmp_path: Path) -> None:
    first = fleet.build(tmp_path / "one", fleet.release("v1.9.0")).read_bytes()
    path = fleet.build(tmp_path / "two", fleet.release("v1.9.0"))
    assert path.read_bytes() == first
    digest, name = path.with_name(path.name + ".sha256").read_text().split()
    assert (digest, name) == (hashlib.sha256(first).hexdigest(), "v1.9.0.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        assert {"release.json", "lab_app/__main__.py", "lab_app/service.py"} <= set(archive.getnames())


def test_ids_look_like_the_originals() -> None:
    ids = {new_id() for _turn in range(1000)}
    assert len(ids) == 1000
    assert all(len(key) == 25 and key.startswith("c") and key.isalnum() for key in ids)
