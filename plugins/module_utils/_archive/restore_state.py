# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a server to the wanted state: a backup is proven, restored, swapped in, swapped back, or dropped."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._archive import (
    client,
    databases,
    errand,
    keys,
    loading,
    loss,
    names,
    preflight,
    restore,
    shelf,
    store,
    watch,
)
from ansible_collections.emailai.migration.plugins.module_utils._archive import manifest as manifests
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres import connection as postgres

Params = t.Mapping[str, t.Any]
Result = t.Dict[str, t.Any]


def proven(params: Params, check_mode: bool) -> Result:
    target, chosen = _open(params, check_mode)
    if chosen is None:
        return _planned(params)
    if params["follow"]:
        return _answer(True, chosen, **_follow(params))
    if chosen.is_proven:
        last = [proof for proof in chosen.proofs if proof.get("passed")][-1]
        return _answer(False, chosen, proof=last)
    database = params["database"] or names.database_beside(
        chosen.manifest["database"], "proof", chosen.manifest["id"]
    )
    order = _order(params, target, chosen, database)
    if check_mode:
        return _answer(True, chosen, **_looked(order))
    result = _errand(params, order, restore.prove)
    return _answer(True, _again(params, chosen), **result)


def restored(params: Params, check_mode: bool) -> Result:
    target, chosen = _open(params, check_mode)
    if chosen is None:
        return _planned(params)
    if params["follow"]:
        return _answer(True, chosen, **_follow(params))
    database = _named(params)
    with postgres.session(target, "look") as server:
        existing = databases.find(server, database)
    if existing is not None and _holds(existing, chosen, params["replace"]):
        return _answer(False, chosen, database=database)
    order = _order(params, target, chosen, database)
    if check_mode:
        return _answer(True, chosen, database=database, **_looked(order))
    return _answer(True, chosen, **_errand(params, order, restore.restore))


def _holds(existing: databases.Database, chosen: shelf.Backup, may_replace: bool) -> bool:
    """Whether a database is the wanted copy already; raises if it is none that may be replaced."""
    mark = existing.mark
    cause, cure = "", "Choose another name"
    if mark is None:
        cause, cure = "it exists and was not made by us", "Choose another name, or drop it"
    elif mark.state in ("swapped", "before"):
        cause = "it is or was the live one"
    elif mark.state != "loading" and mark.backup == chosen.manifest["id"]:
        return True
    elif mark.state != "loading" and not may_replace:
        cause, cure = f"it holds backup {mark.backup}", "Drop it, or set replace"
    if cause:
        raise MigrationError("restore into", f"database {existing.name}", cause, cure)
    return False


def swapped(params: Params, check_mode: bool) -> Result:
    target, chosen = _open_made(params)
    if params["follow"]:
        result = _follow(params)
        return _answer(True, chosen, text=loss.after_swap(result), **result)
    live = _live(params)
    with postgres.session(target, "look") as server:
        existing = databases.find(server, live)
    if existing is None:
        raise MigrationError(
            "swap", f"database {live}", "there is none of this name", "Restore it under this name"
        )
    mark = existing.mark
    if mark is not None and mark[:2] == (chosen.manifest["id"], "swapped"):
        return _answer(
            False, chosen, database=live, before=mark.other, text=f"{live} is this backup already."
        )
    order = _order(params, target, chosen, live)
    if check_mode:
        return _answer(True, chosen, database=live, **_foreseen(order, existing))
    if not params["confirmed_by"]:
        raise MigrationError(
            "swap",
            f"database {live}",
            f"every write since {chosen.manifest['created_at']} will be lost and nobody has confirmed that",
            "Set confirmed_by to the name of who decides",
        )
    result = _errand(params, order, restore.swap)
    return _answer(True, chosen, text=loss.after_swap(result), **result)


def swapped_back(params: Params, check_mode: bool) -> Result:
    target = _maintenance(params)
    live = _live(params)
    with postgres.session(target, "look") as server:
        existing = databases.find(server, live)
    if existing is None:
        raise MigrationError("swap back", f"database {live}", "there is none of this name")
    if existing.mark is None or existing.mark.state != "swapped":
        return {"changed": False, "database": live}
    if check_mode:
        with postgres.session(target, "look") as server:
            databases.ensure_endable(server, live)
        return {"changed": True, "database": live}
    return {"changed": True, **restore.swap_back(target, live)}


def absent(params: Params, check_mode: bool) -> Result:
    """A database that we made from a backup is gone; any other is refused."""
    target = _maintenance(params)
    database = _named(params)
    with postgres.session(target, "drop", autocommit=True) as server:
        existing = databases.find(server, database)
        if existing is None:
            return {"changed": False, "database": database}
        if existing.mark is None or existing.mark.state in ("swapped", "before"):
            raise MigrationError(
                "drop",
                f"database {database}",
                "it is not a copy that we made",
                "Drop it by hand if it is not needed",
            )
        if not check_mode:
            databases.drop(server, database)
    return {"changed": True, "database": database}


