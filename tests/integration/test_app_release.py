# SPDX-License-Identifier: GPL-3.0-or-later
"""app_release on real folders: whole or not at all, and idempotent."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import typing as t
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from integration.haproxy_fixture import ROOT, run_module


@dataclass
class Host:
    """A folder of releases, artifacts beside it, and a command that notes each restart."""

    folder: Path
    artifacts: Path
    notes: Path

    def artifact(
        self, name: str, size: int = 100, extra: t.Sequence[tarfile.TarInfo] = ()
    ) -> tuple[str, str]:
        path = self.artifacts / f"{name}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for number in range(20):
                content = os.urandom(size)
                member = tarfile.TarInfo(f"lib/file-{number}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            for member in extra:
                archive.addfile(member)
        return str(path), sha256(path.read_bytes()).hexdigest()

    @property
    def restart_command(self) -> list[str]:
        script = f"open({str(self.notes)!r}, 'a').write('restarted\\n')"
        return [sys.executable, "-S", "-c", script]

    @property
    def restarts(self) -> int:
        return len(self.notes.read_text().splitlines()) if self.notes.exists() else 0

    def ask(self, name: str, state: str, check_mode: bool = False, **more: t.Any) -> dict[str, t.Any]:
        params = {
            "name": name,
            "folder": str(self.folder),
            "state": state,
            "restart_command": self.restart_command,
        }
        return run_module("app_release", {**params, **more}, check_mode)

    def put(self, name: str, state: str = "current") -> dict[str, t.Any]:
        path, digest = self.artifact(name)
        return self.ask(name, state, artifact=path, sha256=digest)

    def tree(self) -> list[tuple[str, str]]:
        """Every path with the content of a file or the target of a link."""
        return sorted(
            (str(path.relative_to(self.folder)), os.readlink(path) if path.is_symlink() else "")
            for path in self.folder.rglob("*")
        )


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "artifacts").mkdir()
    return Host(tmp_path / "srv", tmp_path / "artifacts", tmp_path / "notes")


def test_each_state_four_times(host: Host) -> None:
    path, digest = host.artifact("v1")
    for state in ("present", "current"):
        before = host.tree()
        promised = host.ask("v1", state, check_mode=True, artifact=path, sha256=digest)
        assert promised["changed"]
        assert host.tree() == before
        done = host.ask("v1", state, artifact=path, sha256=digest)
        assert done["changed"]
        assert done["diff"] == promised["diff"]
        after = host.tree()
        assert not host.ask("v1", state, check_mode=True, artifact=path, sha256=digest)["changed"]
        assert not host.ask("v1", state)["changed"]
        assert host.tree() == after
    assert host.restarts == 1
    assert (host.folder / "current" / "lib" / "file-7").exists()
    host.put("v2")
    host.put("v3")
    assert host.ask("v1", "absent", check_mode=True)["changed"]
    assert (host.folder / "releases" / "v1").exists()
    assert host.ask("v1", "absent")["removed"] == ["v1"]
    assert not (host.folder / "releases" / "v1").exists()
    assert not host.ask("v1", "absent", check_mode=True)["changed"]
    assert not host.ask("v1", "absent")["changed"]


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_wrong_checksum_changes_nothing(host: Host, check_mode: bool) -> None:
    host.put("v1")
    before = host.tree()
    path, _ignored = host.artifact("v2")
    failed = host.ask("v2", "current", check_mode, artifact=path, sha256="0" * 64)
    assert failed["failed"]
    assert "its sha256 is" in failed["msg"]
    assert host.tree() == before
    assert host.restarts == 1


@pytest.mark.parametrize("name", ["../v2", "a/b", ".hidden", "", "-rf"])
def test_a_name_cannot_leave_the_folder(host: Host, name: str) -> None:
    assert host.put("v1")["changed"]
    failed = host.ask(name, "absent")
    assert failed["failed"]
    assert "one plain folder name" in failed["msg"]


@pytest.mark.parametrize("member", ["../../outside", "/outside"])
def test_an_archive_cannot_write_outside(host: Host, member: str) -> None:
    path, digest = host.artifact("v1", extra=[tarfile.TarInfo(member)])
    answer = host.ask("v1", "present", artifact=path, sha256=digest)
    assert not (host.folder / "outside").exists()
    assert not (host.folder.parent / "outside").exists()
    assert not Path("/outside").exists()
    # A leading slash is dropped as tar does; a way upwards is refused, and nothing is left of it.
    assert bool(answer.get("failed")) == member.startswith("..")
    if answer.get("failed"):
        assert list((host.folder / "releases").iterdir()) == []


def test_a_broken_archive_leaves_nothing(host: Host) -> None:
    path, _ignored = host.artifact("v1", size=50_000)
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[: len(whole) // 2])
    failed = host.ask("v1", "present", artifact=path, sha256=sha256(whole[: len(whole) // 2]).hexdigest())
    assert failed["failed"]
    assert list((host.folder / "releases").iterdir()) == []


def test_going_back_needs_no_artifact(host: Host) -> None:
    host.put("v1")
    host.put("v2")
    back = host.ask("v1", "current")
    assert (back["before"], back["after"], back["previous"]) == ("v2", "v1", "v2")
    assert host.restarts == 3


def test_a_release_somebody_else_put_there_can_be_gone_back_to(host: Host) -> None:
    (host.folder / "releases" / "v0").mkdir(parents=True)
    (host.folder / "current").symlink_to("releases/v0")
    host.put("v1")
    host.put("v2")
    assert host.ask("v0", "current")["after"] == "v0"


def test_a_half_release_is_done_again(host: Host) -> None:
    half = host.folder / "releases" / "v1"
    half.mkdir(parents=True)
    (half / "rest").write_text("of an interrupted copy")
    assert host.ask("v1", "current")["failed"]
    host.put("v1")
    assert not (host.folder / "current" / "rest").exists()


def test_pruning_spares_the_current_and_the_one_to_go_back_to(host: Host) -> None:
    for number in range(1, 6):
        path, digest = host.artifact(f"v{number}")
        host.ask(f"v{number}", "present", artifact=path, sha256=digest)
    host.ask("v1", "current", keep_releases=0)
    done = host.ask("v2", "current", keep_releases=1)
    assert done["removed"] == ["v3", "v4"]
    assert done["releases"] == ["v1", "v2", "v5"]


def test_another_artifact_under_a_name_in_use_is_refused(host: Host) -> None:
    host.put("v1")
    path, digest = host.artifact("v1")
    failed = host.ask("v1", "present", artifact=path, sha256=digest)
    assert "another artifact" in failed["msg"]


def test_a_restart_that_failed_is_owed_and_made_up_for(host: Host) -> None:
    host.put("v1")
    host.put("v2", "present")
    failed = host.ask("v2", "current", restart_command=["false"])
    assert failed["msg"] == "Cannot restart the application with false: it ended with 1."
    assert not host.ask("v2", "present")["is_current"]
    assert host.ask("v2", "current", check_mode=True)["restarted"]
    assert host.ask("v2", "current")["restarted"]
    assert not host.ask("v2", "current")["changed"]


def test_a_restart_command_has_an_end(host: Host) -> None:
    failed = host.ask(
        "v1",
        "current",
        **dict(zip(("artifact", "sha256"), host.artifact("v1"), strict=True)),
        restart_command=["sleep", "30"],
        restart_timeout_seconds=0.3,
    )
    assert "did not end within 0.3 s" in failed["msg"]


# Kills itself at the n-th moment at which something has just become lasting, or is about to.
KILLED = """
import os, signal, sys
from ansible_collections.emailai.migration.plugins.module_utils._platform import server
from ansible_collections.emailai.migration.plugins.modules import app_release

