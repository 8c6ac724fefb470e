# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may not leave the journal: secrets, and personal data beyond ids and the names of those who acted."""

from __future__ import annotations

import re
import typing as t

_SECRET_NAME = re.compile(
    r"passw|secret|token|api_?key|access_?key|private|credential|authorization|cookie|dsn", re.I
)
_URL_LOGIN = re.compile(r"([a-z][a-z0-9+.-]*://)[^\s/@]*@", re.I)
_ASSIGNED_SECRET = re.compile(r"\b(password|passwd|token|secret|api_?key)(\s*[=:]\s*)\S+", re.I)
_MAIL_ADDRESS = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
# A value of a row, as the server shows it in an error about a key.
_KEY_VALUE = re.compile(r"(Key \([^)]*\)=)\(.*?\)(?= |\.|$)")
_MASK: t.Final = "[removed]"
_DEEPEST: t.Final = 12


def redact(value: t.Any, depth: int = 0) -> t.Any:
    """The same structure without what may not be shown. Numbers, ids and names of things stay."""
    if depth > _DEEPEST:
        return _MASK
    if isinstance(value, dict):
        return {
            str(name): _MASK if _is_secret(str(name), inner) else redact(inner, depth + 1)
            for name, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [redact(inner, depth + 1) for inner in value]
    return redact_text(value) if isinstance(value, str) else value


def redact_text(text: str) -> str:
    text = _URL_LOGIN.sub(rf"\1{_MASK}@", text)
    text = _KEY_VALUE.sub(rf"\1({_MASK})", text)
    text = _ASSIGNED_SECRET.sub(rf"\1\2{_MASK}", text)
    return _MAIL_ADDRESS.sub(_MASK, text)


def _is_secret(name: str, value: t.Any) -> bool:
    # A count or a yes about a secret tells nothing of it.
    return bool(_SECRET_NAME.search(name)) and not isinstance(value, (bool, int, float, type(None)))
