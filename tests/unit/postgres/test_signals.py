# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server tells as totals becomes a figure of now."""

from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._postgres import disk, signals
from ansible_collections.emailai.migration.plugins.module_utils._postgres.signals import Archiver, Company
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.throttle import LEAST_SHARE, share_of


def test_old_failures_are_no_trouble() -> None:
    archiver = Archiver()
    assert archiver.tries(70, 500, False) == 0
    assert archiver.tries(70, 501, False) == 0


def test_tries_that_fail_are_counted_until_one_succeeds() -> None:
    archiver = Archiver()
    # Of those before the first look one is certain.
    assert [archiver.tries(failed, 500, True) for failed in (70, 71, 73)] == [1, 2, 4]
    assert archiver.tries(73, 501, False) == 0
    assert archiver.tries(74, 501, True) == 1
    # Between two looks one succeeded, and the next failed again.
    assert archiver.tries(76, 502, True) == 1


@given(st.lists(st.integers(0, 50) | st.none(), max_size=80))
def test_company_is_the_mean_of_the_last_looks(looks: list[int | None]) -> None:
    company = Company()
    answers = iter(looks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signals, "row", lambda *_words: [next(answers)])
        for number in range(len(looks)):
            # A few looks say nothing: they may all have met the same moment.
            assert company.is_known == (number >= 15) == bool(company.read())
            company.look(t.cast(t.Any, None))
    last = looks[-30:]
    if len(looks) >= 15:
        (signal,) = company.read()
        known = [number for number in last if number is not None]
        assert signal.value == (sum(known) / len(last) if len(known) == len(last) else None)


def test_forgotten_statistics_begin_anew() -> None:
    archiver = Archiver()
    archiver.tries(70, 500, True)
    assert archiver.tries(0, 0, False) == 0
    assert archiver.tries(2, 0, True) == 2


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()), max_size=20))
def test_there_are_failed_tries_exactly_while_the_last_one_failed(looks: list[tuple[int, int, bool]]) -> None:
    archiver = Archiver()
    for failed, archived, fails_now in looks:
        assert (archiver.tries(failed + fails_now, archived, fails_now) > 0) == fails_now


def test_the_less_is_free_the_slower() -> None:
    gib = 1024**3
    shares = [share_of(disk.signal(free * gib, 2 * gib)) for free in (9, 2, 1, 0, -5)]
    assert shares == [1.0, 0.5, 0.25, LEAST_SHARE, LEAST_SHARE]
    assert disk.signal(gib, 2 * gib).sentence == "1.0 GiB of disk are free, twice max_wal_size is 2.0 GiB"
    assert disk.signal(None, gib).sentence == "free disk space cannot be read"
