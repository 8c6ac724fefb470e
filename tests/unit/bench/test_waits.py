# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose fault a wait was is read from the server's log."""

from __future__ import annotations

from bench.application import read_waits

OURS, THEIRS = 71, 80
AT = "2026-01-01 00:00:00.000 UTC"
APPLICATION = f"{AT} [{THEIRS}] postgres@p emailai"
LOG = f"""\
{APPLICATION} LOG:  process {THEIRS} still waiting for ShareLock on transaction 5 after 100.1 ms
{APPLICATION} DETAIL:  Process holding the lock: {{holder}}. Wait queue: {THEIRS}.
{APPLICATION} ERROR:  deadlock detected
{APPLICATION} DETAIL:  Process {THEIRS} waits for ShareLock on transaction 5; blocked by process {{holder}}.
{AT} [{OURS}] postgres@p emailai.migration move LOG:  disconnection: session time: 0:00:01
"""


def test_a_wait_for_us_counts() -> None:
    assert read_waits(LOG.format(holder=OURS).splitlines()) == (1, 1)


def test_a_wait_of_the_application_for_itself_does_not() -> None:
    assert read_waits(LOG.format(holder=THEIRS + 1).splitlines()) == (0, 0)
