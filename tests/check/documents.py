# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the documentation of modules, plugins and roles, or write it to a folder (``--write FOLDER``)."""

from __future__ import annotations

import os
import subprocess
import sys
import typing as t
from pathlib import Path

from check.export import PARENT, write_copy


def main(arguments: t.Sequence[str]) -> int:
    copy = write_copy()
    if arguments[:1] == ["--write"]:
        return write(Path(arguments[1]).resolve())
    command = ["antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs=self"]
    return subprocess.run([*command, str(copy)], stdin=subprocess.DEVNULL, check=False).returncode


def write(folder: Path) -> int:
    """Render everything as plain reStructuredText that code hosts show as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--use-current", "--squash-hierarchy", "--fail-on-error", "--output-format", "simplified-rst"]
    command = ["antsibull-docs", "collection", *options, "--dest-dir", str(folder), "emailai.migration"]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(PARENT)}
    status = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode
    print(f"Written to {folder}" if status == 0 else "Not written: see above")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
