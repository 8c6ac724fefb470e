# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a rendered text to a message that has gone out once."""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import dataclass, field

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import tables
from ansible_collections.emailai.migration.plugins.module_utils._message import record
from ansible_collections.emailai.migration.plugins.module_utils._message.channel import sender
from ansible_collections.emailai.migration.plugins.module_utils._message.letter import Letter, read_letter
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import (
    session,
    target_from,
)

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

# Message states: each is the answer to "did it go out, and because of whom".
SENT: t.Final = "sent"
KNOWN: t.Final = "known"
WOULD_BE_SENT: t.Final = "would_be_sent"
HELD: t.Final = "held"


@dataclass(frozen=True)
class Delivery:
    letter: Letter
    state: str
    is_noted: bool
    sent_at: str = ""
    detail: record.Detail = field(default_factory=dict)

    def as_result(self) -> dict[str, t.Any]:
        result: dict[str, t.Any] = {
            "changed": self.state in (SENT, WOULD_BE_SENT),
            "state": self.state,
            "is_noted": self.is_noted,
            "text": self.letter.text,
            "msg": self._sentence(),
        }
        if self.state == KNOWN:
            result["sent_at"] = self.sent_at
        if self.state == SENT:
            result["detail"] = self.detail
        return result

    def _sentence(self) -> str:
        name = f"Message '{self.letter.name}'"
        if self.state == KNOWN:
            return f"{name} went out at {self.sent_at} and is not sent again."
        if self.state == HELD:
            return f"{name} is not sent in a rehearsal."
        said = f"{name} would be sent." if self.state == WOULD_BE_SENT else f"{name} was sent."
        if self.detail.get("refused"):
            said += f" The mail server refused {self.detail['refused']} of its recipients."
        if not self.is_noted:
            said += " No database is named, so nothing keeps it from being sent again."
        return said


def deliver(params: t.Mapping[str, t.Any], check_mode: bool) -> Delivery:
    letter = read_letter(params["name"], params["text"])
    name = f"{params['name']}:{params['occasion']}" if params["occasion"] else params["name"]
    sending = record.Sending(params["run_id"], name, params["channel"])
    is_held = check_mode or params["is_rehearsal"]
    with _journal(params, is_held) as connection:
        send = sender(params, letter, sending, connection)
        known = record.sent(connection, sending) if connection is not None else None
        if known is not None:
            return Delivery(letter, KNOWN, True, sent_at=known["sent_at"])
        if is_held:
            state = HELD if params["is_rehearsal"] else WOULD_BE_SENT
            return Delivery(letter, state, connection is not None)
        if connection is None:
            return Delivery(letter, SENT, False, detail=send())
        return _send_noted(connection, letter, sending, send)


def _send_noted(
    connection: Connection, letter: Letter, sending: record.Sending, send: t.Callable[[], record.Detail]
) -> Delivery:
    is_ours = record.send_once(connection, sending, send)
    noted = record.sent(connection, sending)
    if noted is None:
        raise MigrationError(
            "note",
            f"message '{letter.name}'",
            "it went out, but its row is gone from the journal",
            kind="database",
        )
    sent_at = noted.pop("sent_at")
    return (
        Delivery(letter, SENT, True, detail=noted)
        if is_ours
        else Delivery(letter, KNOWN, True, sent_at=sent_at)
    )


@contextlib.contextmanager
def _journal(params: t.Mapping[str, t.Any], is_held: bool) -> t.Iterator[t.Optional[Connection]]:
    """A session on the journal, or None where no database is named."""
    if not (params["login_url"] or params["login_db"]):
        yield None
        return
    target = target_from(params)
    with session(target, "announcement") as connection:
        exists = tables.exist(connection)
        connection.commit()
        if not exists and not is_held:
            raise MigrationError(
                "send",
                f"message '{params['name']}'",
                f"database {target.label} has no journal in which it would be noted",
                "Open a run first, or name no database",
                kind="database",
            )
        yield connection if exists else None
