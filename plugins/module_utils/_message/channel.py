# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The four ways a message goes out, and the options each of them needs."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._message import (
    chat,
    mail,
    outbox,
    record,
    status_page,
)

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from ansible_collections.emailai.migration.plugins.module_utils._message.letter import Letter
    from ansible_collections.emailai.migration.plugins.module_utils._message.record import Detail, Sending

CHANNEL_OPTIONS: dict[str, dict[str, t.Any]] = {
    "smtp_host": {"type": "str", "default": "localhost"},
    "smtp_port": {"type": "int", "default": 587},
    "smtp_tls": {"type": "str", "choices": ["none", "starttls", "tls"], "default": "starttls"},
    "smtp_user": {"type": "str"},
    "smtp_password": {"type": "str", "no_log": True},
    "smtp_ca_cert": {"type": "path"},
    "sender": {"type": "str"},
    "recipients": {"type": "list", "elements": "str", "default": []},
    "reply_to": {"type": "str"},
    # Whoever knows the address may write into the chat.
    "chat_url": {"type": "str", "no_log": True},
    "folder": {"type": "path"},
    "status_page_url": {"type": "str", "default": "https://api.statuspage.io/v1"},
    "status_page_id": {"type": "str"},
    "status_page_key": {"type": "str", "no_log": True},
    "status_page_step": {"type": "str", "choices": ["opened", "updated", "resolved"]},
    "status_page_notifies": {"type": "bool", "default": False},
    "validate_certs": {"type": "bool", "default": True},
}

# What a channel cannot do without.
_NEEDS: t.Final[dict[str, tuple[str, ...]]] = {
    "mail": ("sender", "recipients"),
    "chat": ("chat_url",),
    "file": ("folder",),
    "status_page": ("status_page_id", "status_page_key", "status_page_step"),
}
CHANNELS: t.Final = tuple(_NEEDS)


def sender(
    params: t.Mapping[str, t.Any], letter: Letter, sending: Sending, connection: t.Optional[Connection]
) -> t.Callable[[], Detail]:
    """The act of sending, ready to be called; refuses now if an option is missing."""
    missing = [option for option in _NEEDS[sending.channel] if not params.get(option)]
    if missing:
        raise MigrationError(
            "send",
            f"message '{letter.name}' on channel {sending.channel}",
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set",
            "Set it, or take the channel out of announcement_channels",
            kind="message",
        )
    acts: dict[str, t.Callable[[], Detail]] = {
        "mail": lambda: mail.send(letter, _post(params), sending.key),
        "chat": lambda: chat.send(letter, params["chat_url"], params["validate_certs"]),
        "file": lambda: outbox.send(letter, params["folder"], sending.run_id, sending.name),
        "status_page": lambda: _publish(params, letter, sending, connection),
    }
    return acts[sending.channel]


def _post(params: t.Mapping[str, t.Any]) -> mail.Post:
    return mail.Post(
        host=params["smtp_host"],
        port=params["smtp_port"],
        tls=params["smtp_tls"],
        sender=params["sender"],
        recipients=params["recipients"],
        reply_to=params["reply_to"] or "",
        user=params["smtp_user"] or "",
        password=params["smtp_password"] or "",
        ca_path=params["smtp_ca_cert"] or "",
    )


def _publish(
    params: t.Mapping[str, t.Any], letter: Letter, sending: Sending, connection: t.Optional[Connection]
) -> Detail:
    step = params["status_page_step"]
    incident = (
        "" if connection is None or step == "opened" else record.incident_id(connection, sending.run_id)
    )
    page = status_page.Page(
        url=params["status_page_url"],
        page=params["status_page_id"],
        key=params["status_page_key"],
        notifies=params["status_page_notifies"],
        validate_certs=params["validate_certs"],
    )
    return dict(status_page.publish(letter, step, sending.run_id, incident, page), step=step)
