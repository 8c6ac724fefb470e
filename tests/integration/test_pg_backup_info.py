# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_backup_info lists what is complete, and nothing else, and only reads."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from integration.archive_world import World, made, s3_options


@pytest.fixture(params=["s3", "folder"])
def world(request: pytest.FixtureRequest, postgres: t.Any, tmp_path: Path) -> World:
    if request.param == "folder":
        return made(postgres, {"kind": "folder", "path": str(tmp_path / "store")}, tmp_path)
    return made(postgres, s3_options(request.getfixturevalue("store")), tmp_path)


def test_an_empty_store_has_no_backups(world: World) -> None:
    # A folder that nobody has made yet is no empty store but a missing one.
    if world.store["kind"] == "folder":
        Path(world.store["path"]).mkdir(exist_ok=True)
    assert world.info() == []


def test_a_backup_is_listed_with_its_proof_and_the_commands_by_hand(world: World) -> None:
    made_backup = world.backup()["backup"]
    (before,) = world.info()
    assert (before["id"], before["proven"], before["proof_list"]) == (made_backup["id"], False, [])
    world.restore(state="proven", database="emailai_info_proof")
    objects = world.objects()
    (after,) = world.info()
    assert after["proven"]
    assert len(after["proof_list"]) == 1
    assert any("pg_restore" in command for command in after["restore_by_hand"])
    assert world.objects() == objects, "listing wrote something"


def test_what_has_no_manifest_does_not_exist(world: World) -> None:
    identifier = world.backup()["backup"]["id"]
    place = world.place()
    place.delete([key for key in world.objects() if key.endswith("manifest.json")])
    assert identifier not in {backup["id"] for backup in world.info()}


# An edit that would pass: another run's name, a table less, one digit of a digest; and what is no document.
EDITS: dict[str, t.Callable[[bytes], bytes]] = {
    "run": lambda text: text.replace(b'"run_id": "run#', b'"run_id": "other#'),
    "digest": lambda text: text.replace(b'"rows": 900', b'"rows": 901'),
    "half": lambda text: text[: len(text) // 2],
    "nothing": lambda text: b"",
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_manifest_is_no_backup_and_in_nobodys_way(world: World, edit: str) -> None:
    identifier = world.backup()["backup"]["id"]
    place = world.place()
    (key,) = [key for key in world.objects() if key.endswith("manifest.json")]
    text = b"".join(place.read(key))
    assert EDITS[edit](text) != text
    place.delete([key])
    place.put(key, EDITS[edit](text))
    (sentence,) = world.shelf()["unreadable"]
    assert sentence.startswith(f"Cannot read manifest {key}: it is not")
    for options in ({"backup_id": identifier}, {}):
        with pytest.raises(MigrationError, match=r"Cannot (read manifest|find backup of run)"):
            world.restore(**options)
    again = world.backup()["backup"]["id"]
    assert [backup["id"] for backup in world.info()] == [again] != [identifier]
    assert world.restore()["proof"]["passed"]


def test_a_proof_that_cannot_be_read_proves_nothing(world: World) -> None:
    world.backup()
    world.restore()
    place = world.place()
    (key,) = [key for key in world.objects() if "/proof-" in key]
    place.delete([key])
    place.put(key, b"torn")
    assert [backup["proven"] for backup in world.info()] == [False]
    assert world.restore()["changed"]
