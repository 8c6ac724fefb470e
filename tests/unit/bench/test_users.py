# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user asks for, what he reads, and how it is counted."""

from __future__ import annotations

import pytest

from bench.users import Reply, Tally, read_reply, request

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Release: v2\r\n\r\nok"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nConnection: close\r\n\r\n"


def test_an_answer_is_read_when_it_is_whole() -> None:
    for size in range(len(ANSWER)):
        assert read_reply(ANSWER[:size]) == (None, ANSWER[:size])
    assert read_reply(ANSWER + b"HTTP") == (Reply(200, "v2", must_close=False), b"HTTP")


def test_an_answer_that_ends_the_connection_says_so() -> None:
    assert read_reply(UNAVAILABLE) == (Reply(503, "", must_close=True), b"")
    reply, _rest = read_reply(b"HTTP/1.1 200 OK\r\n\r\n")
    assert reply == Reply(200, "", must_close=True)


def test_a_wrong_answer_of_a_release_is_counted_apart() -> None:
    tally = Tally()
    for reply, at in (
        (Reply(200, "v1", False), 1.0),
        (Reply(500, "v2-bad", False), 2.0),
        (Reply(200, "v2-bad", False), 4.5),
        (Reply(503, "", True), 5.0),
    ):
        tally.note(reply, at)
    tally.lose("the connection ended")
    assert (tally.requests, tally.failed, tally.wrong) == (5, 2, {"v2-bad": 1})
    assert tally.words == ["503 without an application", "the connection ended"]
    assert tally.exposure("v2-bad") == 2.5
    assert tally.exposure("v3") == 0


def test_only_the_first_words_are_kept() -> None:
    tally = Tally()
    for _number in range(100):
        tally.lose("no connection")
    assert tally.failed == 100
    assert len(tally.words) == 20


@pytest.mark.parametrize(("is_slow", "slow"), [(True, 8), (False, 0)])
def test_one_request_in_five_is_a_post_and_few_users_are_slow(is_slow: bool, slow: int) -> None:
    asked = [request(is_slow, turn) for turn in range(80)]
    assert sum(words.startswith(b"POST") for words in asked) == 16
    assert sum(b"/slow/" in words for words in asked) == slow
