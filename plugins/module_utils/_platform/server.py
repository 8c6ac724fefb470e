# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases on a plain server: folders, a link that says which one counts, a command that restarts.

A release folder appears under its name in one step, whole and with its mark; the link moves in one
step. So whoever is killed, and whenever, leaves the old release or the new one, never half of one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.emailai.migration.plugins.module_utils import _folder_lock
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform import command, member, release

_MARK: t.Final = ".release.json"
_DRAFT: t.Final = ".draft-"
_BLOCK: t.Final = 1 << 20
# Python's own guard beside ours, where it has one.
_FILTER: t.Final[dict[str, t.Any]] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}


@dataclass(frozen=True)
class Restart:
    """How the application takes up what is current."""

    command: t.Sequence[str]
    timeout_seconds: float

    def run(self, folder: Path) -> None:
        command.run("restart the application", self.command, str(folder), self.timeout_seconds)


class Server:
    """The release folders below one root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.releases = root / "releases"

    def _link(self, name: str) -> str:
        """The release a link names, '' without one."""
        link = self.root / name
        if not link.is_symlink():
            if link.exists():
                raise MigrationError(
                    "read", str(link), "it is not a link", "Move it into releases/ and link it"
                )
            return ""
        target = self.root / os.readlink(link)
        if os.path.realpath(target.parent) != os.path.realpath(self.releases):
            raise MigrationError("read", str(link), f"it leads to {target}, which is not below releases/")
        return target.name

    def _digest(self, folder: Path) -> str | None:
        """The artifact's digest from the mark; None for a folder that was never finished."""
        try:
            mark = json.loads((folder / _MARK).read_text("utf-8"))
            return str(mark["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def look(self) -> release.Stand:
        """Read what is there."""
        current, previous = self._link("current"), self._link("previous")
        due = self.root / ".restart_due"
        folders = (
            [each for each in self.releases.iterdir() if each.is_dir() and not each.name.startswith(".")]
            if self.releases.is_dir()
            else []
        )
        folders.sort(key=lambda each: (_made(each), each.name))
        complete = {}
        for folder in folders:
            digest = self._digest(folder)
            if digest is None and folder.name in (current, previous):
                digest = ""  # Somebody else put it there, and it has served: it counts as whole.
            if digest is not None:
                complete[folder.name] = digest
        return release.Stand(
            current=current,
            previous=previous,
            restart_due=due.read_text("utf-8").strip() if due.exists() else "",
            complete=complete,
        )

    def _point(self, name: str, target: str) -> None:
        """Move a link in one step."""
        draft = self.root / f"{_DRAFT}{name}"
        draft.unlink(missing_ok=True)
        draft.symlink_to(Path("releases") / target)
        draft.replace(self.root / name)
        _flush(self.root)

    def _discard(self, folder: Path) -> None:
        """Out of sight in one step, then away: a half removed release must not look whole."""
        if folder.exists():
            grave = self.releases / f"{_DRAFT}gone-{folder.name}"
            shutil.rmtree(grave, ignore_errors=True)
            folder.rename(grave)
            shutil.rmtree(grave)

    def prepare(self) -> None:
        """The folders every server has."""
        self.releases.mkdir(parents=True, exist_ok=True)
        (self.root / "shared").mkdir(exist_ok=True)

    def sweep(self) -> None:
        """Remove what a killed process left; only under the lock, so it is nobody's work."""
        for folder in self.releases.glob(f"{_DRAFT}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def unpack(self, name: str, artifact: t.BinaryIO, sha256: str) -> None:
        """Unpack beside, mark, and give it its name last."""
        self.sweep()
        draft = self.releases / f"{_DRAFT}{name}"
        draft.mkdir(mode=0o755)
        try:
            with tarfile.open(fileobj=artifact) as archive:
                members = member.allowed(archive, name)
                archive.extractall(draft, members, **_FILTER)
        except MigrationError:
            self.sweep()
            raise
        except (tarfile.TarError, OSError, EOFError) as exc:
            self.sweep()
            raise MigrationError("unpack", f"release {name}", str(exc) or type(exc).__name__) from exc
        self._mark(draft, name, sha256)
        self._discard(self.releases / name)
        draft.rename(self.releases / name)
        _flush(self.releases)

    def _adopt(self, name: str) -> None:
        """Mark a release that somebody else put there: it has served, so it is whole and can serve again."""
        folder = self.releases / name
        if self._digest(folder) is None:
            made = _made(folder)
            self._mark(folder, name, "")
            os.utime(folder / _MARK, ns=(made, made))

    def _mark(self, folder: Path, name: str, sha256: str) -> None:
        draft = folder / f"{_DRAFT}mark"
        draft.write_text(json.dumps({"name": name, "sha256": sha256}), "utf-8")
        _flush(draft)
        draft.replace(folder / _MARK)

    def flip(self, name: str, before: str) -> None:
        """Make a release current. That a restart is due is written first, so that it is never forgotten."""
        if before:
            self._adopt(before)
        due = self.root / ".restart_due"
        due.write_text(name, "utf-8")
        _flush(due)
        if before:
            self._point("previous", before)
        self._point("current", name)

    def restarted(self) -> None:
        (self.root / ".restart_due").unlink(missing_ok=True)
        _flush(self.root)

    def remove(self, name: str) -> None:
        self._discard(self.releases / name)


def _made(folder: Path) -> int:
    """When a release was put there; the folder itself changes whenever the application writes into it."""
    mark = folder / _MARK
    return (mark if mark.exists() else folder).stat().st_mtime_ns


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _open_checked(path: str, sha256: str) -> t.BinaryIO:
    """The artifact, if it is the one that was asked for; the open file cannot be exchanged afterwards."""
    if not path or not sha256:
        raise MigrationError(
            "unpack", "the release", "it is not there, and no artifact with its sha256 is given"
        )
    try:
        artifact = open(path, "rb")  # noqa: SIM115 - the caller closes it
        digest = hashlib.sha256()
        for block in iter(lambda: artifact.read(_BLOCK), b""):
            digest.update(block)
    except OSError as exc:
        raise MigrationError("read", path, exc.strerror or str(exc)) from exc
    if digest.hexdigest() != sha256.lower():
        artifact.close()
        raise MigrationError(
            "unpack", path, f"its sha256 is {digest.hexdigest()}, not {sha256}", "Nothing was changed"
        )
    artifact.seek(0)
    return artifact


def _do(
    server: Server,
    order: release.Order,
    work: release.Work,
    before: release.Stand,
    artifact: str,
    restart: Restart,
) -> None:
    if work.unpack:
        with _open_checked(artifact, order.sha256) as stream:
            server.prepare()
            server.unpack(order.name, stream, order.sha256)
    if work.flip:
        server.flip(order.name, before.current)
    if work.restart:
        restart.run(server.root)
        server.restarted()
    for name in work.remove:
        server.remove(name)


def _nearest(folder: Path) -> Path:
    """The folder itself or the closest one above it that is there: what can be locked."""
    return next(each for each in (folder, *folder.parents) if each.is_dir())


def arrange(
    server: Server, order: release.Order, artifact: str, restart: Restart, check_mode: bool
) -> dict[str, t.Any]:
    """Look, decide, do, look again."""
    with _folder_lock.locked([str(_nearest(server.root.absolute()))], restart.timeout_seconds):
        before = server.look()
        work = release.plan(before, order)
        after = release.outcome(before, order, work)
        if check_mode:
            if work.unpack:
                _open_checked(artifact, order.sha256).close()
        else:
            _do(server, order, work, before, artifact, restart)
            found = server.look()
            if found.as_row() != after.as_row():
                raise MigrationError(
                    "arrange", str(server.root), f"it holds {found.as_row()} instead of {after.as_row()}"
                )
    was, now = before.as_row(), after.as_row()
    return {
        "changed": was != now or work.unpack or work.restart,
        "diff": {"before": was, "after": now},
        "before": before.current,
        "after": after.current,
        "previous": after.previous,
        "sha256": after.complete.get(after.current, ""),
        "releases": now["releases"],
        "unpacked": work.unpack,
        "restarted": work.restart,
        "removed": list(work.remove),
        "is_current": after.current == order.name and not after.restart_due,
    }
