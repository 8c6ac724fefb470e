# SPDX-License-Identifier: GPL-3.0-or-later
"""Mail as the application sees it: sent by SMTP, read from where the lab's sink stores it."""

from __future__ import annotations

import email
import email.policy
import email.utils
import smtplib
import typing as t
from email.message import EmailMessage
from pathlib import Path

_NEWEST = 200


def send(host: str, port: int, sender: str, to: str, subject: str, text: str) -> str:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message["Message-ID"] = email.utils.make_msgid(domain="emailai.example")
    message.set_content(text)
    with smtplib.SMTP(host, port, timeout=5) as server:
        server.send_message(message)
    return str(message["Message-ID"])


def read(folder: Path, address: str) -> list[dict[str, t.Any]]:
    """The newest messages to or from an address."""
    found = []
    for path in sorted(folder.glob("*.eml"), reverse=True)[:_NEWEST]:
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        if address in (message["X-Envelope-To"] or "") or address in (message["From"] or ""):
            entry = {name: str(message[name] or "") for name in ("Message-ID", "From", "To", "Subject")}
            found.append({name.lower().replace("-", "_"): value for name, value in entry.items()})
    return found


def delete(folder: Path, key: str) -> bool:
    """Throw one message away; whether it was there."""
    for path in sorted(folder.glob("*.eml"), reverse=True)[:_NEWEST]:
        if email.message_from_bytes(path.read_bytes(), policy=email.policy.default)["Message-ID"] == key:
            path.unlink(missing_ok=True)
            return True
    return False
