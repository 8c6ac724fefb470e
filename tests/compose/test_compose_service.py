# SPDX-License-Identifier: GPL-3.0-or-later
"""compose_service with a real engine: pinned by digest, these services only, and always a way back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from compose.docker import Docker, Registry
from compose.project import Project
from integration.haproxy_fixture import ROOT
from lab.ground import wait_until

VERSIONS = ("v1", "v2", "v3", "v4", "v2-sick")


@pytest.fixture(scope="module")
def digests(docker: Docker, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Releases in the registry, none of them on the engine."""
    builder = Project(docker, registry, tmp_path_factory.mktemp("build") / "project", "service")
    return {version: builder.publish(version) for version in VERSIONS}


@pytest.fixture
def project(
    docker: Docker, registry: Registry, digests: dict[str, str], tmp_path: Path
) -> t.Iterator[Project]:
    """v1 runs, as an operator had started it from the registry."""
    found = Project(docker, registry, tmp_path / "project", "service")
    try:
        found.start("v1")
        yield found
    finally:
        found.clear()


def test_each_state_four_times(project: Project, digests: dict[str, str]) -> None:
    other, app = project.container("other"), project.container()
    for state in ("present", "current"):
        held = project.pin.read_text() if project.pin.exists() else ""
        before = (held, project.container(), project.images())
        promised = project.ask("v2", state, check_mode=True, serving="v1")
        assert promised["changed"], promised
        assert (
            project.pin.read_text() if project.pin.exists() else "",
            project.container(),
            project.images(),
        ) == before
        done = project.ask("v2", state, serving="v1")
        assert done["changed"], done
        assert done["diff"] == promised["diff"]
        assert done["digest"] == digests["v2"]
        after = (project.pin.read_text(), project.container(), project.images())
        assert not project.ask("v2", state, check_mode=True, serving="v1")["changed"]
        assert not project.ask("v2", state, serving="v1")["changed"]
        assert (project.pin.read_text(), project.container(), project.images()) == after
        if state == "present":
            assert (project.version, project.container()) == ("v1", app)
    assert (done["after"], done["previous"], done["is_current"]) == ("v2", "v1", True)
    assert project.version == "v2"
    assert project.container("other") == other
    pinned = json.loads(project.pin.read_text())["services"]
    assert pinned == {"app": {"image": f"{project.image}@{digests['v2']}"}}


def test_the_way_back_needs_no_registry(project: Project) -> None:
    project.ask("v2", "current", serving="v1")
    project.registry.down()
    try:
        failed = project.ask("v3", "present")
        back = project.ask("v1", "current")
    finally:
        project.registry.up()
    assert failed["failed"]
    assert "connection refused" in failed["msg"]
    assert "Nothing was changed" in failed["msg"]
    assert (back["changed"], back["pulled"], back["previous"]) == (True, False, "v2")
    assert project.version == "v1"
    assert not project.ask("v1", "current")["changed"]


def test_a_digest_that_differs_is_refused_before_anything_changes(
    project: Project, digests: dict[str, str]
) -> None:
    wrong = "sha256:" + "0" * 64
    for check_mode in (True, False):
        failed = project.ask("v2", "current", check_mode, digest=wrong, serving="v1")
        assert failed["failed"]
        assert f"the registry has {digests['v2']} under it, not {wrong}" in failed["msg"]
    # Under no tag, and not under its digest either.
    failed = project.ask("v9", "current", digest=wrong, serving="v1")
    assert "Cannot pull" in failed["msg"]
    assert "manifest unknown" in failed["msg"]
    assert not project.pin.exists()
    assert project.container() == project.former


def test_a_release_in_use_keeps_its_image(project: Project) -> None:
    first = project.publish("v5")
    assert project.ask("v5", "current", serving="v1")["digest"] == first
    moved = project.publish("v5", "moved")
    assert moved != first
    failed = project.ask("v5", "current", digest=moved)
    assert failed["failed"]
    assert "it is in use here as" in failed["msg"]
    # The tag was moved; what is pinned is what runs.
    assert not project.ask("v5", "current")["changed"]
    assert project.version == "v5"
    # Gone back from and lost by somebody's tidying up, it comes again as it was recorded.
    assert project.ask("v1", "current")["is_current"]
    project.docker.run(
        "image",
        "rm",
        "--force",
        project.docker.read("image", "inspect", "--format", "{{.Id}}", f"{project.image}@{first}"),
    )
    again = project.ask("v5", "current")
    assert (again["pulled"], again["digest"], project.version) == (True, first, "v5")


def test_a_release_that_never_gets_well_is_told_and_gone_back_from(project: Project) -> None:
    failed = project.ask("v2-sick", "current", serving="v1", start_timeout_seconds=10)
    assert failed["failed"]
    assert "Cannot start app" in failed["msg"]
    assert "unhealthy" in failed["msg"]
    assert f"See docker compose logs in {project.folder}" in failed["msg"]
    assert not project.ask("v2-sick", "present")["is_current"]
    back = project.ask("v1", "current")
    assert back["is_current"], back
    assert project.version == "v1"


