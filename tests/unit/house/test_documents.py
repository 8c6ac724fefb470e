# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documents name exists, and what they copy from the code is still the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._gate.policy import ACTIONS
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import checks, model
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.presets import PRESETS
from check.export import ROOT
from check.project import list_files, list_playbooks, list_roles, read_constant
from check.states import render_arrows, render_states

DOCUMENTS = [path for path in list_files(".md") if path.name != "CHANGELOG.md"]
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
PLAYBOOKS = {f"playbooks/{name}" for name in list_playbooks()} | {"migrate.yml"}
ROLES = {role.name: role for role in list_roles()}
# Variables, and facts that roles hand to each other.
KNOWN = {
    name
    for path in list_files(".yml", under="roles/")
    for name in re.findall(r"\b[a-z]+_[a-z0-9_]+\b", (ROOT / path).read_text("utf-8"))
}

each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=Path.as_posix)


def _read(path: Path) -> str:
    return (ROOT / path).read_text("utf-8")


PAGES = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "TESTING.md",
    "docs/operating.md",
    "docs/inventory.md",
    "docs/findings.md",
]


@pytest.mark.parametrize("name", PAGES)
def test_the_documents_are_there(name: str) -> None:
    assert len((ROOT / name).read_text("utf-8")) > 1000


@each_document
def test_a_link_leads_somewhere(path: Path) -> None:
    dead = [
        link
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", _read(path))
        if not link.startswith(("https://", "mailto:")) and not ((ROOT / path).parent / link).exists()
    ]
    assert dead == []


@each_document
def test_a_link_within_a_page_leads_to_a_heading(path: Path) -> None:
    text = _read(path)
    headings = {
        re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


@each_document
def test_a_command_can_be_typed(path: Path) -> None:
    text = _read(path)
    assert set(re.findall(r"\bmake ([a-z][a-z0-9-]+)(?=[`\n ])", _code(text))) <= TARGETS
    assert set(re.findall(r"(?:playbooks/\w+|\bmigrate)\.yml\b", text)) <= PLAYBOOKS


def test_a_page_that_is_mentioned_is_there() -> None:
    """In documents, and in the sentences that programs say."""
    named = {
        page
        for path in list_files(".md", ".py", ".yml")
        for page in re.findall(r"\bdocs/\w+\.md\b", _read(path))
    }
    assert {page for page in named if not (ROOT / page).is_file()} == set()


@pytest.mark.parametrize(
    # The guide to names shows wrong ones too.
    "path",
    [path for path in DOCUMENTS if path.name != "CONTRIBUTING.md"],
    ids=Path.as_posix,
)
def test_a_variable_of_a_role_exists(path: Path) -> None:
    unknown = [
        name
        for name in re.findall(r"\b[a-z]+_[a-z0-9_]+\b", _code(_read(path)))
        if name.partition("_")[0] in ROLES and name not in KNOWN
    ]
    assert unknown == []


def _code(text: str) -> str:
    """Only what is set as code: blocks, and words between backticks."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    words = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return "\n".join([*blocks, *(f"{word} " for word in words)]) + "\n"


def test_the_life_of_a_run_is_drawn_as_the_code_has_it() -> None:
    page = _read(Path("ARCHITECTURE.md"))
    assert "\n".join(render_states()) in page
    assert "\n".join(render_arrows()) in page


def test_the_page_on_the_model_map_knows_every_key() -> None:
    page = _read(Path("docs/model_map.md"))
    preset = read_constant("plugins.module_utils._tenancy.presets", "RUNBOOK")
    missing = [
        (part, key)
        for part, content in preset.items()
        for key in (content if isinstance(content, dict) else [part])
        if not any(
            f"`{part}" in line and re.search(rf"`(?:{part})?\.?{key}`", line) for line in page.splitlines()
        )
    ]
    assert missing == []


def test_the_page_on_the_gate_has_its_actions() -> None:
    page = _read(Path("docs/gate.md"))
    said = {
        trigger: action
        for triggers, action in re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|[^|]+\| ([^|,]+)", page, re.MULTILINE)
        for trigger in re.findall(r"`(\w+)`", triggers)
    }
    wrong = [name for name, action in ACTIONS.items() if not said[name].startswith(action.replace("_", " "))]
    assert wrong == []


def test_the_findings_page_tells_of_every_check_and_of_no_other() -> None:
    text = _read(Path("docs/findings.md"))
    told = {match[0] for match in re.findall(r"^\| `([a-z_]+)( premiums)?`", text, re.MULTILINE)}
    told |= {"accounts"} if "| *part* |" in text else set()
    source = _read(Path("plugins/module_utils/_tenancy/integrity.py"))
    asked = set(re.findall(r"(?:_listed|Verdict)\(\s*\"([a-z_]+)\"", source))
    for preset in PRESETS:
        asked |= {check.name.partition(" ")[0] for check in checks.of_data(model.load(preset, None), 0)}
    assert told == asked | {"ok", "pending", "finding", "failed", "inconclusive"}
