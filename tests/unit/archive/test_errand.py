# SPDX-License-Identifier: GPL-3.0-or-later
"""How the failure of long work is told."""

from __future__ import annotations

import signal
import typing as t
from unittest import mock

import psycopg2
import pytest

from ansible_collections.emailai.migration.plugins.module_utils._archive import errand
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError


@pytest.fixture(autouse=True)
def own_signals() -> t.Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def ended_by(fault: Exception) -> None:
    errand._with_crew(mock.Mock(), mock.Mock(side_effect=fault), None)


def test_a_session_that_the_server_ended_is_told_in_one_sentence() -> None:
    fault = psycopg2.OperationalError("server closed the connection\n\tunexpectedly\n")
    with pytest.raises(MigrationError) as caught:
        ended_by(fault)
    assert str(caught.value) == (
        "Cannot finish the work: the server ended a session (server closed the connection unexpectedly)."
        " Run it again."
    )


def test_what_is_our_own_mistake_stays_one() -> None:
    with pytest.raises(ZeroDivisionError):
        ended_by(ZeroDivisionError())
