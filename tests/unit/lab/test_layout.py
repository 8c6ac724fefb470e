# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a lab is: its ports, its folders, its secrets."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from lab.layout import APPS, Layout


def test_no_two_parts_share_a_port() -> None:
    layout = Layout(Path("/x"), 30_000)
    ports = layout.all_ports
    assert len(ports) == 19
    assert set(ports) <= set(range(30_000, 30_030))


def test_two_labs_share_nothing(tmp_path: Path) -> None:
    one, two = Layout(tmp_path / "one", 20_000), Layout(tmp_path / "two", 20_030)
    assert not set(one.all_ports) & set(two.all_ports)
    assert one.run != two.run


def test_the_run_folder_is_short_however_deep_the_lab(tmp_path: Path) -> None:
    layout = Layout(tmp_path / ("deep/" * 40), 20_000)
    # A socket's path may have 107 bytes.
    assert len(str(layout.run / "prod" / ".s.PGSQL.65535.lock")) < 107
    assert len(str(layout.run / "haproxy-master.sock")) < 107


def test_secrets_are_made_once_and_closed_to_others(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "lab", 20_000)
    assert not layout.is_made
    first = layout.secrets()
    assert layout.secrets() == first
    assert stat.S_IMODE(layout.secrets_file.stat().st_mode) == 0o600
    assert Layout(tmp_path / "other", 20_000).secrets()["roles"] != first["roles"]


def test_looking_makes_nothing(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "lab", 20_000)
    assert layout.run
    assert not (tmp_path / "lab").exists()


def test_removing_spares_what_others_put_there(tmp_path: Path) -> None:
    layout = Layout(tmp_path, 20_000)
    layout.secrets()
    layout.mail.mkdir()
    (tmp_path / "thesis.txt").write_text("mine")
    layout.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_environment_names_the_lab(tmp_path: Path) -> None:
    layout = Layout.from_environment(
        {"LAB_DIR": str(tmp_path), "LAB_PORT_BASE": "26000", "LAB_PROFILE": "nasty"}
    )
    assert (layout.folder, layout.port("prod"), layout.profile) == (tmp_path, 26000, "nasty")
    assert Layout.from_environment({}).port("front") == 25410
    with pytest.raises(ValueError, match="LAB_PROFILE"):
        Layout.from_environment({"LAB_PROFILE": "dirty"})


def test_profile_and_ports_are_written_down(tmp_path: Path) -> None:
    layout = Layout(tmp_path, 20_000, "nasty")
    layout.secrets()
    entry = json.loads(layout.secrets_file.read_text())
    assert (entry["port_base"], entry["profile"]) == (20_000, "nasty")
    assert [layout.port(name) for name in APPS] == [20_021, 20_022, 20_023, 20_024]
