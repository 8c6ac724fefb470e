# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A letter as a line in a chat: the JSON that Slack's incoming webhooks take, and others after them."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils import _http

if t.TYPE_CHECKING:
    from ansible_collections.emailai.migration.plugins.module_utils._message.letter import Letter


def payload(letter: Letter) -> dict[str, str]:
    """https://docs.slack.dev/messaging/formatting-message-text: three characters are control characters."""
    subject, body = _escape(letter.subject), _escape(letter.body.strip())
    return {"text": f"*{subject}*\n{body}"}


def send(letter: Letter, url: str, validate_certs: bool = True) -> dict[str, t.Any]:
    thing = f"message '{letter.name}' to the chat"
    manner = _http.Manner("send", thing, "message", validate_certs=validate_certs)
    _http.request(manner, url, payload(letter))
    return {}


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
