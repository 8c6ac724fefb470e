# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings the store to the wanted state: a backup is there, is not there, or old ones are gone."""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._archive import (
    backup,
    catalog,
    client,
    errand,
    keys,
    names,
    preflight,
    retention,
    shelf,
    store,
    watch,
)
from ansible_collections.emailai.migration.plugins.module_utils._archive import manifest as manifests
from ansible_collections.emailai.migration.plugins.module_utils._postgres import connection as postgres

Params = t.Mapping[str, t.Any]
Result = t.Dict[str, t.Any]

LEASE: t.Final = "back_up"


def present(params: Params, check_mode: bool) -> Result:
    """A complete backup under this name, or of this run."""
    target = postgres.target_from(params)
    errand_name = "back_up-" + names.slug(params["backup_id"] or params["run_id"] or target.dbname)
    if params["follow"]:
        return _made(errand.follow(params, errand_name))
    with postgres.session(target, "look") as connection:
        server = catalog.read_server(connection)
        identity = catalog.identity(connection)
    place = store.open_store(params["store"])
    place.check()
    identifier = params["backup_id"] or ""
    if identifier:
        existing = shelf.find(place, names.checked_backup_id(identifier))
    else:
        existing = (
            shelf.find_by_run(place, params["run_id"], target.dbname, identity) if params["run_id"] else None
        )
    if existing is not None:
        return _answer(False, existing.summary())
    client.find(server.major, params["client_folder"] or "", target.ssl_mode)
    key = keys.first(params["store"])
    if check_mode:
        prediction = preflight.predict(server, shelf.backups(place), target.dbname)
        return _answer(True, _planned(params, target, prediction), prediction=prediction)
    return _made(errand.run(params, errand_name, _work(params, target, key)))


def readiness(params: Params, check_mode: bool) -> Result:
    """Only looks; what cannot be reached is a line, not a failure."""
    lines, needs = preflight.source_lines(
        postgres.target_from(params),
        params["store"],
        params["client_folder"] or "",
        params["data_folder"] or "",
        may_write=not check_mode,
    )
    return {"changed": False, "readiness": lines, "needs": needs}


def absent(params: Params, check_mode: bool) -> Result:
    place = store.open_store(params["store"])
    place.check()
    identifier = names.checked_backup_id(params["backup_id"])
    left = [entry.key for entry in place.entries(names.key(place.prefix, identifier, ""))]
    if left and not check_mode:
        shelf.remove(place, identifier)
    return {"changed": bool(left), "removed": [identifier] if left else []}


def pruned(params: Params, check_mode: bool) -> Result:
    """Old backups of this database are gone, as far as retention allows."""
    target = postgres.target_from(params)
    place = store.open_store(params["store"])
    place.check()
    mine = [one for one in shelf.backups(place) if one.manifest["database"] == target.dbname]
    own = params["backup_id"] or next(
        (
            one.manifest["id"]
            for one in mine
            if params["run_id"] and one.manifest["run_id"] == params["run_id"]
        ),
        "",
    )
    kept = [
        retention.Kept(one.manifest["id"], str(one.manifest["created_at"]), one.is_proven) for one in mine
    ]
    decision = retention.decide(kept, params["keep_proven"], own)
    if not check_mode:
        for identifier in decision.remove:
            shelf.remove(place, identifier)
    return {"changed": bool(decision.remove), "removed": list(decision.remove), "reason": decision.reason}


def _work(params: Params, target: postgres.Target, key: keys.Key | None) -> errand.Work:
    def work(reporter: t.Any, crew: t.Any, lost: t.Any) -> Result:
        place = store.open_store(params["store"])
        identifier = params["backup_id"] or _free_name(place, target.dbname)
        reporter.update(backup_id=identifier)
        order = backup.Order(
            target=target,
            identifier=identifier,
            run_id=params["run_id"] or "",
            client_folder=params["client_folder"] or "",
            compression_level=params["compression_level"],
            jobs=params["jobs"],
            lock_wait_seconds=params["lock_wait_timeout_seconds"],
            key=key,
        )
        progress = watch.Progress(reporter.update)
        with watch.held_lease(target, LEASE, order.run_id, {"backup_id": identifier}, crew) as lease:
            dead = {(lost or {}).get("backup_id", ""), (lease.detail if lease else {}).get("before", "")}
            swept = shelf.sweep(place, dead - {"", identifier})
            if identifier in dead:
                shelf.clear(place, identifier)
            document = backup.make(order, place, progress, crew)
        summary = shelf.Backup(document, []).summary()
        return {"backup": dict(summary, restore_by_hand=document["restore_by_hand"]), "swept": swept}

    return work


def _free_name(place: store.Store, database: str) -> str:
    """A name that nothing in the store has yet; two backups may begin within one second."""
    moment = datetime.datetime.now(datetime.timezone.utc)
    while place.entries(names.key(place.prefix, names.backup_id(database, moment), "")):
        moment += datetime.timedelta(seconds=1)
    return names.backup_id(database, moment)


def _made(result: Result) -> Result:
    return _answer(True, result["backup"], swept=result["swept"])


def _answer(changed: bool, summary: Result, **more: t.Any) -> Result:
    return {"changed": changed, "backup": summary, "outcome": manifests.outcome(summary), **more}


def _planned(params: Params, target: postgres.Target, prediction: Params) -> Result:
    identifier = params["backup_id"] or names.backup_id(
        target.dbname, datetime.datetime.now(datetime.timezone.utc)
    )
    return {
        "id": identifier,
        "run_id": params["run_id"],
        "database": target.dbname,
        "bytes": prediction["bytes"],
        "seconds": round(prediction["minutes"] * 60, 1),
        "proven": False,
    }
