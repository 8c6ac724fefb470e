# SPDX-License-Identifier: GPL-3.0-or-later
"""The older server is really the older one."""

from __future__ import annotations

from integration.conftest import Postgres


def test_it_is_15(postgres_15: Postgres) -> None:
    assert postgres_15.server.execute("SHOW server_version_num")[0][0].startswith("15")
