# SPDX-License-Identifier: GPL-3.0-or-later
"""The address that Prisma is given, and what of its words may be repeated."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target, parse_url
from ansible_collections.emailai.migration.plugins.module_utils._prisma.client import (
    Client,
    hidden,
    url_for,
)

TARGET = Target(host="db.internal", user="ow/ner", password="p@ss w/rd", dbname="e mail", schema="public")


def test_the_address_is_read_back_as_it_was() -> None:
    url = url_for(TARGET, 50)
    assert parse_url(url) == TARGET
    assert "options=-c%20lock_timeout%3D50" in url
    assert url_for(Target(host="::1", user="o", dbname="d"), 50).startswith("postgresql://o@[::1]:5432/d?")
    socket = Target(host="/run/postgresql", user="o", dbname="d")
    assert parse_url(url_for(socket, 50)).host == "/run/postgresql"


def test_no_spelling_of_the_password_is_repeated() -> None:
    said = hidden(f"{url_for(TARGET, 50)} p@ss w/rd p%40ss%20w%2Frd at db.internal", TARGET)
    assert said == "postgresql://******** ******** ******** at db.internal"


def test_a_command_that_does_not_end_is_ended_with_its_children(tmp_path: Path) -> None:
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_CHILD!r}])"
    client = Client((sys.executable, "-c", script), tmp_path, ("DATABASE_URL",), 2)
    with pytest.raises(MigrationError, match="it did not end within 2 s"):
        client.run(TARGET, 50)
    beats = (tmp_path / "beats").stat().st_size
    time.sleep(0.5)
    assert (tmp_path / "beats").stat().st_size == beats > 0


_CHILD = """
import time
for _ in range(600):
    open('beats', 'a').write('x')
    time.sleep(0.05)
"""


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    client = Client(("no-such-npx",), tmp_path, (), 5)
    with pytest.raises(MigrationError, match=r"no-such-npx.*Install Node"):
        client.run(TARGET, 50, "migrate", "deploy")
