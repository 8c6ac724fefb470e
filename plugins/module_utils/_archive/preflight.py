# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks before anything is done: what a backup and its restore need, and what is there."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._archive import (
    catalog,
    client,
    keys,
    shelf,
    store,
    watch,
)
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres import connection as postgres

Line = t.Dict[str, str]
Needs = t.Dict[str, t.Any]

# Without an earlier backup to go by: what zstd makes of a typical database, and
# what two cores dump, compress, digest and send.
_USUAL_RATIO: t.Final = 0.3
USUAL_BYTES_PER_SECOND: t.Final = 40_000_000
_DISK_FACTOR: t.Final = 2


@dataclass(frozen=True)
class Terms:
    """On which terms a server takes a backup: what is kept, what is left out and why."""

    keeps_ownership: bool
    words: str
    is_copy: bool = True
    left_out: tuple[str, ...] = ()

    @property
    def options(self) -> list[str]:
        # A copy must not take part in replication, and lies where its server puts it.
        chosen = ["--no-publications", "--no-subscriptions", "--no-tablespaces"] if self.is_copy else []
        return chosen if self.keeps_ownership else [*chosen, "--no-owner", "--no-privileges"]


def ensure_restorable(
    server: t.Any, manifest: t.Mapping[str, t.Any], must_keep_ownership: bool = False
) -> Terms:
    """Raise unless this server can take the backup."""
    needs = needs_of(manifest)
    fault = version_fault(server, needs) or right_fault(server) or extension_fault(server, needs)
    if fault:
        raise MigrationError("restore", f"backup {manifest['id']}", fault[0], fault[1], kind="database")
    missing = role_faults(server, needs)
    if missing and must_keep_ownership:
        raise MigrationError(
            "restore",
            f"backup {manifest['id']}",
            f"owners and rights cannot be kept: {missing[0]}",
            "Make the role, or use one that is a member of it",
            kind="database",
        )
    left_out = superuser_extensions(server, needs)
    words = (
        f"owners and rights are left out, because {missing[0]}" if missing else "owners and rights are kept"
    )
    if left_out:
        words += f"; extension {', '.join(left_out)} is left out, because only a superuser may create it"
    return Terms(not missing, words, not must_keep_ownership, tuple(left_out))


def needs_of(manifest: t.Mapping[str, t.Any]) -> Needs:
    """What a server must have for this backup."""
    content = manifest["content"]
    return {
        "major": int(manifest["server"]["major"]),
        "version": manifest["server"]["version"],
        "owners": content["owners"],
        "grantees": content["grantees"],
        "extensions": sorted(content["extensions"]),
        "database_bytes": manifest["database_bytes"],
    }


def version_fault(server: t.Any, needs: Needs) -> tuple[str, str] | None:
    major = catalog.read_server(server).major
    if major >= needs["major"]:
        return None
    return (
        f"it comes from PostgreSQL {needs['major']} and this server is {major}",
        "Restore on the same major or a later one",
    )


def right_fault(server: t.Any) -> tuple[str, str] | None:
    allowed = catalog.rows(
        server, "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
    )[0][0]
    return None if allowed else ("this role may not create databases", "Grant it CREATEDB")


def extension_fault(server: t.Any, needs: Needs) -> tuple[str, str] | None:
    available = {name for (name,) in catalog.rows(server, "SELECT name FROM pg_available_extensions")}
    missing = sorted(set(needs["extensions"]) - available)
    return (
        (f"extension {missing[0]} is not available here", "Install its package on the server")
        if missing
        else None
    )


def superuser_extensions(server: t.Any, needs: Needs) -> list[str]:
    """Extensions that our role may not create. What needs one of them fails, by its name, at the restore."""
    query = (
        "SELECT DISTINCT v.name FROM pg_available_extension_versions v JOIN pg_available_extensions a"
        " ON a.name = v.name AND a.default_version = v.version"
        " WHERE v.superuser AND NOT v.trusted"
        " AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
    )
    return sorted({name for (name,) in catalog.rows(server, query)} & set(needs["extensions"]) - {"plpgsql"})


