# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups that are encrypted before they leave: opened with their key, by us or by age, or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import typing as t
from pathlib import Path

import pyrage
import pytest

from ansible_collections.emailai.migration.plugins.module_utils._archive import content, keys
from ansible_collections.emailai.migration.plugins.module_utils._archive import manifest as manifests
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import child_environment
from integration.archive_world import World, execute, made, s3_options
from integration.sampler import Sampler
from integration.test_pg_backup import BULK
from integration.test_pg_restore import copies, read_content

# `make test` has no time for these.
pytestmark = pytest.mark.further

# age's own: a head for one key with a nonce, then chunks with their tags.
_HEAD, _CHUNK = 184, 64 * 1024 + 16


def new_key() -> str:
    return str(pyrage.x25519.Identity.generate())


def id_of(text: str) -> str:
    public = str(pyrage.x25519.Identity.from_str(text).to_public())
    return hashlib.sha256(public.encode()).hexdigest()[:16]


@pytest.fixture(params=["s3", "folder"])
def world(request: pytest.FixtureRequest, postgres: t.Any, tmp_path: Path) -> World:
    options = {"kind": "folder", "path": str(tmp_path / "store")}
    if request.param == "s3":
        options = s3_options(request.getfixturevalue("store"))
    return made(postgres, dict(options, age_keys=[new_key()]), tmp_path)


@pytest.fixture
def folder_world(postgres: t.Any, tmp_path: Path) -> World:
    options = {"kind": "folder", "path": str(tmp_path / "store"), "age_keys": [new_key()]}
    return made(postgres, options, tmp_path)


def stored(world: World, ending: str) -> Path:
    (found,) = (key for key in world.objects() if key.endswith(ending))
    return Path(world.store["path"]) / found


def test_four_times(world: World) -> None:
    planned = world.backup(check_mode=True)
    assert planned["changed"]
    assert world.is_clean(), "check mode wrote something"
    first = world.backup()["backup"]
    assert first["encryption"] == {"kind": "age", "key": id_of(world.store["age_keys"][0])}
    assert [world.backup(check_mode=check)["changed"] for check in (True, False)] == [False, False]
    proofs = [world.restore(check_mode=check) for check in (True, False, True, False)]
    assert [proof["changed"] for proof in proofs] == [True, True, False, False]
    assert proofs[1]["proof"]["passed"]

    # What is stored says nothing, and is listed without the key all the same.
    place = world.place()
    streams = [key for key in world.objects() if ".dump" in key]
    assert streams
    for key in streams:
        assert key.endswith(".zst.age")
        data = b"".join(place.read(key))
        assert data.startswith(b"age-encryption.org/v1\n-> X25519 ")
        assert b"PGDMP" not in data
    (listed,) = world.info(store={k: v for k, v in world.store.items() if k != "age_keys"})
    assert (listed["encryption"], listed["proven"]) == (first["encryption"], True)


