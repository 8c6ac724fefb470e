# SPDX-License-Identifier: GPL-3.0-or-later
"""The example inventory can be copied: it parses, and names nothing that does not exist."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from check.export import ROOT
from check.project import list_files, list_roles

EXAMPLE = ROOT / "inventories" / "example"
FILES = sorted(EXAMPLE.rglob("*.yml"))
KNOWN = {name for role in list_roles() for name in {*role.defaults, *role.options}}
PREFIXES = {role.name for role in list_roles()}


@pytest.fixture(scope="module")
def groups() -> dict[str, t.Any]:
    tool = Path(sys.executable).with_name("ansible-inventory")
    done = subprocess.run(
        [tool, "-i", EXAMPLE, "--list"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    listed: dict[str, t.Any] = json.loads(done.stdout)
    return listed


def _hosts(groups: dict[str, t.Any], name: str) -> set[str]:
    group = groups.get(name, {})
    return set(group.get("hosts", [])).union(*(_hosts(groups, child) for child in group.get("children", [])))


def test_every_host_is_of_one_kind_and_of_one_side(groups: dict[str, t.Any]) -> None:
    hosts = _hosts(groups, "all")
    assert hosts
    for names in (("database", "balancer", "app"), ("prod", "staging")):
        counts = {host: sum(host in _hosts(groups, name) for name in names) for host in hosts}
        assert set(counts.values()) == {1}, counts


def test_a_variable_of_a_role_exists() -> None:
    used = {
        name for path in FILES for name in re.findall(r"^\s*([a-z]+_\w+):", path.read_text("utf-8"), re.M)
    }
    assert {name for name in used if name.partition("_")[0] in PREFIXES} <= KNOWN


@pytest.mark.parametrize("side", ["prod", "staging"])
def test_every_secret_of_a_side_is_listed_in_its_vault_example(side: str) -> None:
    """Also what both sides share: a host of one side never sees the vault of the other."""
    folder = EXAMPLE / "group_vars"
    texts = [path.read_text("utf-8") for part in ("all", side) for path in (folder / part).glob("*.yml")]
    used = {name for text in texts for name in re.findall(r"\bvault_\w+", text)}
    listed = (folder / side / "vault.yml.example").read_text("utf-8")
    assert used == set(re.findall(r"^(vault_\w+):", listed, re.M))


def test_a_variable_of_the_example_is_explained() -> None:
    """Each block of variables begins with a comment."""
    bare = [
        f"{path.relative_to(ROOT)}: {block.splitlines()[0]}"
        for path in FILES
        for block in re.split(r"\n\s*\n", path.read_text("utf-8"))
        if re.match(r"[a-z]\w*:", block)
    ]
    assert bare == []


@pytest.mark.parametrize("under", ["roles/", "playbooks/", "inventories/", "molecule/"])
def test_the_order_of_hosts_is_never_lost(under: str) -> None:
    """Ansible's filters of sets give no order at all, and another one in each process.

    The first database of a side keeps the run: taken from such a filter it would be another one each time.
    """
    lost = [
        f"{path}: {found.group()}"
        for path in list_files(".yml", under=under)
        for found in re.finditer(
            r"\| *(intersect|difference|union|symmetric_difference)\b", (ROOT / path).read_text("utf-8")
        )
    ]
    assert lost == [], "select('in', ...) and reject('in', ...) keep the order"
