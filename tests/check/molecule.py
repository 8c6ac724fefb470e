# SPDX-License-Identifier: GPL-3.0-or-later
"""Every molecule scenario, or those that are named, each on a fresh lab that is brought up once.

``python -m check.molecule [scenario ...]``. The lab is one of its own and is taken down at the end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import typing as t

from check.export import ROOT
from lab.whole import Lab

# Apart from the lab that a person may have running.
PORT_BASE: t.Final = "26400"


def list_scenarios() -> list[str]:
    return sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))


def run_scenario(name: str) -> bool:
    """One scenario, remembering nothing of the last time; its output stays away while it goes well."""
    state = ROOT / ".cache" / "molecule" / name
    shutil.rmtree(state, ignore_errors=True)
    done = subprocess.run(
        ["molecule", "test", "-s", name],
        cwd=ROOT,
        env={**os.environ, "MOLECULE_EPHEMERAL_DIRECTORY": str(state)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        sys.stdout.buffer.write(done.stdout)
        sys.stdout.flush()
    return done.returncode == 0


def main(names: t.Sequence[str]) -> int:
    os.environ.setdefault("LAB_DIR", str(ROOT / ".cache" / "molecule-lab"))
    os.environ.setdefault("LAB_PORT_BASE", PORT_BASE)
    lab = Lab()
    outcomes: dict[str, bool] = {}
    try:
        lab.up()
        for name in names or list_scenarios():
            began = time.monotonic()
            outcomes[name] = run_scenario(name)
            verdict = "passed" if outcomes[name] else "FAILED"
            print(f"{name:<28}{verdict:<8}{time.monotonic() - began:6.0f} s", flush=True)
            lab.reset()
    finally:
        lab.down()
    failed = list(outcomes.values()).count(False)
    print(f"{len(outcomes) - failed} passed, {failed} failed")
    return 0 if outcomes and not failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