def role_faults(server: t.Any, needs: Needs) -> list[str]:
    """Why owners and rights of the backup cannot be kept here; empty if they can."""
    known = dict(catalog.rows(server, "SELECT oid::regrole::text, pg_has_role(oid, 'MEMBER') FROM pg_roles"))
    faults = [
        f"role {role} does not exist here"
        for role in {*needs["owners"], *needs["grantees"]}
        if role not in known
    ]
    # What initdb made belongs to its superuser everywhere; pg_database_owner is whoever owns the database.
    faults += [
        f"this role is not a member of {role}"
        for role in needs["owners"]
        if role in known and not known[role] and role != "pg_database_owner"
    ]
    return sorted(faults)


def source_lines(
    target: postgres.Target,
    store_options: t.Mapping[str, t.Any],
    client_folder: str,
    data_folder: str,
    may_write: bool,
) -> tuple[list[Line], Needs]:
    """Readiness of the side that is backed up, and what its backup will need elsewhere."""
    lines: list[Line] = []
    needs: Needs = {}
    try:
        with postgres.session(target, "look") as connection:
            server = catalog.read_server(connection)
            described = catalog.read_description(connection)
            lines.append(
                _line("backup: database", "database", "reachable", f"PostgreSQL {server.version}", "session")
            )
            lines.append(_rights(connection))
            lines.append(_locks(connection))
            lines.append(_disk("backup: free disk", connection, server.database_bytes, data_folder))
            needs = needs_of(
                {"content": described, "server": server.facts(), "database_bytes": server.database_bytes}
            )
    except MigrationError as exc:
        lines.append(_line("backup: database", "database", "reachable", str(exc), "session", "open"))
    else:
        lines.append(_client(int(needs["major"]), client_folder, target.ssl_mode))
    lines.append(_store(store_options, may_write))
    return lines, needs


def target_lines(target: postgres.Target, needs: Needs, data_folder: str, client_folder: str) -> list[Line]:
    """Readiness of the server on which backups are proven."""
    lines: list[Line] = []
    try:
        with postgres.session(target, "look") as server:
            version = catalog.read_server(server).version
            lines.append(_line("proof: server", "database", "reachable", f"PostgreSQL {version}", "session"))
            lines.append(_judged("proof: right to create databases", "CREATEDB", right_fault(server)))
            if not needs:
                return lines
            lines.append(
                _judged("proof: version", f"{needs['major']} or later", version_fault(server, needs))
            )
            lines.append(_extensions(server, needs))
            # Without the roles the data is proven all the same; only rights are not.
            faults = role_faults(server, needs)
            found = f"owners and rights are left out: {faults[0]}" if faults else "all there"
            lines.append(_line("proof: roles", "database", "owners and grantees", found, "pg_roles"))
            lines.append(_disk("proof: free disk", server, int(needs["database_bytes"]), data_folder))
    except MigrationError as exc:
        lines.append(_line("proof: server", "database", "reachable", str(exc), "session", "open"))
    else:
        lines.append(_client(int(needs["major"]), client_folder, target.ssl_mode, "proof"))
    return lines


def key_lines(store_options: t.Mapping[str, t.Any]) -> list[Line]:
    """Whether the keys are there where backups are opened."""
    if not keys.are_given(store_options):
        return []
    try:
        found, state = ", ".join(key.id for key in keys.keyring(store_options)), "met"
    except MigrationError as exc:
        found, state = str(exc), "open"
    return [_line("proof: keys", "storage", "keys of the backups", found, "age_keys, age_key_file", state)]


def predict(server: catalog.Server, earlier: t.Sequence[shelf.Backup], database: str) -> dict[str, t.Any]:
    """Bytes and minutes of the next backup, from the last one of this database or what is usual. Pure."""
    for one in earlier:
        last = one.summary()
        if last["database"] == database and last["database_bytes"] and last["seconds"]:
            share = server.database_bytes / last["database_bytes"]
            return {
                "bytes": round(last["bytes"] * share),
                "minutes": round(last["seconds"] * share / 60, 2),
                "predicted_from": last["id"],
            }
    return {
        "bytes": round(server.database_bytes * _USUAL_RATIO),
        "minutes": round(server.database_bytes / USUAL_BYTES_PER_SECOND / 60, 2),
        "predicted_from": "size",
    }


def _line(item: str, kind: str, required: str, found: str, read_by: str, state: str = "met") -> Line:
    return {
        "item": item,
        "kind": kind,
        "required": required,
        "found": found,
        "read_by": read_by,
        "state": state,
    }


