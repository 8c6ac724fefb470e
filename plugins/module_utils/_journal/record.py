# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run remembers beside its phases: events, confirmations, baselines, artifacts, messages, the ledger.

Each kind says once what makes a second record the same one.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import acts, hold, lease, run

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.extensions import cursor as Cursor

    from ansible_collections.emailai.migration.plugins.module_utils._journal.view import Pair

Row = t.Dict[str, t.Any]


@dataclass(frozen=True)
class Record:
    """``name`` is the item, the host, the message's or the baseline's name; ``data`` what is known of it."""

    kind: str
    name: str
    phase: str = ""
    data: Row = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """``before`` is the row that stood already; ``after`` the one that stands now."""

    before: Row | None
    after: Row

    @property
    def changed(self) -> bool:
        return self.before != self.after


def write(
    connection: Connection, caller: hold.Caller, pair: Pair, records: t.Sequence[Record], check_mode: bool
) -> acts.Answer:
    """Note all or none under the latest run of the pair; in check mode say whether they stand already."""
    found = run.read(connection).latest(pair)
    if found is None:
        if check_mode:
            return _answer("", [(record, Outcome(None, record.data)) for record in records])
        raise MigrationError(
            "record",
            ", ".join(f"{record.kind} {record.name}" for record in records),
            f"no run of {pair.before}..{pair.after} was ever begun in this database",
            "Open a phase first, or plan the run",
        )
    with connection.cursor() as cursor:
        if caller.epoch is not None and not check_mode:
            _keep_lease(connection, cursor, caller)
        outcomes = [
            (record, _KINDS[record.kind](cursor, found, caller, record, check_mode)) for record in records
        ]
    if check_mode:
        connection.rollback()
    else:
        connection.commit()
    return _answer(found.id, outcomes)


def _keep_lease(connection: Connection, cursor: Cursor, caller: hold.Caller) -> None:
    """Fence, and stay alive at least as long as the lease does anyway."""
    held = lease.read(connection, hold.LEASE)
    if held is None or held.epoch != caller.epoch:
        raise hold.fenced("this run", held)
    cursor.execute(
        "UPDATE emailai_migration.lease SET heartbeat_at = clock_timestamp(), expires_at ="
        " greatest(expires_at, clock_timestamp() + make_interval(secs => %s))"
        " WHERE database = emailai_migration.here() AND name = %s AND epoch = %s AND detail <> '{}'",
        (caller.budget_seconds or lease.EXPIRY_SECONDS, hold.LEASE, held.epoch),
    )


def _answer(run_id: str, outcomes: t.Sequence[tuple[Record, Outcome]]) -> acts.Answer:
    """All by name; one alone in more detail."""
    answer: acts.Answer = {
        "changed": any(outcome.changed for _record, outcome in outcomes),
        "run_id": run_id,
        "records": {record.name: outcome.after for record, outcome in outcomes},
    }
    if len(outcomes) != 1:
        before = {record.name: outcome.before for record, outcome in outcomes if outcome.before}
        return {**answer, "diff": {"before": before, "after": answer["records"]}}
    [(record, outcome)] = outcomes
    return {
        **answer,
        "kind": record.kind,
        "name": record.name,
        "already_recorded": outcome.before is not None,
        "already_sent": record.kind == "message" and outcome.before is not None,
        "record": outcome.after,
        "diff": {"before": outcome.before or {}, "after": outcome.after},
    }


def _write_event(
    cursor: Cursor, found: t.Any, caller: hold.Caller, record: Record, check_mode: bool
) -> Outcome:
    """The story only grows: the same words twice happened twice."""
    if not check_mode:
        run.note(cursor, found.id, record.phase, "event", record.name, record.data)
    return Outcome(None, {"message": record.name, "detail": record.data})


def _write_confirmation(
    cursor: Cursor, found: t.Any, caller: hold.Caller, record: Record, check_mode: bool
) -> Outcome:
    """The first name stands: a later one did not confirm what was done on the first one's word."""
    person = str(record.data.get("by") or caller.owner)
    key = (found.id, record.name)
    before = _read(
        cursor, "confirmed_by, at::text", "confirmation", "run_id = %s AND item = %s", key, ("by", "at")
    )
    if before is not None:
        return Outcome(before, before)
    if not check_mode:
        cursor.execute(
            "INSERT INTO emailai_migration.confirmation (run_id, item, confirmed_by) VALUES (%s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (*key, person),
        )
    return Outcome(None, {"by": person})


