# SPDX-License-Identifier: GPL-3.0-or-later
"""What a refusal over HTTP tells: for how long to stay away, and no more of the address than its host."""

from __future__ import annotations

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
