# SPDX-License-Identifier: GPL-3.0-or-later
"""A host whose Python is too old is told so before its folder is touched."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform.release import Order
from ansible_collections.emailai.migration.plugins.module_utils._platform.server import (
    Restart,
    Server,
    arrange,
)


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_python_that_cannot_contain_an_archive_unpacks_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check_mode: bool
) -> None:
    monkeypatch.delattr(tarfile, "data_filter")
    order = Order(name="v2", state="present", sha256="a" * 64, keep_releases=2)
    with pytest.raises(MigrationError, match=r"outside its folder\. Use Python 3\.9\.17"):
        arrange(Server(tmp_path), order, str(tmp_path / "v2.tar.gz"), Restart([], 5), check_mode)
    assert list(tmp_path.iterdir()) == []
