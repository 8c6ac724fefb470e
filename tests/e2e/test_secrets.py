# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup with its proof, told at the highest verbosity, and nobody who looks finds a secret."""

from __future__ import annotations

import json
import os
import threading
import typing as t
from pathlib import Path

import pyrage
import pytest

from e2e.desk import Desk, Run
from integration.sampler import Sampler

KEY = str(pyrage.x25519.Identity.generate())
_ROLES = ("emailai_owner", "emailai_writer", "emailai_reader")
# How it is done elsewhere: the password in a command and in its environment, and a key that is printed.
CARELESS = """
- name: Do it as it is done elsewhere
  hosts: localhost
  connection: local
  gather_facts: false
  vars: {ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  tasks:
    - name: Hand the password over
      ansible.builtin.command:
        argv:
          - "{{ ansible_playbook_python }}"
          - -c
          - import time; time.sleep(1)
          - --password={{ password }}
      environment: {PGPASSWORD: "{{ password }}"}
    - name: Leave it in a file
      ansible.builtin.copy: {content: "{{ password }}", dest: "{{ folder }}/left", mode: "0644"}
"""


class FileWatch:
    """Looks into every file below these folders, all the time: which hold a secret, and with what mode."""

    def __init__(self, folders: list[Path], secrets: list[bytes]) -> None:
        self._folders, self._secrets = folders, secrets
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="files")
        self.seen: set[tuple[str, int]] = set()

    def __enter__(self) -> FileWatch:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def _run(self) -> None:
        while not self._over.wait(0.02):
            self._look()

    def _look(self) -> None:
        for folder in self._folders:
            for root, _folders, names in os.walk(folder):
                for name in names:
                    self._read(Path(root, name))

    def _read(self, path: Path) -> None:
        try:
            if path.is_file() and any(secret in path.read_bytes() for secret in self._secrets):
                self.seen.add((path.name, path.stat().st_mode & 0o777))
        except OSError:
            # It was there a moment ago.
            pass


class Watched(t.NamedTuple):
    run: Run
    processes: int
    files: set[tuple[str, int]]
    log: str


@pytest.fixture
def secrets(desk: Desk) -> list[bytes]:
    known = desk.layout.secrets()
    words = [known["roles"][role] for role in _ROLES]
    return [word.encode() for word in (*words, known["store"]["secret_key"], KEY, KEY.lower())]


@pytest.fixture
def watched(
    desk: Desk, secrets: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> t.Callable[..., Watched]:
    """Run a playbook at -vvvv while everything around it is looked at."""
    temporary, log = tmp_path / "tmp", tmp_path / "ansible.log"
    temporary.mkdir()
    for name, value in {
        "TMPDIR": temporary,
        "ANSIBLE_LOCAL_TEMP": temporary / "local",
        "ANSIBLE_REMOTE_TEMP": temporary / "remote",
        "ANSIBLE_LOG_PATH": log,
    }.items():
        monkeypatch.setitem(desk.environment, name, str(value))

    def play(playbook: str, variables: dict[str, t.Any], **options: t.Any) -> Watched:
        path = tmp_path / "variables" / "vault.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(variables))
        with (
            Sampler(secrets) as sampler,
            FileWatch([temporary, desk.layout.folder / "work"], secrets) as files,
        ):
            run = desk.play(playbook, "-vvvv", "-e", f"@{path}", **options).must_succeed()
        return Watched(run, sampler.hits, files.seen, log.read_text())

    return play


def test_a_backup_tells_no_secret(
    desk: Desk, watched: t.Callable[..., Watched], secrets: list[bytes]
) -> None:
    desk.play("playbooks/prepare.yml").must_succeed()
    store = "{{ lab_store | combine({'age_keys': ['" + KEY + "']}) }}"
    found = watched("playbooks/back_up.yml", {"backup_store": store})
    assert "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER" in found.run.output, "it was not verbose"
    assert '"encryption"' in found.run.output, "the backup was not encrypted"
    assert found.processes == 0
    # What a program of PostgreSQL reads while it runs is all there ever is, and only its user may read it.
    assert found.files == {("passfile", 0o600)}

    texts = {"output": found.run.output.encode(), "log": found.log.encode()}
    for name in ("log", "hosts", "work", "mail", "webhook"):
        for path in (desk.layout.folder / name).rglob("*"):
            if path.is_file():
                texts[str(path)] = path.read_bytes()
    query = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'emailai_migration'"
    for (table,) in desk.rows(query):
        texts[table] = repr(desk.rows(f'SELECT t::text FROM emailai_migration."{table}" t')).encode()
    assert len(texts) > 5
    told = sorted({name for name, text in texts.items() for secret in secrets if secret in text})
    assert told == []


def test_the_watchers_see_what_others_do(
    desk: Desk, watched: t.Callable[..., Watched], secrets: list[bytes], tmp_path: Path
) -> None:
    """The control: each of them has something to find, and finds it."""
    careless = tmp_path / "careless.yml"
    careless.write_text(CARELESS)
    password = secrets[0].decode()
    variables = {"password": password, "folder": str(tmp_path / "tmp")}
    found = watched(str(careless), variables, limit=None)
    assert found.processes > 0
    assert ("left", 0o644) in found.files
    assert password in found.run.output
    assert password in found.log