def readiness(params: Params, check_mode: bool) -> Result:
    """Only looks; what cannot be reached is a line, not a failure."""
    needs = params["needs"] or {}
    lines = preflight.target_lines(
        _maintenance(params), needs, params["data_folder"] or "", params["client_folder"] or ""
    )
    return {"changed": False, "readiness": lines + preflight.key_lines(params["store"])}


def _maintenance(params: Params) -> postgres.Target:
    """The way to the server by a database that nothing is done to, whatever login_url names."""
    return postgres.target_from(params).for_database(params["maintenance_db"])


def _open(params: Params, may_be_planned: bool = False) -> tuple[postgres.Target, shelf.Backup | None]:
    """The backup that is meant; in check mode a run may have none yet, for making it was only a plan."""
    if may_be_planned and params["run_id"] and not params["backup_id"]:
        place = store.open_store(params["store"])
        place.check()
        return _maintenance(params), shelf.find_by_run(place, params["run_id"])
    return _open_made(params)


def _open_made(params: Params) -> tuple[postgres.Target, shelf.Backup]:
    """The backup that is meant and exists."""
    place = store.open_store(params["store"])
    place.check()
    return _maintenance(params), shelf.require(place, params["backup_id"] or "", params["run_id"] or "")


def _planned(params: Params) -> Result:
    backup: Result = {"id": "", "run_id": params["run_id"], "proven": False}
    return {"changed": True, "backup": backup, "outcome": manifests.outcome(backup)}


def _answer(changed: bool, chosen: shelf.Backup, **more: t.Any) -> Result:
    summary = chosen.summary()
    outcome: Result = manifests.outcome(summary)
    for name in ("before", "outage_seconds", "lost", "confirmed_by"):
        if name in more:
            outcome[name] = more[name]
    return {"changed": changed, "backup": summary, "outcome": outcome, **more}


def _live(params: Params) -> str:
    """The live database: the one that is named, or else the one that the login options name."""
    return str(params["database"] or postgres.target_from(params).dbname)


def _named(params: Params) -> str:
    if not params["database"]:
        raise MigrationError("choose", "a database", "none is named", "Set database")
    return str(params["database"])


def _order(params: Params, target: postgres.Target, chosen: shelf.Backup, database: str) -> restore.Order:
    return restore.Order(
        target=target,
        store_options=params["store"],
        backup=chosen,
        database=database,
        work_folder=params["work_folder"],
        client_folder=params["client_folder"] or "",
        jobs=params["jobs"],
        keep=params["keep"],
        confirmed_by=params["confirmed_by"] or "",
        key=keys.for_backup(chosen.manifest, params["store"]),
    )


def _looked(order: restore.Order, must_keep_ownership: bool = False) -> Result:
    """What check mode can tell: everything that would stop the work is looked at."""
    client.find(int(order.manifest["server"]["major"]), order.client_folder, order.target.ssl_mode)
    loading.ensure_whole(store.open_store(order.store_options), order.manifest)
    with postgres.session(order.target, "look") as server:
        terms = preflight.ensure_restorable(server, order.manifest, must_keep_ownership)
    return {"terms": terms.words}


def _foreseen(order: restore.Order, live: databases.Database) -> Result:
    """What a swap would cost, beside everything that would stop it."""
    looked = _looked(order, must_keep_ownership=True)
    with postgres.session(order.target, "look") as server:
        databases.ensure_endable(server, live.name)
        prediction = loss.predict(server, live.name, order.manifest, order.backup.proofs)
    lost: Result = {}
    if live.allows_connections:
        lost = loss.count(order.target.for_database(live.name), order.manifest, order.purpose, order.jobs)
    text = loss.before_swap(live.name, order.manifest, lost, prediction)
    return {**looked, "text": text, "lost": lost, "prediction": prediction}


def _errand(params: Params, order: restore.Order, act: t.Callable[..., Result]) -> Result:
    def work(reporter: t.Any, crew: t.Any, lost: t.Any) -> Result:
        reporter.update(backup_id=order.identifier)
        return act(order, watch.Progress(reporter.update), crew)

    return errand.run(params, _errand_name(params), work)


def _follow(params: Params) -> Result:
    return errand.follow(params, _errand_name(params))


def _errand_name(params: Params) -> str:
    """The same for every call of the same task, whatever the world looks like by then."""
    target = postgres.target_from(params)
    what = (
        params["state"],
        target.host,
        params["database"] or "",
        params["backup_id"] or params["run_id"] or "",
    )
    return names.slug("-".join(word for word in what if word))


def _again(params: Params, chosen: shelf.Backup) -> shelf.Backup:
    found = shelf.find(store.open_store(params["store"]), chosen.manifest["id"])
    return found or chosen
