# SPDX-License-Identifier: GPL-3.0-or-later
"""What is needed anyhow is taken off once, however much of it goes on at the same time."""

from __future__ import annotations

import json

import pytest

from bench import spans
from bench.spans import Event, Span

EVENTS = [
    Event(0.0, "play", "open"),
    Event(1.0, "task", "a"),
    Event(2.0, "play", "roll out"),
    Event(2.5, "task", "drain"),
    Event(2.6, "begin", "drain", "app-1"),
    Event(3.0, "end", "drain", "app-1"),
    Event(4.0, "task", "soak"),
    Event(6.0, "play", "roll out"),
    Event(7.0, "task", "drain"),
    Event(10.0, "over"),
]


def test_a_line_is_an_event() -> None:
    line = json.dumps({"at": 1.5, "event": "task", "name": "drain", "host": ""})
    assert spans.read([line, "\n"]) == [Event(1.5, "task", "drain")]


def test_a_task_ends_where_the_next_one_or_a_play_begins() -> None:
    assert spans.spans(EVENTS, "task") == [
        Span("a", 1.0, 2.0),
        Span("drain", 2.5, 4.0),
        Span("soak", 4.0, 6.0),
        Span("drain", 7.0, 10.0),
    ]


def test_each_batch_is_a_span_of_its_play() -> None:
    batches = [span for span in spans.spans(EVENTS, "play") if span.name == "roll out"]
    assert [(batch.began, batch.ended) for batch in batches] == [(2.0, 6.0), (6.0, 10.0)]
    assert [task.name for task in spans.within(spans.spans(EVENTS, "task"), batches)] == [
        "drain",
        "soak",
        "drain",
    ]


@pytest.mark.parametrize(
    ("intervals", "seconds"),
    [
        ([], 0),
        ([(1, 2), (4, 6)], 3),
        ([(4, 6), (1, 5)], 5),
        ([(1, 9), (2, 3), (8, 10)], 9),
    ],
)
def test_what_goes_on_at_the_same_time_counts_once(intervals: list[spans.Interval], seconds: float) -> None:
    assert spans.union(intervals) == seconds


def test_only_what_lies_in_the_batches_is_taken_off() -> None:
    batches = [Span("roll out", 2, 6), Span("roll out", 8, 10)]
    assert spans.overhead(batches, []) == 6
    assert spans.overhead(batches, [(0, 3), (5, 9), (20, 30)]) == 6 - 1 - 1 - 1


def test_the_longest_name_comes_first() -> None:
    rows = spans.by_name(spans.spans(EVENTS, "task"))
    assert rows[0] == ("drain", 4.5, 2)
    assert [name for name, _seconds, _count in rows] == ["drain", "soak", "a"]
