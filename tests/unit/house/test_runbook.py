# SPDX-License-Identifier: GPL-3.0-or-later
"""Every item of the runbook has its command, and every number of the runbook is still the default."""

from __future__ import annotations

import re
import typing as t

import pytest

from check.export import ROOT
from check.project import list_playbooks, list_roles, read_constant, read_options, read_yaml

ITEMS: dict[str, str] = {
    item: says
    for section in read_yaml(ROOT / "tests" / "runbook_items.yml")
    for item, says in section["items"].items()
}
ROW = re.compile(r"^\| `(?P<item>[a-z0-9-]+)` \| (?P<says>.+?) \| (?P<how>.+) \|$", re.MULTILINE)
ROWS = list(ROW.finditer((ROOT / "docs" / "runbook_map.md").read_text("utf-8")))
MAP = {row["item"]: row["how"] for row in ROWS}
NUMBERS: list[dict[str, t.Any]] = read_yaml(ROOT / "tests" / "runbook_defaults.yml")
ROLES = {role.name: role for role in list_roles()}

# What is planned and not part of this version. A line may leave this list, none may join it.
NOT_YET: set[str] = set()

each_number = pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number["what"])


def test_the_map_and_the_list_hold_the_same_items_in_the_same_words() -> None:
    assert {row["item"]: row["says"] for row in ROWS} == ITEMS
    assert len(ROWS) == len(ITEMS)


def test_each_item_names_what_does_it_or_says_not_yet() -> None:
    assert {item for item, how in MAP.items() if how.startswith("*Not yet*")} == NOT_YET
    assert [item for item, how in MAP.items() if item not in NOT_YET and "`" not in how] == []


def test_what_the_map_names_exists() -> None:
    playbooks = {f"playbooks/{name}" for name in list_playbooks()} | {"migrate.yml"}
    missing = [
        (item, name)
        for item, how in MAP.items()
        for name in re.findall(r"\b(?:playbooks/)?\w+\.yml\b", how)
        if name not in playbooks
    ]
    missing += [
        (item, door)
        for item, how in MAP.items()
        for role, door in re.findall(r"role `(\w+)`(?:, entry point (\w+))?", how)
        if role not in ROLES or (door and door not in ROLES[role].entry_points)
    ]
    missing += [
        (item, module)
        for item, how in MAP.items()
        for module in re.findall(r"module `(\w+)`", how)
        if not (ROOT / "plugins" / "modules" / f"{module}.py").is_file()
    ]
    assert missing == []


def test_each_tag_of_the_map_is_a_case_of_repair() -> None:
    cases = {tag for task in list_playbooks()["repair.yml"][-1]["tasks"] for tag in task["tags"]} - {"never"}
    named = {tag for how in MAP.values() for tag in re.findall(r"--tags (\w+)", how)}
    assert named
    assert named <= cases


@each_number
def test_a_number_of_the_runbook_is_the_default(number: dict[str, t.Any]) -> None:
    """Only an inventory may choose another one, and only the lab's does."""
    if "role" in number:
        found = ROLES[number["role"]].defaults[number["variable"]]
    elif "module" in number:
        found = read_options(number["module"])[number["option"]]["default"]
    else:
        found = read_constant(number["file"], number["constant"])
    for step in number.get("path", []):
        found = found[step]
    assert found == number["value"]


def test_no_inventory_but_the_labs_changes_a_number() -> None:
    numbers = [number for number in NUMBERS if "variable" in number and "path" not in number]
    variables = {number["variable"] for number in numbers}
    fixed = {number["variable"] for number in numbers if not number.get("playbooks_may_differ")}
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sorted((ROOT / "inventories" / "example").rglob("*.yml"))
        for name in variables
        if re.search(rf"^\s*{name}:", path.read_text("utf-8"), re.MULTILINE)
    ]
    found += [
        f"{name}: {variable}"
        for name, plays in list_playbooks().items()
        for play in plays
        for variable in fixed & set(play.get("vars") or {})
    ]
    assert found == []
