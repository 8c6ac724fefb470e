# SPDX-License-Identifier: GPL-3.0-or-later
"""Where everything in a lab is: its folders, its ports, its secrets."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import typing as t
from dataclasses import dataclass
from pathlib import Path

from lab import ground, postgres

REPOSITORY = Path(__file__).resolve().parents[2]
DEFAULT_PORT_BASE = 25400
APPS = ("app-1", "app-2", "app-3", "app-4")
RELEASE_BEFORE = "v1.9.0"
RELEASE_AFTER = "v2.0.0-orgs"
DATABASES = {"prod": "emailai_prod", "staging": "emailai_staging"}
BUCKET = "emailai-backups"
PROFILES = ("clean", "nasty")

# Offsets from the port base. 4 to 9 and 13 belong to the store's inner parts.
_OFFSETS = {
    "prod": 0,
    "replica": 1,
    "staging": 2,
    "store": 3,
    "front": 10,
    "stats": 11,
    "smtp": 12,
    "webhook": 20,
    **{name: 21 + number for number, name in enumerate(APPS)},
}
_STORE_OFFSETS = (3, 4, 5, 6, 7, 8, 9, 13)
_OURS = ("artifacts", "haproxy", "hosts", "load", "log", "mail", "pids", "store", "webhook", "work")
_ROLES = ("postgres", "emailai_owner", "emailai_writer", "emailai_reader", "emailai_app")


@dataclass(frozen=True)
class Layout:
    """One lab's places. Two labs with different ``folder`` and ``port_base`` never meet."""

    folder: Path
    port_base: int = DEFAULT_PORT_BASE
    profile: str = "clean"

    @staticmethod
    def from_environment(environment: t.Optional[t.Mapping[str, str]] = None) -> Layout:
        known = os.environ if environment is None else environment
        profile = known.get("LAB_PROFILE") or "clean"
        if profile not in PROFILES:
            raise ValueError(f"LAB_PROFILE is {profile!r}, it may be {' or '.join(PROFILES)}")
        folder = Path(known.get("LAB_DIR") or REPOSITORY / ".cache" / "lab")
        return Layout(folder.absolute(), int(known.get("LAB_PORT_BASE") or DEFAULT_PORT_BASE), profile)

    def port(self, part: str) -> int:
        return self.port_base + _OFFSETS[part]

    @property
    def store_ports(self) -> list[int]:
        return [self.port_base + offset for offset in _STORE_OFFSETS]

    @property
    def all_ports(self) -> list[int]:
        return sorted({*(self.port(part) for part in _OFFSETS), *self.store_ports})

    @property
    def run(self) -> Path:
        """The short folder of sockets and, because its user may not reach LAB_DIR, of PostgreSQL."""
        return Path(self.secrets()["run"]) if self.is_made else ground.run_folder(self.folder)

    @property
    def pids(self) -> Path:
        return self.folder / "pids"

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    @property
    def mail(self) -> Path:
        return self.folder / "mail"

    @property
    def webhooks(self) -> Path:
        return self.folder / "webhook" / "posts.jsonl"

    @property
    def load(self) -> Path:
        return self.folder / "load"

    @property
    def balancer(self) -> Path:
        return self.folder / "haproxy"

    @property
    def access_log(self) -> Path:
        return self.balancer / "access.log"

    @property
    def work(self) -> Path:
        """Where modules on the database's host keep their reports (migration_work_folder)."""
        return self.folder / "work"

    @property
    def public_url(self) -> str:
        return f"http://127.0.0.1:{self.port('front')}"

    def host(self, name: str) -> Path:
        return self.folder / "hosts" / name

    # -- secrets ------------------------------------------------------------

    @property
    def secrets_file(self) -> Path:
        return self.folder / "secrets.json"

    @property
    def is_made(self) -> bool:
        """Is there a lab, whole or in parts?"""
        return self.secrets_file.exists()

    def remove(self) -> None:
        """Remove what a lab makes, and the folder itself if nobody put anything else there."""
        for name in _OURS:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in ("secrets.json", "lock"):
            (self.folder / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def secrets(self) -> dict[str, t.Any]:
        """The lab's passwords and keys; made at the first call, then the same until ``down``."""
        if not self.secrets_file.exists():
            self._make_secrets()
        known: dict[str, t.Any] = json.loads(self.secrets_file.read_text())
        return known

    def _make_secrets(self) -> None:
        entry = {
            "profile": self.profile,
            # Written down, because TMPDIR may be another one the next time.
            "run": str(ground.run_folder(self.folder)),
            "port_base": self.port_base,
            "programs": str(postgres.programs()),
            "roles": {role: secrets.token_urlsafe(18) for role in _ROLES},
            "store": {"access_key": f"lab{secrets.token_hex(8)}", "secret_key": secrets.token_urlsafe(30)},
            "stats": {"user": "lab", "password": secrets.token_urlsafe(12)},
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.secrets_file.with_suffix(".draft")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(entry, indent=2))
        draft.replace(self.secrets_file)
