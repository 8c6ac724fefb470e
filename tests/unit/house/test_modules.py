# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules are thin, documented, tested, and all of one action group."""

from __future__ import annotations

import ast
import re

import pytest

from check.export import ROOT
from check.project import list_files, list_modules, read_yaml

MODULES = list_modules()

each_module = pytest.mark.parametrize("name", MODULES)


def _source(name: str) -> str:
    return (ROOT / "plugins" / "modules" / f"{name}.py").read_text("utf-8")


def test_the_action_group_names_every_module() -> None:
    group = read_yaml(ROOT / "meta" / "runtime.yml")["action_groups"]["migration"]
    assert group == MODULES


@each_module
def test_a_module_has_a_test(name: str) -> None:
    """In a file of its name; what only reads may be tested beside its twin."""
    stem = re.compile(rf"test_{name.removesuffix('_info')}(_\w+)?")
    files = [path for path in list_files(".py", under="tests/") if stem.fullmatch(path.stem)]
    assert [path for path in files if name in (ROOT / path).read_text("utf-8")]


@each_module
def test_a_module_is_thin(name: str) -> None:
    """Without its three documents a module is little more than wiring."""
    tree = ast.parse(_source(name))
    code = [node for node in tree.body if not _is_document(node)]
    lines = sum((node.end_lineno or 0) - node.lineno + 1 for node in code)
    assert lines <= 120, f"{lines} lines of code: look for the thing that is missing from module_utils"


def _is_document(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)


@each_module
def test_a_module_touches_no_process_itself(name: str) -> None:
    hands = r"^\s*(import|from) (subprocess|psycopg2|boto3|socket)\b"
    assert not re.search(hands, _source(name), re.MULTILINE)


def test_below_main_nothing_knows_the_module() -> None:
    """Only the funnel of answers knows AnsibleModule; everything else can be called by a test."""
    knowing = {
        path.as_posix()
        for path in list_files(".py", under="plugins/module_utils/")
        if "AnsibleModule" in (ROOT / path).read_text("utf-8")
    }
    assert knowing <= {"plugins/module_utils/_answer.py"}


def test_targets_need_no_younger_python() -> None:
    """Everything that travels to a target parses as Python 3.9."""
    for path in list_files(".py", under="plugins/"):
        if path.parts[1] in ("modules", "module_utils", "doc_fragments"):
            ast.parse((ROOT / path).read_text("utf-8"), path.as_posix(), feature_version=(3, 9))


def test_nothing_travels_that_is_private_to_ansible() -> None:
    """Private corners of ansible-core change without notice."""
    private = re.compile(r"ansible\._internal|module_utils\._text|module_utils\.six")
    files = list_files(".py", under="plugins/")
    assert [path.as_posix() for path in files if private.search((ROOT / path).read_text("utf-8"))] == []
