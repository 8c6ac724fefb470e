# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of a real database becomes three files that need nothing but themselves."""

from __future__ import annotations

import json
import stat
import typing as t
from pathlib import Path
from xml.etree import ElementTree

import pytest
from unit.report.sample import RUN

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target
from ansible_collections.emailai.migration.plugins.modules import migration_report
from integration.report_world import Result, conclude, fill, read


def render(found: Result, folder: Path, check_mode: bool = False, **options: t.Any) -> Result:
    params = {
        "document": found["document"],
        "folder": str(folder),
        "suffix": "",
        "hosts": [],
        "load_report": None,
    }
    return migration_report.run({**params, "limit": "-l prod", "is_rehearsal": False, **options}, check_mode)


@pytest.fixture
def database(postgres: t.Any) -> Target:
    target: Target = postgres.new_database()
    fill(target)
    return target


def test_no_text_of_a_quarantined_row_leaves_the_database(database: Target, tmp_path: Path) -> None:
    render(read(database), tmp_path)
    for path in tmp_path.iterdir():
        assert "jane" not in path.read_text("utf-8")


def test_a_report_is_written_in_check_mode_for_real_and_again(database: Target, tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    assert render(read(database), folder, check_mode=True)["changed"]
    assert not folder.exists()

    made = render(read(database), folder)
    assert made["changed"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "v1.9.0..v2.0.0-orgs-1.html",
        "v1.9.0..v2.0.0-orgs-1.json",
        "v1.9.0..v2.0.0-orgs-1.xml",
    ]
    assert "org-17, org-23" in Path(made["html_path"]).read_text("utf-8")
    assert json.loads(Path(made["json_path"]).read_text("utf-8"))["run"]["id"] == RUN
    assert ElementTree.parse(made["junit_path"]).getroot().tag == "testsuites"
    assert stat.S_IMODE(Path(made["html_path"]).stat().st_mode) == 0o640

    assert not render(read(database), folder, check_mode=True)["changed"]
    assert not render(read(database), folder)["changed"]


def test_a_load_report_is_drawn_and_a_broken_one_is_named(database: Target, tmp_path: Path) -> None:
    load = tmp_path / "load.json"
    load.write_text(
        '{"windows": [{"at": "2030-05-07T02:30:00Z", "requests": 5, "failed": 2, "p95_ms": 88}]}', "utf-8"
    )
    page = Path(render(read(database), tmp_path, load_report=str(load))["html_path"]).read_text("utf-8")
    assert "2 failed" in page
    for text in ("", "{", "[]", "7"):
        load.write_text(text, "utf-8")
        made = render(read(database), tmp_path, load_report=str(load))
        assert "load.json" in Path(made["json_path"]).read_text("utf-8")


def test_a_folder_that_cannot_be_written_is_a_sentence(database: Target, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(MigrationError, match=r"Cannot write report .*Set report_folder"):
        render(read(database), tmp_path / "file")


def test_the_report_shows_who_confirmed_and_what_comes_next(database: Target, tmp_path: Path) -> None:
    conclude(database)
    page = Path(render(read(database), tmp_path)["html_path"]).read_text("utf-8")
    assert "confirmed by Ada Lovelace" in page
    assert "2030-06-06" in page
