# SPDX-License-Identifier: GPL-3.0-or-later
"""The ground the lab stands on: free ports, short folders, and the user a server may run as."""

from __future__ import annotations

import hashlib
import os
import pwd
import random
import socket
import stat
import time
import typing as t
from pathlib import Path

# PostgreSQL refuses to run as root, and wants its user to have a name.
_UNPRIVILEGED = "nobody"


def free_port() -> int:
    """A port on loopback that nobody held a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(question: t.Callable[[], bool], seconds: float, what: str, pause: float = 0.05) -> None:
    """Ask until the answer is yes; the deadline is an error that names what was waited for."""
    deadline = time.monotonic() + seconds
    while not question():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {seconds:g} s")
        time.sleep(pause)


def short_root() -> Path:
    """Where socket folders go: a socket's path has at most 107 bytes, a clone's may have more."""
    for name in (os.environ.get("TMPDIR", ""), "/tmp", "/var/tmp"):
        path = Path(name or "/nowhere")
        if path.is_dir() and os.access(path, os.W_OK) and len(str(path)) <= 40 and is_open_to_all(path):
            return path
    raise RuntimeError("no short folder for sockets: neither TMPDIR nor /tmp nor /var/tmp can be used")


def run_folder(lab_dir: Path) -> Path:
    """The short twin of a lab's folder, the same for every process that knows LAB_DIR."""
    digest = hashlib.sha256(str(lab_dir.resolve()).encode()).hexdigest()[:10]
    return short_root() / f"emailai-lab-{digest}"


def make_run_folder(path: Path) -> None:
    """Make it passable for the servers' user, and refuse one that somebody else prepared."""
    path.mkdir(parents=True, exist_ok=True)
    if path.stat().st_uid != os.geteuid():
        raise RuntimeError(f"{path} belongs to somebody else")
    path.chmod(0o711)


def is_open_to_all(path: Path) -> bool:
    """May any user pass through to ``path`` and read it?"""
    wanted = stat.S_IXOTH
    return all(part.stat().st_mode & wanted for part in (path, *path.resolve().parents))


def server_user() -> dict[str, t.Any]:
    """Arguments for subprocess that drop root; an ordinary user keeps being himself."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(_UNPRIVILEGED)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def give_to_server(path: Path) -> None:
    """Let the server's user own a folder (nothing to do for an ordinary user)."""
    user = server_user()
    if user:
        os.chown(path, user["user"], user["group"])


def free_base(size: int = 30) -> int:
    """The first of ``size`` ports in a row that nobody listens on, below the kernel's own range."""
    for _attempt in range(100):
        base = random.randrange(20_000, 30_000, size)
        if not any(is_listening(base + offset) for offset in range(size)):
            return base
    raise RuntimeError(f"no {size} free ports in a row on loopback")
