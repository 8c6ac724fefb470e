# SPDX-License-Identifier: GPL-3.0-or-later
"""Release artifacts, and the four application hosts they are unpacked on."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import typing as t
from pathlib import Path
from urllib.parse import quote

from lab.layout import APPS, DATABASES, RELEASE_AFTER, RELEASE_BEFORE, REPOSITORY, Layout
from lab.service import Service

_SOURCE = REPOSITORY / "tests" / "lab_app"


def release(
    version: str, faults: t.Optional[dict[str, t.Any]] = None, is_marked: bool = True
) -> dict[str, t.Any]:
    """What a release says of itself. From v2 on it keeps organizations and marks its sessions."""
    organizations = int(version.lstrip("v").split(".")[0]) >= 2
    name = "emailai-orgs" if organizations and is_marked else "emailai-app"
    return {
        "version": version,
        "organizations": organizations,
        "application_name": name,
        "faults": faults or {},
    }


def build(folder: Path, entry: dict[str, t.Any]) -> Path:
    """``<version>.tar.gz`` and its ``.sha256``; the same entry gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{entry['version']}.tar.gz"
    content = _archive(entry)
    draft = path.with_suffix(".draft")
    draft.write_bytes(content)
    draft.replace(path)
    digest = hashlib.sha256(content).hexdigest()
    path.with_name(path.name + ".sha256").write_text(f"{digest}  {path.name}\n")
    return path


def _archive(entry: dict[str, t.Any]) -> bytes:
    files = {"release.json": json.dumps(entry, indent=2, sort_keys=True).encode()}
    files.update({f"lab_app/{path.name}": path.read_bytes() for path in sorted(_SOURCE.glob("*.py"))})
    raw = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return raw.getvalue()


class Fleet:
    """app-1 to app-4: release folders, settings, a service command."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def service(self, name: str) -> Service:
        return Service(self.layout.host(name))

    def up(self) -> None:
        """Make the hosts that are not there, start the services that do not run."""
        for version in (RELEASE_BEFORE, RELEASE_AFTER):
            if not (self.layout.artifacts / f"{version}.tar.gz.sha256").exists():
                build(self.layout.artifacts, release(version))
        for name in APPS:
            self._make(name)
            self.service(name).start()

    def down(self) -> None:
        """End all services; they are asked together, so the slowest one decides."""
        for name in APPS:
            self.service(name).ask_to_stop()
        for name in APPS:
            self.service(name).stop()

    def is_ready(self) -> bool:
        return all(self.service(name).is_healthy() for name in APPS)

    def unpack(self, name: str, version: str) -> None:
        """Put a release on a host and point ``current`` at it, as a deployment does."""
        host = self.layout.host(name)
        target = host / "releases" / version
        if not target.exists():
            draft = host / "releases" / f".{version}.draft"
            shutil.rmtree(draft, ignore_errors=True)
            with tarfile.open(self.layout.artifacts / f"{version}.tar.gz") as archive:
                # Python before 3.11.4 knows no filters; what is unpacked here is our own.
                safe: dict[str, t.Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
                archive.extractall(draft, **safe)
            draft.rename(target)
        link = host / "current.draft"
        link.unlink(missing_ok=True)
        link.symlink_to(Path("releases") / version)
        link.replace(host / "current")

    def set_faults(self, name: str, **faults: t.Any) -> None:
        """Break a host's application; without arguments, mend it. Read at its next request."""
        path = self.layout.host(name) / "shared" / "faults.json"
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(faults))
        draft.replace(path)

    def _make(self, name: str) -> None:
        host = self.layout.host(name)
        for folder in ("releases", "shared", "log"):
            (host / folder).mkdir(parents=True, exist_ok=True)
        self._write_settings(name)
        self._write_command(host)
        if not (host / "current").exists():
            self.unpack(name, RELEASE_BEFORE)

    def _write_settings(self, name: str) -> None:
        path = self.layout.host(name) / "shared" / "env"
        if path.exists():
            return
        password = quote(self.layout.secrets()["roles"]["emailai_app"], safe="")
        address = f"127.0.0.1:{self.layout.port('prod')}/{DATABASES['prod']}"
        lines = {
            "DATABASE_URL": f"postgresql://emailai_app:{password}@{address}?schema=public",
            "HOST_NAME": name,
            "PORT": self.layout.port(name),
            "MAIL_HOST": "127.0.0.1",
            "MAIL_PORT": self.layout.port("smtp"),
            "MAIL_FOLDER": self.layout.mail,
        }
        draft = path.with_suffix(".draft")
        draft.touch(mode=0o600)
        draft.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        draft.replace(path)

    def _write_command(self, host: Path) -> None:
        # A shell line, because the path of an interpreter may be longer than "#!" can hold.
        command = host / "service"
        place = f"PYTHONPATH={_shell(REPOSITORY / 'tests')}"
        line = f'{place} exec {_shell(sys.executable)} -m lab.service {_shell(host)} "$@"'
        command.write_text(f"#!/bin/sh\n# service start|stop|restart|status\n{line}\n")
        os.chmod(command, 0o755)


def _shell(path: t.Any) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"
