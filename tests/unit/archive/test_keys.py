# SPDX-License-Identifier: GPL-3.0-or-later
"""A key is read from a variable or a file, called by a fingerprint, and never shown."""

from __future__ import annotations

import hashlib
import typing as t
from pathlib import Path

import pyrage
import pytest

from ansible_collections.emailai.migration.plugins.module_utils._archive import keys
from ansible_collections.emailai.migration.plugins.module_utils._archive import manifest as manifests
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

# From the test vectors of age: a secret key, and what age-keygen -y makes of it.
SECRET = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
PUBLIC = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"


def generated() -> str:
    return str(pyrage.x25519.Identity.generate())


def manifest_of(key: keys.Key) -> manifests.Manifest:
    found = {"id": "b", "rows": 1, "encryption": {"kind": "age", "key": key.id}}
    manifests.sign(found, key.sign)
    return found


def test_a_key_is_the_one_that_age_makes_of_its_text() -> None:
    (key,) = keys.keyring({"age_keys": [SECRET]})
    assert keys.encode("age", key.public) == PUBLIC
    assert key.id == hashlib.sha256(PUBLIC.encode()).hexdigest()[:16]
    assert "secret" not in repr(key)
    text = generated()
    (other,) = keys.keyring({"age_keys": [f" {text.lower()}\n"]})
    assert keys.encode("age", other.public) == str(pyrage.x25519.Identity.from_str(text).to_public())
    assert key.sign(b"x") != other.sign(b"x")


def test_a_file_comes_after_the_list_and_may_hold_remarks(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    first, second = generated(), generated()
    path.write_text(f"# created: 2026-11-23\n# public key: age1...\n{first}\n\n{second}\n")
    ring = keys.keyring({"age_keys": [SECRET], "age_key_file": str(path)})
    assert [keys.keyring({"age_keys": [text]})[0].id for text in (SECRET, first, second)] == [
        key.id for key in ring
    ]
    assert keys.first({"age_key_file": str(path)}) == ring[1]
    assert keys.first({"age_keys": None, "age_key_file": None}) is None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"age_keys": [SECRET, PUBLIC]}, "Cannot use key 2 of age_keys: it is the public half."),
        ({"age_keys": [""]}, "Cannot use key 1 of age_keys: it is no key of age."),
        ({"age_keys": ["AGE-PLUGIN-YUBIKEY-1QQQ"]}, "Cannot use key 1 of age_keys: a letter of it is wrong"),
        ({"age_keys": [SECRET[:-1] + "Z"]}, "Cannot use key 1 of age_keys: a letter of it is wrong or"),
        ({"age_keys": [SECRET[:-1]]}, "Cannot use key 1 of age_keys: a letter of it is wrong or missing"),
        ({"age_keys": [SECRET[:20].lower() + SECRET[20:]]}, "Cannot use key 1 of age_keys: it is no key of"),
        ({"age_key_file": "/nowhere"}, "Cannot use key file /nowhere: no such file or directory."),
        ({"age_key_file": "/dev/null"}, "Cannot use key file /dev/null: it holds no key. Make one with age-"),
    ],
)
def test_what_is_no_key_is_refused_without_showing_it(options: dict[str, t.Any], sentence: str) -> None:
    with pytest.raises(MigrationError) as caught:
        keys.keyring(options)
    assert str(caught.value).startswith(sentence)
    for text in options.get("age_keys") or []:
        assert not text or text not in str(caught.value)


def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "X25519PrivateKey", None)
    assert keys.keyring({}) == []
    with pytest.raises(MigrationError, match="the Python library cryptography is missing on this host"):
        keys.keyring({"age_keys": [SECRET]})


def test_the_key_of_a_backup_is_found_among_several() -> None:
    new, old = generated(), generated()
    (key,) = keys.keyring({"age_keys": [old]})
    assert keys.for_backup(manifest_of(key), {"age_keys": [new, old]}) == key
    assert keys.for_backup({"id": "b"}, {"age_keys": [new]}) is None


def test_a_wrong_and_a_lost_key_end_in_one_sentence() -> None:
    texts = [SECRET, generated()]
    key, other = keys.keyring({"age_keys": texts})
    backup = manifest_of(key)
    sentence = f"^Cannot open backup b: it is encrypted with key {key.id}, and "
    with pytest.raises(MigrationError, match=f"{sentence}none is given"):
        keys.for_backup(backup, {})
    with pytest.raises(MigrationError, match=f"{sentence}only {other.id} is given"):
        keys.for_backup(backup, {"age_keys": [texts[1]]})


@pytest.mark.parametrize("change", [{"rows": 2}, {"signature": ""}, {"more": 1}])
def test_a_manifest_that_another_wrote_is_refused(change: dict[str, t.Any]) -> None:
    """Its seal may be right: whoever may write into the store can compute that."""
    (key,) = keys.keyring({"age_keys": [SECRET]})
    with pytest.raises(MigrationError, match=f"not as the owner of key {key.id} wrote it"):
        keys.for_backup(dict(manifest_of(key), **change), {"age_keys": [SECRET]})


def test_a_signature_outlives_the_way_into_the_store_and_back() -> None:
    (key,) = keys.keyring({"age_keys": [SECRET]})
    fields = dict.fromkeys(
        ("run_id", "database", "identity", "created_at", "server", "streams", "content"), 1
    )
    document = {"format": 1, **fields, "id": "b", "encryption": {"kind": "age", "key": key.id}}
    manifests.sign(document, key.sign)
    assert keys.for_backup(manifests.parse(manifests.dump(document), "m"), {"age_keys": [SECRET]}) == key
