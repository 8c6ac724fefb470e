# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backups that stand in a store: found by their manifests, removed manifest first."""

from __future__ import annotations

import datetime
import json
import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.emailai.migration.plugins.module_utils._archive import leftovers, names, store
from ansible_collections.emailai.migration.plugins.module_utils._archive import manifest as manifests
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

Proof = t.Dict[str, t.Any]


class Backup(t.NamedTuple):
    manifest: manifests.Manifest
    proofs: list[Proof]

    @property
    def is_proven(self) -> bool:
        return any(proof.get("passed") for proof in self.proofs)

    def summary(self) -> dict[str, t.Any]:
        return manifests.summary(self.manifest, self.proofs)


class Shelf(t.NamedTuple):
    backups: list[Backup]
    unreadable: list[str]


def backups(place: store.Store) -> list[Backup]:
    """All of them, the newest first. What has no manifest does not exist."""
    return look(place).backups


def look(place: store.Store) -> Shelf:
    """The backups, and a sentence for each manifest that is none: one bad one does not hide the good ones."""
    keys = [entry.key for entry in place.entries(place.prefix)]
    found = [key for key in keys if key.endswith(f"/{names.MANIFEST}")]
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda key: _read_or_fault(place, key, keys), found))
    good = [one for one in read if isinstance(one, Backup)]
    good.sort(key=lambda backup: str(backup.manifest["created_at"]), reverse=True)
    return Shelf(good, [one for one in read if isinstance(one, str)])


def find(place: store.Store, identifier: str) -> Backup | None:
    key = names.key(place.prefix, identifier, names.MANIFEST)
    keys = [entry.key for entry in place.entries(names.key(place.prefix, identifier, ""))]
    return _read(place, key, keys) if key in keys else None


def find_by_run(place: store.Store, run_id: str, database: str = "", identity: str = "") -> Backup | None:
    """The newest backup of a run, a proven one before others."""
    mine = [
        backup
        for backup in backups(place)
        if backup.manifest["run_id"] == run_id
        and (not database or backup.manifest["database"] == database)
        and (not identity or backup.manifest["identity"] == identity)
    ]
    return next((backup for backup in mine if backup.is_proven), mine[0] if mine else None)


def require(place: store.Store, identifier: str, run_id: str, database: str = "") -> Backup:
    """The backup that was named, or else the run's."""
    if identifier:
        backup = find(place, names.checked_backup_id(identifier))
        name = identifier
    elif run_id:
        backup = find_by_run(place, run_id, database)
        name = f"of run {run_id}"
    else:
        raise MigrationError(
            "choose", "a backup", "neither its name nor its run is given", "Set backup_id or run_id"
        )
    if backup is None:
        raise MigrationError(
            "find",
            f"backup {name}",
            f"{place.label} holds no manifest of it",
            "List what is there with pg_backup_info",
            kind="storage",
        )
    return backup


def add_proof(place: store.Store, identifier: str, proof: Proof) -> str:
    moment = datetime.datetime.fromisoformat(proof["finished_at"])
    key = names.key(place.prefix, identifier, names.proof_name(moment))
    place.put(key, json.dumps(proof, indent=1, sort_keys=True, default=str).encode() + b"\n")
    return key


def remove(place: store.Store, identifier: str) -> None:
    """Manifest first: from then on it does not exist, however far the rest gets."""
    keys = [entry.key for entry in place.entries(names.key(place.prefix, identifier, ""))]
    keys.sort(key=lambda key: not key.endswith(f"/{names.MANIFEST}"))
    place.delete(keys)


def clear(place: store.Store, identifier: str) -> None:
    """Take away what a backup that did not get its manifest left, pending uploads included."""
    head = names.key(place.prefix, identifier, "")
    drop_strays(place, identifier)
    keys = [entry.key for entry in place.entries(head)]
    if names.key(place.prefix, identifier, names.MANIFEST) not in keys:
        place.delete(keys)


def drop_strays(place: store.Store, identifier: str) -> None:
    """Give up every upload of a backup whose writers have ended.

    Where the answer to the beginning of an upload is lost, it is begun once more, and the store keeps
    both; nobody knows the first one's token.
    """
    head = names.key(place.prefix, identifier, "")
    for pending in place.pending():
        if pending.key.startswith(head):
            place.drop_pending(pending)


def sweep(place: store.Store, dead: t.Collection[str]) -> int:
    """Take away what dead runs left; returns how many objects and uploads that were."""
    now = datetime.datetime.now(datetime.timezone.utc)
    left = leftovers.find(place.entries(place.prefix), place.pending(), place.prefix, dead, now)
    for pending in left.pending:
        place.drop_pending(pending)
    place.delete(left.keys)
    return len(left.pending) + len(left.keys)


def _read_or_fault(place: store.Store, key: str, keys: t.Sequence[str]) -> Backup | str:
    try:
        return _read(place, key, keys)
    except manifests.UnreadableError as exc:
        return str(exc)


def _read(place: store.Store, key: str, keys: t.Sequence[str]) -> Backup:
    head = key[: -len(names.MANIFEST)]
    manifest = manifests.parse(b"".join(place.read(key)), key)
    if key != names.key(place.prefix, manifest["id"], names.MANIFEST):
        # Its objects are looked for by its own name: they would be another backup's.
        raise manifests.UnreadableError(key, f"it is the one of backup {manifest['id']}")
    proofs = [b"".join(place.read(k)) for k in sorted(keys) if k.startswith(f"{head}proof-")]
    return Backup(manifest, [_proof(text) for text in proofs])


def _proof(text: bytes) -> Proof:
    """One that cannot be read proves nothing."""
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError):
        return {"passed": False, "finished_at": "", "differences": ["this proof cannot be read"]}