left = int(sys.argv.pop())
flush = server._flush

def count_down(path):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    flush(path)

server._flush = count_down
app_release.main()
"""


def test_killed_at_any_moment_the_old_or_the_new_release_is_whole(host: Host) -> None:
    host.put("v1")
    path, digest = host.artifact("v2")
    wanted = {"artifact": path, "sha256": digest}
    params = {"name": "v2", "folder": str(host.folder), "state": "current", **wanted}
    arguments = json.dumps({"ANSIBLE_MODULE_ARGS": {**params, "restart_command": host.restart_command}})
    seen = []
    for moment in range(1, 20):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(moment)],
            input=arguments,
            capture_output=True,
            text=True,
            timeout=20,
            env={**os.environ, "PYTHONPATH": str(ROOT / "collections")},
            check=False,
        )
        seen.append((done.returncode, os.readlink(host.folder / "current")))
        assert len(list((host.folder / "current" / "lib").iterdir())) == 20
        for folder in (host.folder / "releases").glob("v*"):
            assert (folder / ".release.json").exists()
        again = host.ask("v2", "current", **wanted)
        assert (again["after"], again["is_current"]) == ("v2", True), again
        assert not list((host.folder / "releases").glob(".draft-*"))
        if done.returncode == 0:
            break
        host.ask("v1", "current")
        host.ask("v0", "current", artifact=path, sha256=digest)
        host.ask("v1", "current")
        host.ask("v2", "absent")
    assert len(seen) > 5, seen
    assert {code for code, _ignored in seen} == {-signal.SIGKILL, 0}
    assert {current for _ignored, current in seen} == {"releases/v1", "releases/v2"}