def _write_baseline(
    cursor: Cursor, found: t.Any, caller: hold.Caller, record: Record, check_mode: bool
) -> Outcome:
    """The untouched system can be measured once; a resumed run must not measure the touched one."""
    key = (found.id, record.name)
    before = _read(cursor, "figures", "baseline", "run_id = %s AND name = %s", key, ("figures",))
    if before is not None:
        return Outcome(before, before)
    if not check_mode:
        cursor.execute(
            "INSERT INTO emailai_migration.baseline (run_id, name, figures) VALUES (%s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (*key, _json(record.data)),
        )
    return Outcome(None, {"figures": record.data})


def _write_artifact(
    cursor: Cursor, found: t.Any, caller: hold.Caller, record: Record, check_mode: bool
) -> Outcome:
    """What a host runs, by ``data.state``; the releases are the run's unless ``data`` names others."""
    data = dict(record.data)
    after = {
        "state": str(data.pop("state", "recorded")),
        "release_before": str(data.pop("release_before", found.release_before)),
        "release_after": str(data.pop("release_after", found.release_after)),
        "detail": data,
    }
    key = (found.id, record.name)
    names = tuple(after)
    before = _read(cursor, ", ".join(names), "artifact", "run_id = %s AND host = %s", key, names)
    if before != after and not check_mode:
        cursor.execute(
            """
            INSERT INTO emailai_migration.artifact
                   (run_id, host, state, release_before, release_after, detail)
            VALUES (%s, %s, %s, %s, %s, %s)
            ON CONFLICT (database, run_id, host) DO UPDATE
               SET state = excluded.state, release_before = excluded.release_before,
                   release_after = excluded.release_after, detail = excluded.detail, updated_at = now()
            """,
            (*key, after["state"], after["release_before"], after["release_after"], _json(data)),
        )
    return Outcome(before, after)


def _write_message(
    cursor: Cursor, found: t.Any, caller: hold.Caller, record: Record, check_mode: bool
) -> Outcome:
    """Once a run and channel."""
    data = dict(record.data)
    channel = str(data.pop("channel", "mail"))
    key = (found.id, record.name, channel)
    where = "run_id = %s AND name = %s AND channel = %s"
    before = _read(cursor, "channel, detail", "message", where, key, ("channel", "detail"))
    if before is not None:
        return Outcome(before, before)
    if not check_mode:
        cursor.execute(
            "INSERT INTO emailai_migration.message (run_id, name, channel, detail) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (*key, _json(data)),
        )
        if cursor.rowcount == 0:
            # Somebody else was faster by a moment; his is the one.
            after = _read(cursor, "channel, detail", "message", where, key, ("channel", "detail")) or {}
            return Outcome(after, after)
    return Outcome(None, {"channel": channel, "detail": data})


def _write_ledger(
    cursor: Cursor, found: t.Any, caller: hold.Caller, record: Record, check_mode: bool
) -> Outcome:
    """What was there before a change of ours. The same change of the same object is noted once."""
    data = record.data
    kind = str(data.get("kind") or "change")
    after = {"before": data.get("before"), "after": data.get("after")}
    cursor.execute(
        "SELECT before, after FROM emailai_migration.ledger WHERE database = emailai_migration.here()"
        " AND run_id = %s AND kind = %s AND object = %s ORDER BY id DESC LIMIT 1",
        (found.id, kind, record.name),
    )
    row = cursor.fetchone()
    before = {"before": row[0], "after": row[1]} if row else None
    if before != after and not check_mode:
        cursor.execute(
            "INSERT INTO emailai_migration.ledger (run_id, kind, object, before, after)"
            " VALUES (%s, %s, %s, %s, %s)",
            (found.id, kind, record.name, _json(after["before"]), _json(after["after"])),
        )
    return Outcome(before, after)


_KINDS: t.Final[dict[str, t.Callable[..., Outcome]]] = {
    "event": _write_event,
    "confirmation": _write_confirmation,
    "baseline": _write_baseline,
    "artifact": _write_artifact,
    "message": _write_message,
    "ledger": _write_ledger,
}
KINDS: t.Final = tuple(_KINDS)


def _read(
    cursor: Cursor, columns: str, table: str, where: str, key: tuple[t.Any, ...], names: tuple[str, ...]
) -> Row | None:
    cursor.execute(
        f"SELECT {columns} FROM emailai_migration.{table}"
        f" WHERE database = emailai_migration.here() AND {where}",
        key,
    )
    row = cursor.fetchone()
    return dict(zip(names, row)) if row else None


def _json(value: t.Any) -> t.Any:
    from psycopg2.extras import Json

    return Json(value)
