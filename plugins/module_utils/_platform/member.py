# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which members of a release's archive may be unpacked, and as what. Touches nothing.

Python's own filter "data" (PEP 706) forbids the same, but the Python of many a server is older than it. Every
rule here is about names alone: nothing is written through a link, and no link leads out of the folder.
"""

from __future__ import annotations

import posixpath
import tarfile
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

# Whoever unpacks owns what he unpacked; nobody else may write it, and nothing runs as its owner.
_MODE: t.Final = 0o755


def allowed(members: t.Iterable[tarfile.TarInfo], release: str) -> list[tarfile.TarInfo]:
    """The members with plain names, rights and no owner. The first that would leave the folder is refused."""
    kept: list[tarfile.TarInfo] = []
    files: set[str] = set()
    links: set[str] = set()
    folders: set[str] = set()
    for member in members:
        name = member.name = _plain(member.name)
        reason = _fault(member, files, links, folders)
        if reason:
            raise MigrationError(
                "unpack", f"release {release}", f"{name or 'a member'} {reason}", "Nothing was changed"
            )
        files.update([name] if member.isreg() else [])
        links.update([name] if member.issym() else [])
        folders.update([name] if member.isdir() else [], _parents(name))
        kept.append(_owned_by_nobody(member))
    return kept


def _plain(name: str) -> str:
    """Without the slash in front, as tar itself drops it."""
    return posixpath.normpath(name.lstrip("/"))


def _fault(member: tarfile.TarInfo, files: set[str], links: set[str], folders: set[str]) -> str:
    name = member.name
    if _leads_out(name) or (name == "." and not member.isdir()):
        return "leads out of the folder"
    if name in links or not links.isdisjoint(_parents(name)):
        return "would be written through a link"
    # Python would unpack the link's target in its place, and that again, without an end.
    if not files.isdisjoint(_parents(name)) or (member.issym() and name in folders):
        return "is not what the members before it make of that name"
    if member.issym():
        return _fault_of_link(name, member.linkname)
    if member.islnk():
        return "" if _plain(member.linkname) in files else "is a second name of no file in the archive"
    return "" if member.isreg() or member.isdir() else "is neither file, folder nor link"


def _fault_of_link(name: str, target: str) -> str:
    """Upwards first and only then down: a way up that follows a link could end anywhere."""
    parts = [part for part in target.split("/") if part not in ("", ".")]
    down = parts[len(_rises(parts)) :]
    if target.startswith("/") or ".." in down:
        return f"is a link to {target}, and only relative links that go up first are taken"
    if _leads_out(posixpath.normpath(posixpath.join(posixpath.dirname(name), target))):
        return f"is a link to {target}, which leads out of the folder"
    return ""


def _rises(parts: t.Sequence[str]) -> t.Sequence[str]:
    number = next((spot for spot, part in enumerate(parts) if part != ".."), len(parts))
    return parts[:number]


def _leads_out(path: str) -> bool:
    return path == ".." or path.startswith("../")


def _parents(name: str) -> t.Iterator[str]:
    while name := posixpath.dirname(name):
        yield name


def _owned_by_nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mode = member.mode & _MODE | (0o700 if member.isdir() else 0o600)
    # To chown, -1 is "as it is".
    member.uid = member.gid = -1
    member.uname = member.gname = ""
    if member.islnk():
        member.linkname = _plain(member.linkname)
    return member
