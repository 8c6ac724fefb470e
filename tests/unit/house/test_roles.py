# SPDX-License-Identifier: GPL-3.0-or-later
"""Every role has the same shape, and its interface is written once."""

from __future__ import annotations

import re
import typing as t

import pytest

from check.export import ROOT
from check.project import Role, find_includes, find_own_includes, list_roles, walk_tasks

ROLES = list_roles()
NAMES = {role.name for role in ROLES}

each_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


def test_there_are_roles() -> None:
    assert {"journal", "readiness", "backup", "tenancy", "balancer", "app", "gate", "report", "lab"} <= NAMES


@each_role
@pytest.mark.parametrize(
    "name", ["README.md", "defaults/main.yml", "meta/main.yml", "meta/argument_specs.yml", "tasks/main.yml"]
)
def test_a_role_has_its_files(role: Role, name: str) -> None:
    assert (role.path / name).is_file()


@each_role
def test_defaults_and_specs_name_the_same_variables(role: Role) -> None:
    optional = {name for name, option in role.options.items() if not option.get("required")}
    assert set(role.defaults) == optional


@each_role
def test_defaults_and_specs_give_the_same_values(role: Role) -> None:
    wrong = {
        name: (option.get("default"), role.defaults[name])
        for spec in role.entry_points.values()
        for name, option in (spec.get("options") or {}).items()
        if not option.get("required") and not _is_same(option, role.defaults.get(name))
    }
    assert wrong == {}


def _is_same(option: dict[str, t.Any], value: t.Any) -> bool:
    """Equal; but what a template gives cannot be written down as a number, a truth or a mapping."""
    if "default" not in option and isinstance(value, str) and "{{" in value:
        return option["type"] in ("int", "float", "bool", "dict", "list")
    return bool(option.get("default") == value)


@each_role
def test_a_variable_bears_the_name_of_its_role(role: Role) -> None:
    strangers = {name for name in {*role.defaults, *role.options} if not name.startswith(f"{role.name}_")}
    assert strangers == set()


@each_role
def test_each_default_is_explained(role: Role) -> None:
    """A comment stands right above the variable, or above the group of variables it begins."""
    text = (role.path / "defaults" / "main.yml").read_text("utf-8") if role.defaults else ""
    blocks = re.split(r"\n\s*\n", text)
    bare = [block for block in blocks if re.match(r"\w", block) and not block.startswith("---")]
    assert bare == []


@each_role
def test_each_option_is_described(role: Role) -> None:
    for entry_point, spec in role.entry_points.items():
        assert spec.get("short_description"), entry_point
        for name, option in (spec.get("options") or {}).items():
            assert {"description", "type"} <= set(option), f"{entry_point}: {name}"


@each_role
def test_each_spec_belongs_to_a_task_file(role: Role) -> None:
    assert set(role.entry_points) <= set(role.task_files)


@each_role
def test_each_task_file_has_a_spec_or_is_included_by_its_role(role: Role) -> None:
    """A file that is neither a door nor behind one is dead."""
    inner = {name for tasks in role.task_files.values() for name in find_own_includes(walk_tasks(tasks))}
    patterns = [re.compile(re.sub(r"\\{\\{.*?\\}\\}", ".+", re.escape(name))) for name in inner]
    dead = {
        name
        for name in role.task_files
        if name not in role.entry_points and not any(pattern.fullmatch(name) for pattern in patterns)
    }
    assert dead == set()


@each_role
def test_a_role_includes_only_doors_that_exist(role: Role) -> None:
    known = {f"emailai.migration.{other.name}": other for other in ROLES}
    for tasks in role.task_files.values():
        for name, entry_point in find_includes(walk_tasks(tasks)):
            if "{{" in name or "{{" in entry_point:
                continue
            assert name in known, f"{name} is not a role of this collection"
            assert entry_point in known[name].entry_points, f"{name} has no entry point {entry_point}"


@each_role
def test_no_task_hides_a_failure(role: Role) -> None:
    hidden = [
        task.get("name")
        for tasks in role.task_files.values()
        for task in walk_tasks(tasks)
        if task.get("ignore_errors") or task.get("failed_when") is False
    ]
    assert hidden == []


@each_role
def test_no_task_reasons_in_a_shell(role: Role) -> None:
    """Modules decide: no shell, no HTTP, no SQL in YAML, and emptiness is never a number."""
    banned = re.compile(
        r"ansible\.builtin\.(shell|raw|script|uri|expect)\b|stdout\s*\|\s*int"
        r"|\b(SELECT|INSERT INTO|DELETE FROM|ALTER TABLE|CREATE TABLE|UPDATE \S+ SET)\b"
    )
    found = {
        f"{path.name}: {hit[0]}"
        for path in (role.path / "tasks").rglob("*.yml")
        for hit in banned.finditer(path.read_text("utf-8"))
    }
    assert found == set()


# These ask no host, or only decide.
_ON_THE_CONTROLLER = re.compile(r"ansible\.builtin\.(include_|import_|set_fact|debug|fail|meta|pause)")


@pytest.mark.parametrize("name", ["app", "balancer"])
def test_a_lost_host_is_seen_by_the_rescue_of_a_rollout(name: str) -> None:
    """Their blocks give no unreachable host up, so each module must fail by itself: its action sees to it."""
    actions = {path.stem for path in (ROOT / "plugins" / "action").glob("*.py")}
    silent = {
        word
        for role in ROLES
        if role.name == name
        for tasks in role.task_files.values()
        for task in walk_tasks(tasks)
        for word in task
        if "." in word and not _ON_THE_CONTROLLER.match(word)
        if word.removeprefix("emailai.migration.") not in actions
    }
    assert silent == set()
