# SPDX-License-Identifier: GPL-3.0-or-later
"""What a refusal over HTTP tells, no more of an address than its host, and how long an answer may take."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import typing as t

import pytest

from ansible_collections.emailai.migration.plugins.module_utils import _http
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30),
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:10 GMT"}, 0),
        ({"X-RateLimit-Reset": "9"}, 9),
        ({"X-Sentry-Rate-Limit-Reset": "1700000012"}, 12),
        ({"Retry-After": "3", "X-RateLimit-Reset": "9"}, 3),
        ({"Retry-After": "soon", "X-RateLimit-Reset": "9"}, 9),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
    ],
)
def test_how_long_to_stay_away(headers: dict[str, str], expected: float | None) -> None:
    assert _http._wait_of(headers, NOW) == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://user:5ecret@127.0.0.1:1/hooks/5ecret?key=5ecret",
        "nonsense://127.0.0.1/5ecret",
        "http://127.0.0.1:1/5ecret with a space",
        "http://[127.0.0.1/5ecret",
        "5ecret",
    ],
)
def test_an_address_is_not_repeated(url: str) -> None:
    with pytest.raises(MigrationError) as refused:
        _http.request(_http.Manner("send", "it", "message", seconds=2), url)
    assert "5ecret" not in str(refused.value)
    assert "5ecret" not in str(refused.value.facts)
    assert str(refused.value).startswith("Cannot send it: ")


@contextlib.contextmanager
def _silent_after_a_while(after_seconds: float) -> t.Iterator[str]:
    """A server that sends one line after so many seconds, and then nothing, without an end."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _address = listener.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                done.wait(after_seconds)
                peer.sendall(b"one\n")
                done.wait(10)

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            done.set()
            server.join(5)


def test_lines_without_end_are_read_for_as_long_as_we_are_patient_and_no_longer() -> None:
    with _silent_after_a_while(0.4) as url:
        began = time.monotonic()
        assert list(_http.lines(_http.Manner("read", "it", "gate", seconds=0.6), url)) == ["one"]
        assert 0.5 < time.monotonic() - began < 0.9


def test_an_answer_without_end_is_waited_for_no_longer_than_we_are_patient() -> None:
    with _silent_after_a_while(0.4) as url:
        began = time.monotonic()
        with pytest.raises(MigrationError, match=r"did not answer within 0\.6 s"):
            _http.request(_http.Manner("read", "it", "gate", seconds=0.6), url)
        assert 0.5 < time.monotonic() - began < 0.9
