# SPDX-License-Identifier: GPL-3.0-or-later
"""One engine and one registry for all tests of this tier; a test without them says what it misses."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from compose.docker import Docker, Registry, missing


@pytest.fixture(scope="session")
def docker() -> t.Iterator[Docker]:
    if reason := missing():
        pytest.skip(reason)
    engine = Docker()
    try:
        engine.up()
        engine.make_base()
        yield engine
    finally:
        engine.down()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Registry]:
    if reason := missing():
        pytest.skip(reason)
    server = Registry(Path(tmp_path_factory.mktemp("registry")))
    try:
        server.up()
        yield server
    finally:
        server.down()
