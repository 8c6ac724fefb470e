# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sending a letter by SMTP: one transaction, so that it is sent to all or to none."""

from __future__ import annotations

import hashlib
import smtplib
import ssl
import typing as t
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, parseaddr

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

if t.TYPE_CHECKING:
    from ansible_collections.emailai.migration.plugins.module_utils._message.letter import Letter

# Every SMTP server takes this many (RFC 5321, 4.5.3.1.8); with more, one
# letter would need several transactions and could be sent by halves.
MOST_RECIPIENTS: t.Final = 100
_ACT: t.Final = "send"


@dataclass(frozen=True)
class Post:
    """Where the mail server is, how to talk to it, and between whom."""

    host: str
    port: int
    tls: str  # none, starttls or tls
    sender: str
    recipients: t.Sequence[str]
    reply_to: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    ca_path: str = ""
    timeout_seconds: float = 30


def compose(letter: Letter, post: Post, key: str) -> EmailMessage:
    """The message as it goes out. The same key makes the same Message-ID, so a repeat can be recognised."""
    domain = parseaddr(post.sender)[1].rpartition("@")[2]
    message = EmailMessage(policy=SMTP)
    message["Subject"] = letter.subject
    message["From"] = post.sender
    # Customers must not read each other's addresses.
    message["To"] = post.recipients[0] if len(post.recipients) == 1 else "undisclosed-recipients:;"
    if post.reply_to:
        message["Reply-To"] = post.reply_to
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.body)
    return message


def send(letter: Letter, post: Post, key: str) -> dict[str, t.Any]:
    """Hand the letter to the mail server; returns how many were accepted and how many refused."""
    thing = f"message '{letter.name}' by mail"
    _check(thing, post)
    message = compose(letter, post, key)
    try:
        with _session(post) as server:
            refused = server.send_message(
                message, from_addr=parseaddr(post.sender)[1], to_addrs=list(post.recipients)
            )
    except smtplib.SMTPRecipientsRefused as exc:
        code, text = next(iter(exc.recipients.values()))
        raise MigrationError(
            _ACT, thing, f"the mail server accepts no recipient ({code} {_line(text)})", kind="message"
        ) from None
    except smtplib.SMTPAuthenticationError as exc:
        raise MigrationError(
            _ACT,
            thing,
            f"the mail server refuses the login ({exc.smtp_code})",
            "Check user and password",
            kind="message",
        ) from None
    except (smtplib.SMTPException, OSError) as exc:
        raise MigrationError(
            _ACT,
            thing,
            f"{post.host}:{post.port}: {_line(exc)}",
            "Check the mail server's address and TLS",
            kind="message",
        ) from None
    return {"recipients": len(post.recipients) - len(refused), "refused": len(refused)}


def _session(post: Post) -> smtplib.SMTP:
    context = ssl.create_default_context(cafile=post.ca_path or None)
    if post.tls == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            post.host, post.port, timeout=post.timeout_seconds, context=context
        )
    else:
        server = smtplib.SMTP(post.host, post.port, timeout=post.timeout_seconds)
    try:
        if post.tls == "starttls":
            server.starttls(context=context)
        if post.user:
            server.login(post.user, post.password)
    except BaseException:
        server.close()
        raise
    return server


def _check(thing: str, post: Post) -> None:
    if len(post.recipients) > MOST_RECIPIENTS:
        raise MigrationError(
            _ACT,
            thing,
            f"{len(post.recipients)} recipients do not fit into one transaction of {MOST_RECIPIENTS}",
            "Give the address of a mailing list",
            kind="message",
        )
    for address in (post.sender, *post.recipients, *filter(None, [post.reply_to])):
        try:
            Address(addr_spec=parseaddr(address)[1])
            sound = "@" in parseaddr(address)[1] and "\n" not in address
        except (ValueError, IndexError):
            sound = False
        if not sound:
            raise MigrationError(_ACT, thing, f"{address!r} is not a mail address", kind="message")
    if post.user and post.tls == "none":
        raise MigrationError(
            _ACT,
            thing,
            "a password would travel in clear",
            "Set TLS to starttls or tls, or give no user",
            kind="message",
        )


def _line(reason: t.Any) -> str:
    text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    return " ".join(text.split())[:300]
