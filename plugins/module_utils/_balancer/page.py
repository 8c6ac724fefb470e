# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The maintenance page: two entries of a map that the balancer's own rules read at each request."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

STATE_KEY: t.Final = "state"
TEXT_KEY: t.Final = "page"


class Pages(t.Protocol):
    """A balancer whose rules read a map."""

    @property
    def name(self) -> str: ...
    def map_entries(self, name: str) -> dict[str, str]: ...
    def set_map_entry(self, name: str, key: str, value: str, is_new: bool) -> None: ...


@dataclass(frozen=True)
class Page:
    """What visitors should see; without ``text`` the text stays what it is."""

    map_name: str
    state: str
    text: str = ""

    def entries(self) -> dict[str, str]:
        """In the order in which they must be written: nobody sees the page before its text."""
        wanted = {TEXT_KEY: " ".join(self.text.split())} if self.text else {}
        return {**wanted, STATE_KEY: self.state}


def _shown(entries: t.Mapping[str, str], page: Page) -> dict[str, str]:
    return {key: entries.get(key, "") for key in page.entries()}


def _write(balancer: Pages, page: Page, entries: t.Mapping[str, str]) -> None:
    for key, value in page.entries().items():
        if entries.get(key) != value:
            balancer.set_map_entry(page.map_name, key, value, is_new=key not in entries)


def switch(balancers: t.Sequence[Pages], page: Page, check_mode: bool) -> dict[str, t.Any]:
    """The page on or off on all balancers; when one refuses, those before it are put back."""
    before = [balancer.map_entries(page.map_name) for balancer in balancers]
    after = [{**entries, **page.entries()} for entries in before]
    if not check_mode:
        done = []
        try:
            for balancer, entries in zip(balancers, before):
                done.append((balancer, entries))
                _write(balancer, page, entries)
            after = [balancer.map_entries(page.map_name) for balancer in balancers]
        except MigrationError:
            for balancer, entries in done:
                if STATE_KEY in entries:
                    balancer.set_map_entry(page.map_name, STATE_KEY, entries[STATE_KEY], is_new=False)
            raise
    names = [balancer.name for balancer in balancers]
    was = {name: _shown(entries, page) for name, entries in zip(names, before)}
    now = {name: _shown(entries, page) for name, entries in zip(names, after)}
    return {"changed": was != now, "state": page.state, "diff": {"before": was, "after": now}}
