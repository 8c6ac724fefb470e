# SPDX-License-Identifier: GPL-3.0-or-later
"""One backup that is struck, what it left, and the same backup again."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
import typing as t
from pathlib import Path

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from chaos.data.faults import unclear
from integration.archive_world import World

_NUMBERS = itertools.count(1)


class Trial:
    """A store's folder and a run of their own, on a database that many trials share."""

    def __init__(self, pattern: World, store: dict[str, t.Any]) -> None:
        number = next(_NUMBERS)
        options = dict(store, prefix=f"{number}/")
        self.honest = World(pattern.postgres, pattern.target, options, pattern.folder / str(number))
        self.honest.client_folder = pattern.client_folder

    def strike_worker(self, name: str) -> None:
        """End the detached process, from wherever this is called."""
        (report,) = Path(self.honest.folder / "work").glob("back_up-*.json")
        os.kill(json.loads(report.read_text())["pid"], signal.Signals[name])

    def faults(
        self, heal: t.Callable[[], None], can_tidy: bool = False, **options: t.Any
    ) -> tuple[str, list[str]]:
        """How the struck backup ended, and everything that is wrong with that.

        ``can_tidy``: it lives and reaches its store, so a failure leaves nothing for the next one to sweep.
        """
        words, found = "", []
        try:
            self.honest.backup(**options)
        except MigrationError as exc:
            words = str(exc)
            found += unclear({"failed": True, "msg": words})
            found += ["two lines"] if "\n" in words else []
        listed = self.honest.info()
        if not words and not listed:
            found.append("a success without a backup")
        if words and can_tidy:
            found += [f"not tidied up: {key}" for key in self.honest.objects()]
            found += [f"not given up: {upload.key}" for upload in self.honest.place().pending()]
        # A process may die between the manifest and its last word: then there is a backup, and it is whole.
        found += self._torn("what the struck one left")
        found += [f"a session is left: {name}" for name in self._sessions()]
        heal()
        again = self.honest.backup()
        found += self._torn("what the next one made")
        if [one["id"] for one in self.honest.info()] != [again["backup"]["id"]]:
            found.append("the next one is not the only one that is listed")
        strangers = [key for key in self.honest.objects() if key.split("/")[1] != again["backup"]["id"]]
        found += [f"left behind: {key}" for key in strangers]
        found += [f"still pending: {upload.key}" for upload in self.honest.place().pending()]
        return words, found

    def _torn(self, what: str) -> list[str]:
        """What is listed can be restored: each of its objects is there, with its size and checksum."""
        if not self.honest.info():
            return []
        try:
            self.honest.restore(check_mode=True)
        except MigrationError as exc:
            return [f"{what} looks like a backup: {exc}"]
        return []

    def _sessions(self) -> list[str]:
        """The server needs a moment to notice that a client is gone."""
        ends = time.monotonic() + 10
        while self.honest.sessions() and time.monotonic() < ends:
            time.sleep(0.02)
        return self.honest.sessions()
