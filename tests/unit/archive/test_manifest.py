# SPDX-License-Identifier: GPL-3.0-or-later
"""A manifest says what lies beside it, or is refused in one sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.emailai.migration.plugins.module_utils._archive import manifest
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

STREAM = {"bytes_packed": 3, "bytes_plain": 5, "sha256_packed": "aa"}
MANIFEST: manifest.Manifest = {
    "format": 1,
    "id": "emailai_prod_backup_20261123T030000Z",
    "run_id": "run",
    "database": "it's",
    "identity": "1/2",
    "created_at": "2026-11-23T03:00:00+00:00",
    "server": {"version": "18.6", "major": 18, "encoding": "UTF8"},
    "compression": {"kind": "zstd", "level": 3},
    "database_bytes": 100,
    "streams": [
        dict(STREAM, file="schema.dump.zst", section="schema"),
        dict(STREAM, file="data-rest.dump.zst", section="data"),
    ],
    "content": {"tables": {"public.a": {"rows": 3, "digest": "1"}}},
}


def test_what_is_written_is_read() -> None:
    assert manifest.parse(manifest.dump(MANIFEST), "x") == MANIFEST


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (b"", "not a JSON document of ours"),
        (b"[1]", "not a JSON document of ours"),
        (b'{"format": 1, "id": "x"', "not a JSON document of ours"),
        (json.dumps(dict(MANIFEST, format=2)).encode(), "its format is 2"),
        (json.dumps({"format": 1, "id": "x"}).encode(), "it lacks run_id, database"),
        (json.dumps(MANIFEST).encode(), "it is not as it was written"),
        (manifest.dump(MANIFEST).replace(b'"rows": 3', b'"rows": 4'), "it is not as it was written"),
    ],
)
def test_what_is_not_a_manifest_is_refused_in_one_sentence(text: bytes, cause: str) -> None:
    with pytest.raises(MigrationError, match=f"^Cannot read manifest m: .*{cause}"):
        manifest.parse(text, "m")


def test_a_summary_counts() -> None:
    summary = manifest.summary(MANIFEST, [{"passed": False, "finished_at": "2"}])
    assert (summary["bytes"], summary["bytes_unpacked"], summary["tables"], summary["rows"]) == (6, 10, 1, 3)
    assert summary["proven"] is False
    proofs = [{"passed": False, "finished_at": "9"}, {"passed": True, "finished_at": "3"}]
    assert manifest.summary(MANIFEST, proofs)["proven_at"] == "3"


def test_commands_by_hand_name_every_object_and_quote_names() -> None:
    commands = manifest.restore_by_hand(MANIFEST, ["fetch"])
    text = "\n".join(commands)
    assert commands[0] == """export DATABASE='it'"'"'s__by_hand'"""
    assert text.index("--section=pre-data schema.dump") < text.index("--section=data data-rest.dump")
    assert text.index("--section=data data-rest.dump") < text.index("--section=post-data schema.dump")


def test_the_version_is_the_collections_own() -> None:
    galaxy = yaml.safe_load((Path(__file__).parents[3] / "galaxy.yml").read_text())
    assert galaxy["version"] == manifest.COLLECTION_VERSION
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", manifest.COLLECTION_VERSION)
