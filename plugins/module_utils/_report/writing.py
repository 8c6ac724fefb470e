# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the report into a folder: HTML for people, JSON for machines, JUnit for a pipeline."""

from __future__ import annotations

import json
import os
import re
import tempfile
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._report import junit, page

if t.TYPE_CHECKING:
    from ansible_collections.emailai.migration.plugins.module_utils._report.story import Story


def stem(run_id: str, suffix: str = "") -> str:
    """The run's id as a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(filter(None, [run_id, suffix]))).strip("-.") or "report"


def files(story: Story, folder: str, name: str) -> dict[str, tuple[str, str]]:
    """Kind to path and content."""
    contents = {
        "html": page.render(story),
        "json": json.dumps(story.as_document(), indent=2, sort_keys=True, default=str) + "\n",
        "xml": junit.render(story),
    }
    return {kind: (os.path.join(folder, f"{name}.{kind}"), content) for kind, content in contents.items()}


def differing(wanted: t.Mapping[str, tuple[str, str]]) -> list[str]:
    """Kinds whose file is missing or says something else."""
    return [kind for kind, (path, content) in wanted.items() if _read(path) != content]


def write(wanted: t.Mapping[str, tuple[str, str]], kinds: t.Iterable[str]) -> None:
    for kind in kinds:
        path, content = wanted[kind]
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            _replace(path, content)
        except OSError as exc:
            raise MigrationError(
                "write", f"report {path}", exc.strerror or str(exc), "Set report_folder"
            ) from None


def _read(path: str) -> t.Optional[str]:
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except (OSError, UnicodeDecodeError):
        return None


def _replace(path: str, content: str) -> None:
    descriptor, draft = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".draft-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(content)
        os.chmod(draft, 0o640)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
