# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in of its own for each test."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._platform.vercel import client
from lab.monitors import write_certificate
from vercel_world.stand_in import StandIn, running


@pytest.fixture(scope="session")
def _trust(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[None]:
    # To read the machine's hundred authorities for each request takes longer than all the rest.
    authority = tmp_path_factory.mktemp("trust") / "authority.pem"
    write_certificate(authority)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(authority))
        yield


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was lost is looked for during a second, not five."""
    monkeypatch.setattr(client, "_LOST_SECONDS", 1.2)


@pytest.fixture
def stand(_trust: None) -> t.Iterator[StandIn]:
    with running() as made:
        yield made
