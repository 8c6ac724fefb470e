# SPDX-License-Identifier: GPL-3.0-or-later
"""What a process and its children cost is seen from outside; the data of a benchmark is always the same."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
import time

from bench import archive
from bench.costs import Family, look_at

_BUSY = """
import os, sys, time
fill = b"x" * 60_000_000
if os.fork() == 0:
    fill = fill[:1] * 60_000_000
ends = time.process_time() + 0.3
while time.process_time() < ends: pass
time.sleep(0.4)
"""


def test_a_family_is_a_process_and_its_children() -> None:
    with subprocess.Popen([sys.executable, "-c", _BUSY]) as process, Family(lambda: process.pid) as family:
        while process.poll() is None:
            time.sleep(0.02)
    assert family.peak_mib > 120
    assert 0.55 < family.seconds < 5


def test_nobody_costs_nothing() -> None:
    with Family(lambda: None) as family:
        time.sleep(0.1)
    assert (family.peak_mib, family.seconds) == (0, 0)


def test_a_process_is_looked_at() -> None:
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        # Before its first word it may have no memory that counts.
        assert process.stdout is not None
        process.stdout.readline()
        seen = look_at(process.pid)
        assert seen.mib > 0
        process.communicate(b"\n")


def test_the_rows_are_always_the_same() -> None:
    prose = archive._prose(random.Random(1), 50_000)
    for name in archive._TABLES:
        once, again = (list(archive._lines(name, 300, prose)) for _time in range(2))
        assert once == again
        assert len(once) == 300
        widths = {line.count("\t") for line in once}
        assert len(widths) == 1


def test_copy_reads_all_of_them() -> None:
    rows = archive.Rows(f"{number}\n" for number in range(501))
    read = "".join(itertools.takewhile(bool, iter(rows.read, None)))
    assert read.splitlines() == [str(number) for number in range(501)]