def _judged(item: str, required: str, fault: tuple[str, str] | None) -> Line:
    found = f"{fault[0]}. {fault[1]}." if fault else "yes"
    return _line(item, "database", required, found, "catalog", "open" if fault else "met")


def _extensions(server: t.Any, needs: Needs) -> Line:
    required = ", ".join(needs["extensions"]) or "none"
    left_out = superuser_extensions(server, needs)
    if not left_out:
        return _judged("proof: extensions", required, extension_fault(server, needs))
    found = f"{', '.join(left_out)} is left out: only a superuser may create it"
    return _line("proof: extensions", "database", required, found, "pg_available_extensions")


def _rights(connection: t.Any) -> Line:
    unreadable = catalog.rows(
        connection,
        "SELECT format('%I.%I', n.nspname, c.relname)"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'S') AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
        " AND c.relpersistence <> 't' AND n.nspname <> 'pg_toast' AND (CASE c.relkind WHEN 'S'"
        " THEN NOT has_sequence_privilege(c.oid, 'SELECT') ELSE NOT has_table_privilege(c.oid, 'SELECT') END"
        " OR row_security_active(c.oid)) ORDER BY 1",
    )
    found = f"{unreadable[0][0]} cannot be read whole" if unreadable else "all tables"
    state = "open" if unreadable else "met"
    return _line(
        "backup: rights", "database", "read every row of every table", found, "has_table_privilege", state
    )


def _locks(connection: t.Any) -> Line:
    relations, slots = catalog.rows(
        connection,
        "SELECT (SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p', 'S', 'v', 'm', 'f')),"
        " current_setting('max_locks_per_transaction')::bigint *"
        " (current_setting('max_connections')::bigint"
        " + current_setting('max_prepared_transactions')::bigint)",
    )[0]
    state = "met" if relations * 2 < slots else "open"
    return _line(
        "backup: lock slots", "database", f"2 x {relations}", str(slots), "max_locks_per_transaction", state
    )


def _disk(item: str, connection: t.Any, database_bytes: int, data_folder: str) -> Line:
    """Free space on the server's disk, if its folder is one of this host and we may know where it is."""
    required = f"{watch.size(_DISK_FACTOR * database_bytes)} free"
    folder = data_folder or _data_directory(connection)
    if not folder or not os.path.isdir(folder):
        found = "the server's data folder cannot be read from here"
        return _line(item, "storage", required, found, "statvfs", "not_watched")
    facts = os.statvfs(folder)
    free = facts.f_bavail * facts.f_frsize
    state = "met" if free >= _DISK_FACTOR * database_bytes else "open"
    return _line(item, "storage", required, f"{watch.size(free)} free", f"statvfs {folder}", state)


def _data_directory(connection: t.Any) -> str:
    """Empty unless the server runs on this host and its role may tell."""
    told = catalog.rows(
        connection,
        "SELECT CASE WHEN (pg_has_role('pg_read_all_settings', 'MEMBER')) AND (inet_server_addr() IS NULL"
        " OR inet_server_addr() = inet_client_addr()) THEN current_setting('data_directory') ELSE '' END",
    )
    return str(told[0][0])


def _client(major: int, client_folder: str, ssl_mode: str, side: str = "backup") -> Line:
    required = f"pg_dump and pg_restore {major}"
    try:
        found = client.find(major, client_folder, ssl_mode)
    except MigrationError as exc:
        return _line(f"{side}: client programs", "database", required, str(exc), "pg_dump --version", "open")
    return _line(
        f"{side}: client programs",
        "database",
        required,
        f"{found.version} in {found.folder}",
        "pg_dump --version",
    )


def _store(store_options: t.Mapping[str, t.Any], may_write: bool) -> Line:
    required = "can be listed and written"
    try:
        place = store.open_store(store_options)
        place.check()
        if may_write:
            place.probe_write()
        key = keys.first(store_options)
    except MigrationError as exc:
        return _line("backup: store", "storage", required, str(exc), "store", "open")
    found = "can be listed and written" if may_write else "can be listed; writing is known when it is done"
    found += f"; backups are encrypted with key {key.id}" if key else ""
    return _line("backup: store", "storage", required, f"{place.label} {found}", "store")
