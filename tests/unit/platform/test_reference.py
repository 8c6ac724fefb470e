# SPDX-License-Identifier: GPL-3.0-or-later
"""How images are named, and what an engine's words mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform import engine, reference
from lab.ground import wait_until
from lab.process import started_at

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    "image", ["app", "emailai/app", "registry.example.com/emailai/app", "127.0.0.1:5000/emailai/the-app_1"]
)
def test_a_repository_is_taken(image: str) -> None:
    reference.check(image, "v2.0.0-orgs", "")
    reference.check(image, "v2.0.0-orgs", DIGEST)


@pytest.mark.parametrize(
    "image",
    ["", "app:v1", f"app@{DIGEST}", "-app", "--all", "app app", "App/", "registry.example.com/App", "app\n"],
)
def test_what_is_no_repository_is_refused(image: str) -> None:
    with pytest.raises(MigrationError, match="it is not a repository"):
        reference.check(image, "v1", "")


@pytest.mark.parametrize("name", ["", "-v1", ".v1", "v1+orgs", "v1 v2", "v" * 129])
def test_what_is_no_tag_is_refused(name: str) -> None:
    with pytest.raises(MigrationError, match="an image cannot have it as a tag"):
        reference.check("app", name, "")


@pytest.mark.parametrize("digest", ["0a" * 32, "sha256:0a", "sha256:" + "0A" * 32, "sha512:" + "0a" * 32])
def test_what_is_no_digest_is_refused(digest: str) -> None:
    with pytest.raises(MigrationError, match="64 hexadecimal digits"):
        reference.check("app", "v1", digest)


def test_a_reference_is_taken_apart() -> None:
    pinned = reference.pinned("127.0.0.1:5000/app", DIGEST)
    assert reference.repository_of(pinned) == "127.0.0.1:5000/app"
    assert reference.digest_of(pinned) == DIGEST
    assert reference.is_pinned(pinned)
    assert not reference.is_pinned("app:v1")
    assert reference.digest_of("app:v1") == ""


def test_the_digest_of_ones_own_repository_goes_first() -> None:
    other, own = reference.pinned("mirror/app", DIGEST), reference.pinned("app", DIGEST)
    assert reference.preferred([other, own], "app") == own
    assert reference.preferred([other], "app") == other
    assert reference.preferred([], "app") == ""


@pytest.mark.parametrize(
    ("said", "is_not_there"),
    [
        ("Error response from daemon: manifest unknown: manifest unknown", True),
        ("Error response from daemon: manifest for app:v9 not found: manifest unknown", True),
        ("Error: No such image: app:v9", True),
        ("failed to resolve reference registry.example.com/app:v9: not found", True),
        ("dial tcp 127.0.0.1:1: connect: connection refused", False),
        ("pull access denied, repository does not exist or may require 'docker login'", False),
        ('exec: "docker-credential-pass": executable file not found in $PATH', False),
        ("lookup registry.example.com: no such host", False),
        ("", False),
    ],
)
def test_only_a_clear_word_means_that_an_image_is_not_there(said: str, is_not_there: bool) -> None:
    assert engine.Answer(1, "", said).is_not_there == is_not_there
    assert not engine.Answer(0, "", said).is_not_there


def test_a_password_in_an_address_is_not_repeated() -> None:
    docker = engine.Engine(
        ["sh", "-c", "echo 'Get https://ci:secret@registry.example.com/v2/' >&2; exit 1"], "/", 10
    )
    with pytest.raises(MigrationError) as caught:
        docker.tell("pull", "app", "pull")
    assert "https://registry.example.com/v2/" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_command_and_what_it_started_have_an_end(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    docker = engine.Engine(["sh", "-c", f"sleep 60 & echo $! > {note}; wait"], "/", 2)
    with pytest.raises(MigrationError, match=r"it did not end within 2 s"):
        docker.tell("pull", "app", "pull")
    pid = int(note.read_text())
    wait_until(lambda: started_at(pid) is None, 10, "the end of what it started")


def test_a_command_that_is_not_there_is_named_with_its_cure() -> None:
    with pytest.raises(MigrationError, match="Install Docker Engine with Compose version 2"):
        engine.Engine(["/no/such/docker"], "/", 5).ask("version")
    with pytest.raises(MigrationError, match="the engine's command"):
        engine.Engine([], "/", 5).ask()