MOMENTS: dict[str, t.Callable[[Project], bool]] = {
    "pulled": lambda project: "v2" in project.images(),
    "pinned": lambda project: project.pin.exists() and '"current": "v2"' in project.pin.read_text(),
    "exchanging": lambda project: project.former not in project.containers(),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_who_is_killed_in_the_middle_is_made_up_for_by_the_next(project: Project, moment: str) -> None:
    killed = subprocess.Popen(
        [sys.executable, "-m", "ansible_collections.emailai.migration.plugins.modules.compose_service"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT / "collections")},
    )  # fmt: skip
    assert killed.stdin is not None
    params = project.params("v2", "current", serving="v1")
    killed.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": {**params, "_ansible_check_mode": False}}).encode())
    killed.stdin.close()
    wait_until(lambda: MOMENTS[moment](project), 60, f"the moment: {moment}", pause=0.01)
    killed.kill()
    killed.wait()
    done = project.ask("v2", "current", serving="v1")
    assert done["is_current"], done
    assert (done["after"], done["previous"]) == ("v2", "v1")
    assert project.version == "v2"
    assert project.ask("v1", "current")["is_current"]
    assert project.version == "v1"


def test_what_was_stopped_by_hand_is_started_again(project: Project) -> None:
    project.ask("v1", "current", serving="v1")
    project.compose("stop", "--timeout", "2", "app", "other")
    promised = project.ask("v1", "current", check_mode=True)
    assert promised["changed"]
    assert promised["diff"]["before"]["services"] != promised["diff"]["after"]["services"]
    assert project.ask("v1", "current")["is_current"]
    app = project.container()
    assert project.ask("v1", "current", must_recreate=True)["started"]
    assert project.container() != app
    # Whoever stopped the other service may have had his reasons.
    assert project.containers() == [project.container()]


def test_services_of_one_release_go_together_with_or_without_a_health_check(project: Project) -> None:
    done = project.ask("v2", "current", serving="v1", services=["app", "other"])
    assert done["is_current"], done
    assert done["diff"]["after"]["services"] == {"app": "v2", "other": "v2"}
    assert project.ask("v1", "current", services=["app", "other"])["is_current"]


def test_a_command_run_once_is_no_part_of_the_service(project: Project) -> None:
    project.compose("run", "--detach", "--no-deps", "app")
    assert project.ask("v2", "current", serving="v1")["is_current"]
    assert not project.ask("v2", "current")["changed"]


def test_only_old_releases_are_tidied_up(project: Project) -> None:
    for version in ("v2", "v3", "v4"):
        done = project.ask(version, "current", serving="v1", keep_releases=1)
        assert done["is_current"], done
    # v1 is still used by the other service: it stays, and is said to.
    assert done["removed"] == ["v2"]
    assert done["not_removed"] == {"v1": "a container uses it"}
    assert done["releases"] == ["v1", "v3", "v4"]
    assert project.images() == {"v1", "v3", "v4"}
    for check_mode in (True, False):
        assert not project.ask("v4", "current", check_mode, keep_releases=1)["changed"]
    project.registry.down()
    try:
        assert project.ask("v3", "current")["is_current"]
    finally:
        project.registry.up()
    assert project.version == "v3"


def test_the_image_to_go_back_to_is_no_waste(project: Project) -> None:
    """Pulled by digest it would have no tag, and the usual tidying up of a host would take it."""
    project.ask("v2", "current", serving="v1")
    project.ask("v3", "current")
    wait_until(lambda: project.version == "v3", 5, "v3")
    project.docker.run("image", "prune", "--force")
    assert "v2" in project.images()


def test_bad_input_is_named_before_anything_changes(project: Project) -> None:
    cases: list[tuple[dict[str, t.Any], str]] = [
        ({"services": ["no-such"]}, "no such service: no-such"),
        ({"services": []}, "no service of it is named"),
        ({"files": ["none.yml"]}, "there is no such Compose file"),
        ({"name": "v7"}, "the registry has no such image"),
        ({"engine_command": ["/bin/false"]}, "it ended with 1"),
    ]
    for wrong, cause in cases:
        failed = project.ask(wrong.pop("name", "v1"), "current", serving="v1", **wrong)
        assert failed["failed"], wrong
        assert cause in failed["msg"]
    assert not project.pin.exists()
    assert project.container() == project.former


def test_a_torn_record_is_no_record(project: Project) -> None:
    project.ask("v1", "current", serving="v1")
    project.pin.write_text('{"services": {"app"')
    failed = project.ask("v1", "current")
    assert failed["failed"]
    assert f"Cannot read {project.pin}" in failed["msg"]
    project.pin.unlink()
