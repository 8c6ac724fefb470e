# SPDX-License-Identifier: GPL-3.0-or-later
"""The example inventory can be copied: it parses, and names nothing that does not exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

from check.export import ROOT
from check.project import PREFIX, Role, list_files, list_roles

EXAMPLE = ROOT / "inventories" / "example"
FILES = sorted(EXAMPLE.rglob("*.yml"))
KNOWN = {name for role in list_roles() for name in {*role.defaults, *role.options}}
PREFIXES = {role.name for role in list_roles()}
PAGES = sorted((ROOT / "docs").glob("*.md"))
PLATFORMS = ("compose", "kubernetes", "vercel")


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
    for text in ((EXAMPLE / "hosts.yml").read_text("utf-8"), *(page.read_text("utf-8") for page in PAGES)):
        used |= set(re.findall(rf"\bvault_(?:{side}|backup)_\w+", text))
    assert used == _listed(side)


def _listed(side: str) -> set[str]:
    text = (EXAMPLE / "group_vars" / side / "vault.yml.example").read_text("utf-8")
    return set(re.findall(r"^(vault_\w+):", text, re.M))


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


def _blocks(page: Path) -> list[t.Any]:
    return [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.S)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_variable_that_a_page_sets_exists(page: Path) -> None:
    def names(block: t.Any) -> t.Iterator[str]:
        for name, value in block.items() if isinstance(block, dict) else ():
            yield str(name)
            yield from names(value)

    set_here = {name for block in _blocks(page) for name in names(block) if "_" in name}
    assert {name for name in set_here if name.partition("_")[0] in PREFIXES} <= KNOWN


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with all that it leaves out by a comment, and with each platform's page pasted in."""
    folder = tmp_path_factory.mktemp("copied")
    shutil.copytree(EXAMPLE, folder / "example")
    hosts = folder / "example" / "hosts.yml"
    # A sentence begins with a capital letter; a line of an inventory does not.
    hosts.write_text(
        re.sub(r"(?m)^( {12})# ((?:  )*[a-z].*|(?:  )+- .*)$", r"\1\2", hosts.read_text("utf-8"))
    )
    for side in ("prod", "staging"):
        secrets = dict.fromkeys(_listed(side), "secret")
        (folder / "example" / "group_vars" / side / "vault.yml").write_text(yaml.safe_dump(secrets))
    for platform in PLATFORMS:
        block = next(iter(_blocks(ROOT / "docs" / f"{platform}.md")))
        if "all" not in block:
            block = {"all": {"hosts": {"app-4.prod.example.com": block}}}
        (folder / f"{platform}.yml").write_text(yaml.safe_dump(block))
    return folder


def _call(folder: Path, tool: str, *words: t.Any) -> str:
    names = ("example", *(f"{one}.yml" for one in PLATFORMS))
    inventories = [word for name in names for word in ("-i", folder / name)]
    done = subprocess.run(
        [Path(sys.executable).with_name(tool), *inventories, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    return done.stdout


def test_what_is_pasted_is_a_host_of_one_kind_and_one_side(copied: Path) -> None:
    listed = json.loads(_call(copied, "ansible-inventory", "--list"))
    known = listed["_meta"]["hostvars"]
    of = {host: known[host]["app_platform"] for host in _hosts(listed, "app") & _hosts(listed, "prod")}
    assert set(of.values()) == {"server", *PLATFORMS}
    assert all(known[host]["app_url"] for host in of)


def test_the_playbooks_read_what_is_pasted(copied: Path) -> None:
    _call(copied, "ansible-playbook", "migrate.yml", "-l", "prod", "--syntax-check")


def _widest_door(role: Role) -> str:
    return max(role.entry_points, key=lambda door: len(role.entry_points[door].get("options") or {}))


def test_what_is_pasted_is_what_the_roles_ask_for(copied: Path) -> None:
    """The widest door of each role, with the values of a host of its kind; nothing behind it is done."""
    kinds = {"app": ["app"], "balancer": ["balancer"]}
    kinds["database"] = sorted(PREFIXES - {"app", "balancer", "lab"})
    plays = [
        {
            "name": kind,
            "hosts": kind,
            "gather_facts": False,
            # What only playbooks know.
            "vars": {"journal_phase": "verify", "journal_role": "tenancy", "journal_tasks": "verify"},
            "tasks": [
                {
                    "name": f"Ask as {role.name} does",
                    "ansible.builtin.import_role": {
                        "name": f"{PREFIX}{role.name}",
                        "tasks_from": _widest_door(role),
                    },
                }
                for role in list_roles()
                if role.name in names
            ],
        }
        for kind, names in kinds.items()
    ]
    book = copied / "ask.yml"
    book.write_text(json.dumps(plays))
    hosts = ",".join(("app-1.prod*", "app-4.prod*", "cluster-eu", "vercel", "lb-1.prod*", "db.prod*"))
    # The look at the arguments is tagged always; no task has this tag.
    said = _call(copied, "ansible-playbook", book, "-l", hosts, "--tags", "arguments_only")
    assert said.count("Validating arguments against arg spec") == len(PREFIXES) - 1
    assert "failed=0" in said
    assert all(re.search(rf"{host}\S* +: ok=[1-9]", said) for host in ("app-4", "cluster-eu", "vercel"))
