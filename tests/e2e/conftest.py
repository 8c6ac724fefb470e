# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab of its own for each module of end-to-end tests; it goes when the module ends."""

from __future__ import annotations

import shutil
import tempfile
import typing as t
from pathlib import Path

import pytest

from e2e.desk import Desk
from e2e.last_words import last_words


@pytest.fixture(scope="module")
def desk(request: pytest.FixtureRequest) -> t.Iterator[Desk]:
    """The lab is up and untouched; ``PROFILE`` of the module chooses its data."""
    folder = Path(tempfile.mkdtemp(prefix="emailai-e2e-"))
    folder.chmod(0o755)
    place = Desk(folder / "lab", getattr(request.module, "PROFILE", "clean"))
    try:
        place.lab("up")
        yield place
    finally:
        place.lab("load", "stop")
        place.lab("down")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> t.Generator[None, pytest.TestReport, pytest.TestReport]:
    """Beside a failure stands what the servers said: the lab is gone when somebody reads of it."""
    report = yield
    desk = getattr(item, "funcargs", {}).get("desk")
    if report.failed and isinstance(desk, Desk):
        report.sections.append(("the lab", last_words(desk.layout)))
    return report
