# SPDX-License-Identifier: GPL-3.0-or-later
"""app_image with a real engine and a real registry: built once, two tags, the registry's own digest."""

from __future__ import annotations

import itertools
import typing as t
from pathlib import Path

import pytest

from compose.docker import Docker, Registry
from compose.project import Project, write_context

_NUMBERS = itertools.count(1)


@pytest.fixture
def project(docker: Docker, registry: Registry, tmp_path: Path) -> Project:
    return Project(docker, registry, tmp_path, f"image-{next(_NUMBERS)}")


def test_an_image_four_times(project: Project) -> None:
    promised = project.build("v1", check_mode=True)
    assert promised["changed"]
    assert promised["is_built"]
    assert promised["digest"] == ""
    assert project.images() == set()
    done = project.build("v1")
    assert done["changed"]
    assert done["is_built"]
    assert done["is_pushed"]
    assert done["digest"] == project.registry.digest(project.image, "v1")
    assert done["digest"] == project.registry.digest(project.image, "latest")
    assert done["reference"] == f"{project.image}@{done['digest']}"
    assert not project.build("v1", check_mode=True)["changed"]
    again = project.build("v1")
    assert (again["changed"], again["digest"]) == (False, done["digest"])


def test_a_version_is_built_once_whatever_its_folder_holds_now(project: Project) -> None:
    first = project.build("v1")
    context = project.folder / "context-v1"
    (context / "VERSION").write_text("something else")
    again = project.build_in(context, "v1")
    assert (again["changed"], again["digest"]) == (False, first["digest"])


def test_latest_follows_a_push_that_was_killed_half_way(project: Project) -> None:
    first, second = project.build("v1"), project.build("v2")
    assert project.registry.digest(project.image, "latest") == second["digest"] != first["digest"]
    project.docker.run("tag", f"{project.image}:v1", f"{project.image}:latest")
    project.docker.run("push", f"{project.image}:latest")
    # Killed on another host: this one has other files, and no image.
    project.docker.run("image", "rm", "--force", f"{project.image}:v2")
    context = project.folder / "context-v2"
    (context / "VERSION").write_text("something else")
    done = project.build_in(context, "v2")
    assert done["changed"]
    assert not done["is_built"]
    assert project.registry.digest(project.image, "v2") == second["digest"]
    assert project.registry.digest(project.image, "latest") == second["digest"]


def test_without_a_push_the_registry_learns_nothing(project: Project) -> None:
    assert project.build("v1", push=False, check_mode=True)["changed"]
    done = project.build("v1", push=False)
    assert (done["changed"], done["is_pushed"], done["digest"]) == (True, False, "")
    assert project.images() == {"v1"}
    assert not project.build("v1", push=False)["changed"]
    with pytest.raises(OSError, match="404"):
        project.registry.digest(project.image, "v1")


@pytest.mark.parametrize("check_mode", [True, False])
def test_another_digest_than_the_one_that_was_tested_is_refused(project: Project, check_mode: bool) -> None:
    digest = project.build("v1")["digest"]
    failed = project.build("v1", check_mode=check_mode, digest="sha256:" + "0" * 64)
    assert failed["failed"]
    assert f"its digest is {digest}, not sha256:000" in failed["msg"]


def test_a_registry_that_is_gone_stops_everything_before_the_build(project: Project) -> None:
    project.registry.down()
    try:
        failed = project.build("v1")
    finally:
        project.registry.up()
    assert failed["failed"]
    assert f"Cannot ask the registry for {project.image}:v1" in failed["msg"]
    assert "connection refused" in failed["msg"]
    assert project.images() == set()


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        ({"image": "registry.example.com/app:v1"}, "it is not a repository"),
        ({"image": "--all"}, "it is not a repository"),
        ({"name": "v1+orgs"}, "an image cannot have it as a tag"),
        ({"digest": "sha256:12"}, "64 hexadecimal digits"),
        ({"engine_command": ["no-such-docker"]}, "Install Docker Engine with Compose"),
        ({"folder": "/no/such/folder"}, "No such file or directory"),
    ],
)
def test_bad_input_is_named_with_its_cure(project: Project, wrong: dict[str, t.Any], cause: str) -> None:
    context = write_context(project.folder / "context", "v1")
    failed = project.build_in(context, wrong.pop("name", "v1"), **wrong)
    assert failed["failed"]
    assert cause in failed["msg"]
