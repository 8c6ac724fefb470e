# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A letter as a file in a folder, for whoever sends it by means of their own."""

from __future__ import annotations

import os
import re
import tempfile
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

if t.TYPE_CHECKING:
    from ansible_collections.emailai.migration.plugins.module_utils._message.letter import Letter


def file_name(run_id: str, name: str) -> str:
    """A name any file system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", f"{run_id}-{name}".strip("-.")) + ".txt"


def send(letter: Letter, folder: str, run_id: str, name: str) -> dict[str, t.Any]:
    """Write the letter; whoever reads the folder sees all of it or nothing."""
    path = os.path.join(folder, file_name(run_id, name))
    try:
        os.makedirs(folder, mode=0o750, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=folder, prefix=".draft-")
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(letter.text)
        os.replace(draft, path)
    except OSError as exc:
        raise MigrationError(
            "write", f"message '{letter.name}' into {folder}", exc.strerror or str(exc), kind="message"
        ) from None
    return {"path": path}
