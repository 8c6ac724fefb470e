# SPDX-License-Identifier: GPL-3.0-or-later
"""What a swap costs is said in whole sentences; what could not be counted is not said as a number."""

from __future__ import annotations

import datetime

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._archive import loss

SINCE = "2026-11-23T03:00:00+00:00"
LOST = {"tables": {"public.b": {}, "public.a": {}}, "unreadable": [], "rows_added": 3, "rows_removed": 1}
RESULT = {
    "database": "mail",
    "before": "mail__before_x",
    "outage_seconds": 0.06,
    "snapshot_at": SINCE,
    "lost": LOST,
}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 min 0 s ago"),
        (59, "0 min 59 s ago"),
        (3599, "59 min 59 s ago"),
        (3600, "1 h 0 min ago"),
        (86399, "23 h 59 min ago"),
        (90000, "1 d 1 h ago"),
    ],
)
def test_an_age_is_said_as_a_person_says_it(seconds: int, words: str) -> None:
    moment = datetime.datetime.fromisoformat(SINCE) + datetime.timedelta(seconds=seconds)
    assert loss.age(SINCE, moment) == words


def test_what_was_lost_and_how_long_it_took() -> None:
    text = loss.after_swap(RESULT)
    assert f"Writes since {SINCE}, " in text
    assert "are lost: 3 rows added, 1 rows removed; tables that had changed: public.a, public.b." in text
    assert "mail could not be reached for 0.06 s. The old database is kept as mail__before_x." in text
    assert "cannot be read" not in text


def test_what_could_not_be_counted_is_no_number() -> None:
    assert "are lost; they could not be counted." in loss.after_swap(dict(RESULT, lost={}))
    text = loss.after_swap(dict(RESULT, lost=dict(LOST, unreadable=["public.c"])))
    assert "Tables that cannot be read, and are not counted: public.c." in text


def test_what_would_be_lost_and_how_long_it_would_take() -> None:
    foreseen = {"minutes": 1.5, "predicted_from": "proof", "sessions": 7, "outage_seconds": 0.3}
    text = loss.before_swap("mail", {"created_at": SINCE}, LOST, foreseen)
    assert "would be lost: 3 rows added" in text
    assert "restored in about 1.5 min, as its proof took, while mail goes on." in text
    assert "its 7 sessions would be ended, and it could not be reached for about 0.3 s" in text
    assert "within 10 s, nothing is swapped" in text