@pytest.mark.parametrize("kind", ["zstd", "gzip"])
def test_there_and_back_with_a_swap(folder_world: World, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "gzip":
        monkeypatch.setattr(
            "ansible_collections.emailai.migration.plugins.module_utils._archive.packing.zstandard", None
        )
    world = folder_world
    world.backup()
    execute(world.target, 'DELETE FROM account; DELETE FROM "User"')
    assert world.restore(state="swapped", confirmed_by="Ada")["changed"]
    assert execute(world.target, 'SELECT count(*) FROM "User"') == [(400,)]


def test_an_old_key_opens_what_it_closed(folder_world: World) -> None:
    """The new key goes to the head of the list; the old one stays as long as its backups."""
    world = folder_world
    old = world.store["age_keys"][0]
    new = new_key()
    world.backup(run_id="old")
    world.store["age_keys"] = [new, old]
    world.backup(run_id="new")
    assert {one["run_id"]: one["encryption"]["key"] for one in world.info()} == {
        "old": id_of(old),
        "new": id_of(new),
    }
    for run in ("old", "new"):
        assert world.restore(run_id=run)["proof"]["passed"]
    # An open one from before there were keys is still a backup.
    world.backup(run_id="open", store=dict(world.store, age_keys=None))
    assert world.restore(run_id="open")["proof"]["passed"]


@pytest.mark.parametrize("given", ["none", "another"])
@pytest.mark.parametrize("state", ["proven", "restored", "swapped"])
def test_without_its_key_nothing_is_begun(folder_world: World, state: str, given: str) -> None:
    world = folder_world
    world.backup()
    before, objects = world.databases(), world.objects()
    other = new_key()
    options: dict[str, t.Any] = {"state": state, "store": dict(world.store, age_keys=None)}
    found = "none is given"
    if given == "another":
        options["store"]["age_keys"] = [other]
        found = f"only {id_of(other)} is given"
    options.update({"swapped": {"confirmed_by": "Ada"}, "restored": {"database": "elsewhere"}}.get(state, {}))
    for check_mode in (True, False):
        with pytest.raises(MigrationError) as caught:
            world.restore(check_mode=check_mode, **options)
        assert str(caught.value).endswith(
            f"it is encrypted with key {id_of(world.store['age_keys'][0])}, and {found}. Add that key to"
            " age_keys or age_key_file of the store; without it nobody can read this backup."
        )
    assert (world.databases(), world.objects()) == (before, objects)


def test_a_key_that_is_none_stops_a_backup_before_it_begins(folder_world: World) -> None:
    world = folder_world
    bad = dict(world.store, age_keys=[world.store["age_keys"][0][:-1]])
    for check_mode in (True, False):
        with pytest.raises(MigrationError, match=r"^Cannot use key 1 of age_keys: a letter of it is wrong"):
            world.backup(check_mode=check_mode, store=bad)
    assert world.is_clean()
    lines = {line["item"]: line for line in world.backup(readiness=True, store=bad)["readiness"]}
    assert lines["backup: store"]["state"] == "open"
    lines = {line["item"]: line for line in world.restore(readiness=True, store=bad)["readiness"]}
    assert lines["proof: keys"]["state"] == "open"
    lines = {line["item"]: line for line in world.restore(readiness=True)["readiness"]}
    assert lines["proof: keys"]["found"] == id_of(world.store["age_keys"][0])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))


