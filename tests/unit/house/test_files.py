# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every file: a licence, a name that says something, and no word about where it was made."""

from __future__ import annotations

import ast
import re

from check.export import ROOT
from check.project import list_files

MARK = "SPDX-License-Identifier: GPL-3.0-or-later"
WITHOUT_MARK = {"LICENSE", "CHANGELOG.md", "changelogs/changelog.yaml"}

# Written so that no pattern is found in this very file.
FORBIDDEN = {
    "a path of one machine": r"/(wor[k]|roo[t])/|/tmp/[v]/|/hom[e]/[a-z]\w+/|/tmp/bas[h]_jobs",
    "a package index or registry": (
        r"pypi\.or[g]|pythonhosted\.or[g]|index-ur[l]|GOPROX[Y]|registry-1\.docke[r]|[q]uay\.io|gh[c]r\.io"
    ),
    "a number of some tracker": r"\bissue #[0-9]|\bpull request #[0-9]|\(#[0-9]+\)",
    "how it was made": (
        r"\bsub-?agent[s]?\b|\btool librar[y]\b|\bthis sessio[n]\b|\bc[l]aude\b|\banthropi[c]\b"
        r"|\bch[a]tgpt\b|\bcop[i]lot\b|\bllm[s]?\b"
    ),
}


def _read(name: str) -> str:
    return (ROOT / name).read_text("utf-8", "replace")


def test_every_file_names_its_licence() -> None:
    bare = [
        path.as_posix()
        for path in list_files()
        if path.as_posix() not in WITHOUT_MARK
        and path.suffix != ".json"
        and (text := _read(path.as_posix()))
        and MARK not in "\n".join(text.splitlines()[:12])
    ]
    assert bare == []


def test_no_file_tells_of_anything_but_the_project() -> None:
    found = [
        f"{path}: {what}: {hit[0]!r}"
        for path in list_files()
        if path.name != "LICENSE"
        for what, pattern in FORBIDDEN.items()
        for hit in re.finditer(pattern, _read(path.as_posix()), re.IGNORECASE)
    ]
    assert found == []


def test_no_file_has_a_name_that_says_nothing() -> None:
    nothing = re.compile(r"^_?(utils?|helpers?|common|misc)(\.py|\.yml)?$")
    found = [path.as_posix() for path in list_files() if any(nothing.match(part) for part in path.parts)]
    assert found == []


def test_every_python_file_says_what_it_knows() -> None:
    silent = [
        path.as_posix()
        for path in list_files(".py")
        if path.parts[:2] != ("plugins", "modules")
        and (text := _read(path.as_posix())).strip()
        and not ast.get_docstring(ast.parse(text))
    ]
    assert silent == []


def test_no_test_stays_away_in_silence() -> None:
    """A test that cannot run names what it misses, so that the run can say it aloud."""
    mute = re.compile(
        r"pytest\.ski[p]\(\s*\)|mark\.ski[p]\b(?!\()|mark\.xfai[l]|importorski[p]\([^,\n]*\)$", re.M
    )
    tests = [path.as_posix() for path in list_files(".py", under="tests/")]
    assert [name for name in tests if mute.search(_read(name))] == []


def test_no_line_of_the_makefile_is_a_program() -> None:
    """A recipe has at most two lines; what is longer lives in tests/check."""
    recipes = re.findall(r"(?:^\t.*\n)+", _read("Makefile"), re.MULTILINE)
    assert recipes
    assert [recipe for recipe in recipes if recipe.count("\n") > 2] == []


def test_there_is_no_ignore_file() -> None:
    assert list_files(under="tests/sanity/ignore") == []
