# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds HTML in which every text is escaped, because nothing else can be put in."""

from __future__ import annotations

import html
import re
import typing as t

_NAME = re.compile(r"[a-z][a-z0-9-]*\Z", re.I)
_EMPTY: t.Final = frozenset({"meta", "br", "hr", "rect", "line", "path", "circle"})


class Html(str):
    """Text that is markup already. Made here and in constants of ours, nowhere else."""

    __slots__ = ()


Child = t.Union[str, int, float, Html, None, t.Iterable[t.Any]]


def el(tag: str, *children: Child, **attributes: t.Any) -> Html:
    """An element. ``class_`` is class, underscores in other names are hyphens; None leaves out."""
    head = tag + "".join(_attribute(name, value) for name, value in attributes.items() if value is not None)
    if tag in _EMPTY and not children:
        return Html(f"<{head}>" if tag in ("meta", "br", "hr") else f"<{head}/>")
    return Html(f"<{head}>{join(children)}</{tag}>")


def join(children: Child) -> Html:
    """Markup stays, everything else is escaped."""
    if children is None:
        return Html("")
    if isinstance(children, Html):
        return children
    if isinstance(children, (str, int, float)):
        return Html(html.escape(printable(str(children)), quote=True))
    return Html("".join(join(child) for child in children))


def _attribute(name: str, value: t.Any) -> str:
    name = name.rstrip("_").replace("_", "-")
    if not _NAME.match(name) and name != "viewBox":
        raise ValueError(f"{name!r} is not a name of an attribute")
    return f' {name}="{html.escape(printable(str(value)), quote=True)}"'


def printable(text: str) -> str:
    """Control characters have no place in HTML or XML; neither do halves of surrogate pairs."""
    return "".join(
        char
        if (char >= " " and not "\ud800" <= char <= "\udfff" and char not in "\x7f\ufffe\uffff")
        or char in "\t\n"
        else "\ufffd"
        for char in text
    )