def exchange(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def blocks_exchanged(path: Path) -> None:
    """Two chunks of the stream change places; no byte is another."""
    data = path.read_bytes()
    first, second, third = (_HEAD + number * _CHUNK for number in range(3))
    assert len(data) > third
    path.write_bytes(data[:first] + data[second:third] + data[first:second] + data[third:])


# What somebody does to the objects, who may write into the store.
ATTACKS: dict[str, t.Callable[[Path], None]] = {
    "a bit": lambda folder: flip(folder / "data-rest.dump.zst.age"),
    "the end": lambda folder: (folder / "data-rest.dump.zst.age").write_bytes(
        (folder / "data-rest.dump.zst.age").read_bytes()[:-70_000]
    ),
    "two chunks": lambda folder: blocks_exchanged(folder / "data-rest.dump.zst.age"),
    "two objects": lambda folder: exchange(folder / "data-rest.dump.zst.age", folder / "schema.dump.zst.age"),
}


def forged(folder: Path) -> None:
    """Sizes and sums that fit what lies there now, and a seal; only the key is missing."""
    path = folder / "manifest.json"
    manifest = manifests.parse(path.read_bytes(), "x")
    for one in manifest["streams"]:
        data = (folder / one["file"]).read_bytes()
        one.update(bytes_packed=len(data), sha256_packed=hashlib.sha256(data).hexdigest(), crc32="0")
    path.write_bytes(manifests.dump(manifest))


@pytest.mark.parametrize("is_forged", [False, True], ids=["as it was", "forged"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_what_was_changed_in_the_store_is_not_restored(
    folder_world: World, attack: str, is_forged: bool
) -> None:
    world = folder_world
    execute(world.target, BULK)
    world.backup()
    folder = stored(world, "manifest.json").parent
    ATTACKS[attack](folder)
    if is_forged:
        forged(folder)
    expected = "its manifest is not as the owner of key" if is_forged else "it is damaged"
    with pytest.raises(MigrationError, match=expected):
        world.restore()
    assert not copies(world)
    assert not world.info()[0]["proven"]


def test_a_forged_manifest_would_be_believed_without_the_signature(
    folder_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: then it is the stream itself that finds the chunk in the wrong place."""
    world = folder_world
    execute(world.target, BULK)
    world.backup()
    folder = stored(world, "manifest.json").parent
    blocks_exchanged(folder / "data-rest.dump.zst.age")
    forged(folder)
    monkeypatch.setattr(manifests, "is_signed", lambda *_words: True)
    with pytest.raises(MigrationError, match=r"it is damaged: its chunk \d is not the one"):
        world.restore()
    assert not copies(world)


def test_another_backup_in_the_place_of_this_one_is_refused(folder_world: World) -> None:
    """Whole, signed and of the same key; but it is last week's."""
    world = folder_world
    world.backup(run_id="old", backup_id="old")
    world.backup(run_id="new", backup_id="new")
    root = stored(world, "old/manifest.json").parents[1]
    shutil.rmtree(root / "new")
    shutil.copytree(root / "old", root / "new")
    with pytest.raises(MigrationError, match=r"manifest \S+/new/manifest.json: it is the one of backup old"):
        world.restore(backup_id="new")
    assert [one["id"] for one in world.info()] == ["old"]


def test_age_restores_it_by_hand(folder_world: World, tmp_path: Path) -> None:
    """Word for word, in a shell, with the program age and nothing of this collection."""
    program = shutil.which("age")
    if program is None:
        pytest.skip("the program age is missing: the commands by hand of an encrypted backup")
    world = folder_world
    key = world.store["age_keys"][0]
    commands = world.backup()["backup"]["restore_by_hand"]
    path = tmp_path / "key file"
    path.write_text(f"# created: today\n{key}\n")
    folder = tmp_path / "by hand"
    folder.mkdir()
    with child_environment(world.target.for_database("postgres")) as environment:
        environment["PATH"] = f"{world.client_folder}:{Path(program).parent}:/usr/bin:/bin"

        def run(words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                ["sh", "-ec", words], cwd=folder, env=environment, capture_output=True, text=True, check=False
            )

        # Without the key the commands say what is missing, and which key it is.
        refused = run("\n".join(commands))
        assert refused.returncode != 0
        assert f"sha256sum begins with {id_of(key)}" in refused.stderr
        said = run(f"age-keygen -y '{path}' | tr -d '\\n' | sha256sum")
        assert said.stdout.startswith(id_of(key)), said.stderr
        shutil.rmtree(folder)
        folder.mkdir()
        environment["AGE_KEY_FILE"] = str(path)
        done = run("\n".join(commands))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "900"
    by_hand = read_content(world, f"{world.target.dbname}__by_hand")
    assert content.compare(read_content(world, world.target.dbname), by_hand, False, True) == []


@pytest.mark.parametrize("given", ["list", "file"])
def test_the_key_is_nowhere(folder_world: World, tmp_path: Path, given: str) -> None:
    world = folder_world
    execute(world.target, BULK)
    key = world.store["age_keys"][0]
    (secret,) = keys.keyring({"age_keys": [key]})
    if given == "file":
        path = tmp_path / "outside" / "keys.txt"
        path.parent.mkdir()
        path.write_text(f"{key}\n")
        world.store = {**world.store, "age_keys": None, "age_key_file": str(path)}
    secrets = [key.encode(), key.lower().encode(), secret.secret, secret.secret.hex().encode()]
    with Sampler(secrets) as sampler:
        answers = [world.backup(), world.restore(), world.shelf()]
    assert sampler.dumps > 0, "the sampler never saw pg_dump"
    assert sampler.hits == 0
    texts = [json.dumps(answers, default=str).encode()]
    for folder in (world.folder / "work", world.folder / "store"):
        texts += [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert len(texts) > 4
    assert not any(word in text for text in texts for word in secrets)
