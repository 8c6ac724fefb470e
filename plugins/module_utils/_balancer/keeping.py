# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts the process that keeps a lease, so that it outlives its run, its connection and its login."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._balancer import keeper, lease_file
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import worker

_PACKAGE: t.Final = "ansible_collections"
_START_SECONDS: t.Final = 15.0
_SYSTEMD: t.Final = "/run/systemd/system"

# Leaves the session and the process that started it, so that neither a lost connection nor the end of a
# play takes it along.
_LEAVE: t.Final = (
    "import os, sys\n"
    "if os.fork(): os._exit(0)\n"
    "os.setsid()\n"
    "if os.fork(): os._exit(0)\n"
    "os.chdir('/')\n"
    "os.execv(sys.argv[1], sys.argv[1:])\n"
)


def _is_needed(name: str) -> bool:
    """It asks balancers and the application; whatever else the run was given is not its business."""
    return name in ("PATH", "HOME") or name.startswith("AWS_")


def import_root(own_file: str, folder: str) -> str:
    """Where the keeper finds its code. Ansible runs a module from an archive that is gone a moment later,
    so that is copied beside the leases."""
    root = own_file.rpartition(os.sep + _PACKAGE + os.sep)[0]
    if not os.path.isfile(root):
        return root
    with open(root, "rb") as handle:
        digest = hashlib.sha256(handle.read()).hexdigest()[:16]
    copy = os.path.join(folder, f"keeper-{digest}.zip")
    if not os.path.exists(copy):
        shutil.copyfile(root, f"{copy}.draft")
        os.replace(f"{copy}.draft", copy)
    return copy


def command(path: str, token: str, root: str, has_systemd: bool) -> t.List[str]:
    """How the keeper is started. Under systemd it is a unit of its own: at a logout systemd may end
    whatever still belongs to the session, in whatever process group it is."""
    run = [sys.executable, "-m", keeper.__name__, path, token]
    if has_systemd:
        unit = f"emailai-lease-{hashlib.sha256((path + token).encode()).hexdigest()[:16]}"
        return ["systemd-run", "--quiet", "--collect", f"--unit={unit}", f"--setenv=PYTHONPATH={root}", *run]
    return [sys.executable, "-S", "-E", "-c", _LEAVE, *run]


def has_systemd() -> bool:
    """Whether systemd runs here and takes orders from this user."""
    return os.geteuid() == 0 and os.path.isdir(_SYSTEMD) and shutil.which("systemd-run") is not None


def is_kept(path: str, token: str) -> bool:
    """Whether a living process keeps this lease for this token."""
    sign = lease_file.read_sign(keeper.sign_path(path))
    return sign.get("token") == token and worker.is_alive({"state": "running", **sign})


def start(path: str, token: str) -> None:
    """Returns once the keeper has said that it is there."""
    root = import_root(os.path.abspath(__file__), os.path.dirname(path))
    environment = {name: value for name, value in os.environ.items() if _is_needed(name)}
    environment["PYTHONPATH"] = root
    words = ""
    try:
        done = subprocess.run(
            command(path, token, root, has_systemd()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=_START_SECONDS,
            check=False,
        )
        words = f"its starter ended with {done.returncode}" if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as exc:
        words = str(exc)
    deadline = time.monotonic() + _START_SECONDS
    while not words and not is_kept(path, token):
        if time.monotonic() >= deadline:
            words = f"it did not report within {_START_SECONDS:g} s"
        time.sleep(0.005)
    if words:
        raise MigrationError(
            "start", "the keeper of the lease", words, f"Read {keeper.log_path(path)}; nothing was drained"
        )
