# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a backup, its objects and the databases made from it are called. Pure."""

from __future__ import annotations

import datetime
import re
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

MANIFEST: t.Final = "manifest.json"

# NAMEDATALEN - 1: the server cuts longer names in silence.
_NAME_BYTES: t.Final = 63
# The files that we put into a backup's folder, and nothing else in the store.
_OURS = re.compile(r"(?:schema|data-\w+)\.dump\.(?:zst|gz)(?:\.age)?|proof-\w+\.json|\.pending-.*")
_BACKUP_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,126}")


def utc_stamp(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def backup_id(database: str, moment: datetime.datetime) -> str:
    """The runbook's name with the time in UTC: ``emailai_prod_backup_20261123T030000Z``."""
    return f"{slug(database)}_backup_{utc_stamp(moment)}"


def checked_backup_id(text: str) -> str:
    if not _BACKUP_ID.fullmatch(text):
        raise MigrationError(
            "use", f"the backup name {text!r}", "it is not made of letters, digits, dot, dash and underscore"
        )
    return text


def key(prefix: str, identifier: str, name: str) -> str:
    return f"{prefix}{identifier}/{name}"


def is_ours(key_in_prefix: str) -> bool:
    """Whether an object below the prefix is one that a backup of ours may have left."""
    identifier, slash, file = key_in_prefix.partition("/")
    return bool(slash and _BACKUP_ID.fullmatch(identifier) and _OURS.fullmatch(file))


def proof_name(moment: datetime.datetime) -> str:
    # Two proofs may end within one second.
    return f"proof-{utc_stamp(moment)[:-1]}{moment.microsecond:06}Z.json"


def database_beside(database: str, relation: str, identifier: str) -> str:
    """A name for a database made from a backup, or put aside for it: ``<db>__<relation>_<stamp>``.

    Only the last part of the backup's name is used, and the database's own name
    is cut where both together are longer than the server allows.
    """
    tail = f"__{relation}_{slug(identifier).rpartition('_')[2][-24:].lower()}"
    head = database.encode()[: _NAME_BYTES - len(tail.encode())]
    return head.decode(errors="ignore") + tail


def slug(text: str) -> str:
    """Text as a piece of a file or object name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.") or "unnamed"
