# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker Engine through its own command: images and containers. Its own settings say who logs in."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform import reference

_TAIL_CHARACTERS: t.Final = 400
# What engine and registry say of an image that is not there; everything else is no knowledge of it.
_NOT_THERE: t.Final = re.compile(
    r"manifest unknown|manifest for \S+ not found|name unknown|no such image|: not found$", re.IGNORECASE
)
_NAME_AND_PASSWORD: t.Final = re.compile(r"(?<=://)[^/\s@]+@")


@dataclass(frozen=True)
class Answer:
    """What a command came to; ``said`` is safe to be shown."""

    code: int
    output: str
    said: str

    @property
    def is_not_there(self) -> bool:
        return self.code != 0 and bool(_NOT_THERE.search(self.said))


def _words(complaints: str) -> str:
    """The end of what was said, without the name and password an address may hold."""
    lines = [line.strip() for line in complaints.splitlines() if line.strip()]
    return _NAME_AND_PASSWORD.sub("", " ".join(lines)[-_TAIL_CHARACTERS:])


def _text(stream: t.IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode("utf-8", "replace")


@dataclass(frozen=True)
class Engine:
    """The engine of one host.

    ``handles`` are the locks under which we work. A command holds them too: if we are killed, it goes
    on, and whoever comes next waits for it.
    """

    command: t.Sequence[str]
    folder: str
    timeout_seconds: float
    handles: t.Sequence[int] = ()

    def ask(self, *words: str, stdin: str = "", timeout_seconds: float = 0) -> Answer:
        """Run the command to its end, whatever that is."""
        program = [*self.command, *words]
        # Files, for a pipe would be held open by whatever outlives the command.
        kept = tempfile.TemporaryFile
        with kept() as given, kept() as out, kept() as err:
            given.write(stdin.encode())
            given.seek(0)
            try:
                child = subprocess.Popen(
                    program, cwd=self.folder, stdin=given, stdout=out, stderr=err,
                    pass_fds=tuple(self.handles), start_new_session=True,
                )  # fmt: skip
            except (OSError, IndexError) as exc:
                raise MigrationError(
                    "run", " ".join(self.command) or "the engine's command", str(exc),
                    "Install Docker Engine with Compose version 2, or name the command",
                ) from exc  # fmt: skip
            code = _wait(child, " ".join(words[:2]), timeout_seconds or self.timeout_seconds)
            return Answer(code, _text(out), _words(_text(err)))

    def tell(self, act: str, thing: str, *words: str, cure: str = "", timeout_seconds: float = 0) -> str:
        """Run the command, which must succeed."""
        answer = self.ask(*words, timeout_seconds=timeout_seconds)
        if answer.code != 0:
            raise MigrationError(act, thing, answer.said or f"it ended with {answer.code}", cure)
        return answer.output

    # -- images -------------------------------------------------------------

    def image(self, name: str) -> t.Optional[dict[str, t.Any]]:
        """An image of this host; None if it has none of that name."""
        answer = self.ask("image", "inspect", name)
        if answer.is_not_there:
            return None
        if answer.code != 0:
            raise MigrationError("look for", f"image {name}", answer.said)
        found: dict[str, t.Any] = json.loads(answer.output)[0]
        return found

    def registered(self, name: str) -> str:
        """The digest a registry has for a tag, '' if it has no such tag. Nothing is pulled."""
        # The engine asks, in its own way to the registry; what it answered stands behind the tag.
        question = json.dumps({"name": "question", "services": {"asked": {"image": name}}})
        answer = self.ask("compose", "-f", "-", "config", "--resolve-image-digests", "--format", "json",
                          stdin=question)  # fmt: skip
        if answer.is_not_there:
            return ""
        if answer.code != 0:
            raise MigrationError("ask the registry for", name, answer.said, "Nothing was changed")
        return reference.digest_of(json.loads(answer.output)["services"]["asked"]["image"])

    def pull(self, name: str) -> None:
        """By digest: what arrives under it has it, or the engine refuses it."""
        self.tell("pull", name, "pull", "--quiet", name, cure="Nothing that serves was changed")

    def forget(self, names: t.Sequence[str]) -> str:
        """Remove an image by all its names; '' or why that was refused."""
        answer = self.ask("image", "rm", *names)
        return "" if answer.code == 0 or answer.is_not_there else answer.said

    # -- containers ---------------------------------------------------------

    def containers(self, ids: t.Sequence[str]) -> list[dict[str, t.Any]]:
        """Containers as they are; one that has just gone is an error, for we hold the lock."""
        if not ids:
            return []
        found: list[dict[str, t.Any]] = json.loads(
            self.tell("look at", "the containers", "container", "inspect", *ids)
        )
        return found


def _wait(child: subprocess.Popen[bytes], what: str, timeout_seconds: float) -> int:
    try:
        return child.wait(timeout_seconds)
    except subprocess.TimeoutExpired as exc:
        # The command and what it has started, for a plugin is a process of its own.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        raise MigrationError(
            "wait for", f"docker {what}", f"it did not end within {timeout_seconds:g} s"
        ) from exc
