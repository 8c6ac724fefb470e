# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The document that makes a handful of objects a backup: what it holds and how to get it back. Pure."""

from __future__ import annotations

import hashlib
import hmac
import json
import shlex
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._archive import sealing
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

Manifest = t.Dict[str, t.Any]

FORMAT: t.Final = 1
COLLECTION_VERSION: t.Final = "0.1.0"

_REQUIRED: t.Final = ("id", "run_id", "database", "identity", "created_at", "server", "streams", "content")
_SEAL: t.Final = "seal"
_SIGNATURE: t.Final = "signature"
_SUFFIX: t.Final = {"zstd": ".zst", "gzip": ".gz"}


class UnreadableError(MigrationError):
    """What stands in the place of a manifest is none that we can use."""

    def __init__(self, name: str, cause: str, cure: str = "Use another backup") -> None:
        super().__init__("read", f"manifest {name}", cause, cure, kind="storage")


def stream_file(name: str, compression: str, is_encrypted: bool = False) -> str:
    return f"{name}.dump{_SUFFIX[compression]}{sealing.SUFFIX if is_encrypted else ''}"


def dump(manifest: Manifest) -> bytes:
    plain = json.loads(json.dumps(manifest, default=str))
    return json.dumps(dict(plain, **{_SEAL: _seal(plain)}), indent=1, sort_keys=True).encode() + b"\n"


def _seal(plain: Manifest) -> str:
    """Tells an edited manifest from ours without any key; a forger makes his own."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def key_id(manifest: Manifest) -> str:
    """The key that an encrypted backup needs; empty for one that is open."""
    return str(manifest.get("encryption", {}).get("key", ""))


def sign(manifest: Manifest, sign_text: t.Callable[[bytes], str]) -> None:
    manifest[_SIGNATURE] = sign_text(_signed_text(manifest))


def is_signed(manifest: Manifest, sign_text: t.Callable[[bytes], str]) -> bool:
    """Whether the owner of the key wrote every word of it: which objects belong to it and what they hold."""
    return hmac.compare_digest(str(manifest.get(_SIGNATURE, "")), sign_text(_signed_text(manifest)))


def _signed_text(manifest: Manifest) -> bytes:
    signed = {name: value for name, value in manifest.items() if name != _SIGNATURE}
    return json.dumps(json.loads(json.dumps(signed, default=str)), sort_keys=True).encode()


def parse(text: bytes, name: str) -> Manifest:
    try:
        manifest: Manifest = json.loads(text)
        missing = [field for field in _REQUIRED if field not in manifest]
        version = manifest.get("format")
    except (ValueError, AttributeError, TypeError):
        raise UnreadableError(name, "it is not a JSON document of ours") from None
    if version != FORMAT:
        raise UnreadableError(
            name,
            f"its format is {version}, this version of the collection reads {FORMAT}",
            "Use the version of the collection that made it, or the commands in the manifest",
        )
    if missing:
        raise UnreadableError(name, f"it lacks {', '.join(missing)}")
    if manifest.pop(_SEAL, "") != _seal(manifest):
        raise UnreadableError(name, "it is not as it was written")
    return manifest


def summary(manifest: Manifest, proofs: t.Sequence[t.Mapping[str, t.Any]] = ()) -> dict[str, t.Any]:
    """What a module answers about a backup: everything but the long lists."""
    passed = [proof for proof in proofs if proof.get("passed")]
    content = manifest["content"]
    return {
        "id": manifest["id"],
        "run_id": manifest["run_id"],
        "database": manifest["database"],
        "created_at": manifest["created_at"],
        "location": manifest.get("location", ""),
        "server_version": manifest["server"]["version"],
        "client_version": manifest.get("client_version", ""),
        "compression": manifest.get("compression", {}),
        "encryption": manifest.get("encryption", {}),
        "database_bytes": manifest.get("database_bytes"),
        "bytes": sum(stream["bytes_packed"] for stream in manifest["streams"]),
        "bytes_unpacked": sum(stream["bytes_plain"] for stream in manifest["streams"]),
        "seconds": manifest.get("seconds"),
        "streams": len(manifest["streams"]),
        "tables": len(content["tables"]),
        "rows": sum(table["rows"] for table in content["tables"].values()),
        "proven": bool(passed),
        "proven_at": max((proof["finished_at"] for proof in passed), default=None),
        "proofs": len(proofs),
        "checksum": manifest.get("checksum", ""),
    }


def outcome(backup: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The figures of a summary that the journal keeps."""
    names = ("id", "location", "bytes", "database_bytes", "seconds", "tables", "rows", "proven", "proven_at")
    known = {name: backup[name] for name in names if backup.get(name) not in (None, "")}
    return {("backup" if name == "id" else name): value for name, value in known.items()}


def restore_by_hand(manifest: Manifest, fetch: t.Sequence[str]) -> list[str]:
    """Plain commands, in order, for a shell in an empty folder with PGHOST and friends set.

    ``fetch`` brings all objects of the backup into that folder. pg_restore must
    be of the major that made the dump.
    """
    server = manifest["server"]
    unpack = "zstd -d --rm" if manifest["compression"]["kind"] == "zstd" else "gzip -d"
    sums = "\\n".join(f"{s['sha256_packed']}  {s['file']}" for s in manifest["streams"])
    stored = [stream["file"] for stream in manifest["streams"]]
    key, packed = key_id(manifest), [file.replace(sealing.SUFFIX, "") for file in stored]
    restore = 'pg_restore --exit-on-error --no-owner --no-acl --dbname="$DATABASE"'
    dumps = [file.rpartition(".")[0] for file in packed]
    data = [dump for dump, s in zip(dumps, manifest["streams"]) if s["section"] == "data"]
    commands = [
        f"export DATABASE={shlex.quote(manifest['database'] + '__by_hand')}",
        *fetch,
        f"printf '{sums}\\n' | sha256sum --check",
        *(_decrypt_by_hand(key, stored, packed) if key else []),
        f"{unpack} {' '.join(map(shlex.quote, packed))}",
        f'createdb --template=template0 --encoding={shlex.quote(server["encoding"])} "$DATABASE"',
        f"{restore} --section=pre-data schema.dump",
        *[f"{restore} --section=data {shlex.quote(name)}" for name in data],
        f"{restore} --section=post-data schema.dump",
        'psql --no-psqlrc --dbname="$DATABASE" --command="ANALYZE"',
    ]
    if manifest["content"]["tables"]:
        largest = max(
            manifest["content"]["tables"], key=lambda name: manifest["content"]["tables"][name]["rows"]
        )
        query = f"SELECT count(*) FROM {largest}"
        commands.append(
            f'psql --no-psqlrc --tuples-only --no-align --dbname="$DATABASE" --command={shlex.quote(query)}'
        )
    return commands


def _decrypt_by_hand(key: str, stored: t.Sequence[str], packed: t.Sequence[str]) -> list[str]:
    """The program age and the file with the key are all that is needed."""
    which = f"age-keygen -y FILE | tr -d '\\n' | sha256sum begins with {key}"
    decrypt = 'age --decrypt --identity "$AGE_KEY_FILE" --output'
    return [
        f': "${{AGE_KEY_FILE:?export the name of the file with the key: {which}}}"',
        *[f"{decrypt} {shlex.quote(to)} {shlex.quote(file)}" for file, to in zip(stored, packed)],
    ]
