# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's own sanity tests, on a copy of the collection, without a host that may be out of reach.

ansible-test fetches its installer for pip from a fixed host. A stand-in of a few
lines, put where it keeps the downloaded one, does the same from the interpreter's
own pip and the configured package index.
"""

from __future__ import annotations

import configparser
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

from check.export import PARENT, write_copy

HOME: t.Final = PARENT / "home"
FLOOR: t.Final = "3.9"

STAND_IN: t.Final = '''\
"""Install pip and what is asked for, from the interpreter's own pip and the configured index."""
import ensurepip
import os
import runpy
import sys

ensurepip.bootstrap()
os.environ.pop("PIP_CONFIG_FILE", None)  # ensurepip turns the configuration off, and leaves it off.
sys.argv = ["pip", "install"] + [one for one in sys.argv[1:] if one not in ("--no-setuptools", "--no-wheel")]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
'''


def find_pip_version() -> str:
    """The pip this release of ansible-test asks for; the stand-in must carry its name."""
    spec = importlib.util.find_spec("ansible_test")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("Cannot find ansible_test: ansible-core is not installed beside this Python.")
    source = Path(spec.submodule_search_locations[0]) / "_internal" / "python_requirements.py"
    found = re.search(r"^\s+pip='([0-9.]+)',$", source.read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise SystemExit(f"Cannot tell which pip ansible-test wants: {source} does not say it any more.")
    return found[1]


def write_stand_in() -> None:
    name = f"get_pip_{find_pip_version().replace('.', '_')}.py"
    target = HOME / ".ansible" / "test" / "cache" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(STAND_IN, "utf-8")


def write_pip_settings() -> None:
    """Hand on how this machine reaches its package index: ansible-test drops what the environment says."""
    said = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    ).stdout
    settings = configparser.RawConfigParser()
    for section, key, value in re.findall(r"^(:env:|\w+)\.([\w-]+)='(.*)'$", said, re.MULTILINE):
        name = "global" if section == ":env:" else section
        if not settings.has_section(name):
            settings.add_section(name)
        settings.set(name, key, value)
    target = HOME / ".config" / "pip" / "pip.conf"
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", encoding="utf-8") as file:
        settings.write(file)
    target.chmod(0o600)


def make_environment() -> dict[str, str]:
    """A home of its own, and nothing that would lead Ansible back to the checkout."""
    environment = {**os.environ, "HOME": str(HOME)}
    for confusing in ("ANSIBLE_CONFIG", "ANSIBLE_COLLECTIONS_PATH", "PYTHONPATH"):
        environment.pop(confusing, None)
    return environment


def find_floor() -> Path | None:
    """An interpreter as old as the oldest target, if this machine has one that starts."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    others = sorted(pyenv.glob(f"versions/{FLOOR}.*/bin/python{FLOOR}"))
    first = shutil.which(f"python{FLOOR}")
    for candidate in ([Path(first)] if first else []) + others:
        try:
            subprocess.run([candidate, "-c", ""], check=True, capture_output=True, timeout=30)
        except (OSError, subprocess.SubprocessError):
            continue
        return candidate
    return None


def run_sanity(copy: Path, environment: dict[str, str], *arguments: str) -> int:
    tool = Path(sys.executable).with_name("ansible-test")
    command = [sys.executable, str(tool), "sanity", "--local", "--color", "no", *arguments]
    done = subprocess.run(command, cwd=copy, env=environment, stdin=subprocess.DEVNULL, check=False)
    return done.returncode


def main() -> int:
    copy = write_copy()
    write_stand_in()
    write_pip_settings()
    environment = make_environment()
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    status = run_sanity(copy, environment, "--python", here)
    floor = find_floor()
    if floor is None:
        print(f"NOT RUN HERE: compile and import on Python {FLOOR}, the oldest target (no such interpreter)")
        return status
    environment["PATH"] = f"{floor.parent}{os.pathsep}{environment['PATH']}"
    tests = ("--test", "compile", "--test", "import", "--python", FLOOR)
    return run_sanity(copy, environment, *tests) or status


if __name__ == "__main__":
    sys.exit(main())
