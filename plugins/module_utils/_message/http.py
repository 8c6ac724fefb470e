# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One JSON request and its answer. The address may hold a secret: no message repeats more than its host."""

from __future__ import annotations

import json
import typing as t
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from ansible.module_utils.urls import open_url

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError


def request(
    thing: str,
    url: str,
    document: t.Mapping[str, t.Any],
    method: str = "POST",
    headers: t.Optional[t.Mapping[str, str]] = None,
    validate_certs: bool = True,
) -> t.Any:
    """Send ``document``; returns the answer's JSON, or its text. Anything but 2xx is an error."""
    host = urlsplit(url).hostname or "an address without host"
    try:
        with open_url(
            url,
            data=json.dumps(document).encode(),
            headers=dict(headers or {}, **{"Content-Type": "application/json"}),
            method=method,
            timeout=15,
            validate_certs=validate_certs,
            http_agent="emailai.migration",
            # A redirected POST would arrive as a GET, and elsewhere.
            follow_redirects="none",
        ) as answer:
            text = answer.read(1_000_000).decode("utf-8", "replace")
    except HTTPError as exc:
        raise MigrationError(
            "send",
            thing,
            f"{host} answers {exc.code}",
            _CURES.get(exc.code, ""),
            kind="message",
            status=exc.code,
        ) from None
    except URLError as exc:
        raise MigrationError(
            "send", thing, f"{host} cannot be reached: {exc.reason}", kind="message"
        ) from None
    except (OSError, ValueError) as exc:
        raise MigrationError(
            "send", thing, f"{host} cannot be reached: {type(exc).__name__}", kind="message"
        ) from None
    try:
        return json.loads(text)
    except ValueError:
        return text


_CURES: t.Final = {
    401: "Check the key",
    403: "Check the key and its rights",
    404: "Check the address",
    410: "The address has been withdrawn: make a new one",
    420: "Too many requests: wait a minute and run it again",
    429: "Too many requests: wait a minute and run it again",
}
