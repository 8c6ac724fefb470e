# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the project as data: its files, roles, playbooks and modules. Judges nothing."""

from __future__ import annotations

import ast
import re
import typing as t
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from check.export import ROOT, list_sources

PREFIX: t.Final = "emailai.migration."
INCLUDES: t.Final = ("ansible.builtin.include_role", "ansible.builtin.import_role")
OWN_INCLUDES: t.Final = ("ansible.builtin.include_tasks", "ansible.builtin.import_tasks")

Node = dict[str, t.Any]


def read_yaml(path: Path) -> t.Any:
    return yaml.safe_load(path.read_text("utf-8"))


def list_files(*endings: str, under: str = "") -> list[Path]:
    """The project's own files with one of these endings, relative to the root."""
    return [
        name
        for name in list_sources()
        if name.as_posix().startswith(under) and (not endings or name.name.endswith(endings))
    ]


@dataclass(frozen=True)
class Role:
    """One folder under roles/, as far as it is written."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @cached_property
    def defaults(self) -> Node:
        return self._read("defaults/main.yml")

    @cached_property
    def entry_points(self) -> dict[str, Node]:
        specs: dict[str, Node] = self._read("meta/argument_specs.yml").get("argument_specs", {})
        return specs

    def _read(self, name: str) -> Node:
        """A file of the role; one that is not written yet is empty, and missed by a test of its own."""
        path = self.path / name
        return read_yaml(path) or {} if path.exists() else {}

    @cached_property
    def options(self) -> dict[str, Node]:
        """Every option of every entry point; the same option is the same wherever it stands."""
        return {
            name: option
            for spec in self.entry_points.values()
            for name, option in (spec.get("options") or {}).items()
        }

    @cached_property
    def task_files(self) -> dict[str, list[Node]]:
        """The files of tasks/ by the name an include would use."""
        folder = self.path / "tasks"
        return {
            path.relative_to(folder).with_suffix("").as_posix(): read_yaml(path) or []
            for path in sorted(folder.rglob("*.yml"))
        }


def list_roles(root: Path = ROOT) -> list[Role]:
    return [Role(path) for path in sorted((root / "roles").iterdir()) if path.is_dir()]


def list_modules(root: Path = ROOT) -> list[str]:
    return sorted(path.stem for path in (root / "plugins" / "modules").glob("*.py"))


def list_playbooks(root: Path = ROOT) -> dict[str, list[Node]]:
    """The playbooks by their file name."""
    return {path.name: read_yaml(path) for path in sorted((root / "playbooks").glob("*.yml"))}


def walk_tasks(tasks: t.Iterable[Node]) -> t.Iterator[Node]:
    """Every task, those inside blocks too, and the blocks themselves."""
    for task in tasks:
        yield task
        for part in ("block", "rescue", "always"):
            yield from walk_tasks(task.get(part) or [])


def walk_plays(plays: t.Iterable[Node]) -> t.Iterator[Node]:
    """Every task of every play."""
    for play in plays:
        for part in ("pre_tasks", "tasks", "post_tasks", "handlers"):
            yield from walk_tasks(play.get(part) or [])


def find_includes(tasks: t.Iterable[Node]) -> t.Iterator[tuple[str, str]]:
    """(role, entry point) of every role included by these tasks."""
    for task in tasks:
        for word in INCLUDES:
            if word in task:
                yield task[word]["name"], task[word].get("tasks_from", "main")


def find_own_includes(tasks: t.Iterable[Node]) -> t.Iterator[str]:
    """The task files of the same role that these tasks include."""
    for task in tasks:
        for word in OWN_INCLUDES:
            if word in task:
                given = task[word]
                name = given if isinstance(given, str) else given.get("file", "")
                yield re.sub(r"\.yml$", "", name)


def read_constant(module: str, name: str, root: Path = ROOT) -> t.Any:
    """The literal that a file binds to a name, or to ``Class.name``; the file is not run."""
    path = root / f"{module.replace('.', '/')}.py"
    body = ast.parse(path.read_text("utf-8")).body
    *outer, last = name.split(".")
    for step in outer:
        body = next(node.body for node in body if isinstance(node, ast.ClassDef) and node.name == step)
    for node in body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == last for target in targets):
            return ast.literal_eval(t.cast(t.Any, node).value)
    raise LookupError(f"{path} binds no {name}")


def read_options(module: str, root: Path = ROOT) -> dict[str, Node]:
    """The options a module documents."""
    documentation = read_constant(f"plugins.modules.{module}", "DOCUMENTATION", root)
    return yaml.safe_load(documentation)["options"] or {}
