# SPDX-License-Identifier: GPL-3.0-or-later
"""Providers that are asked over HTTP: what cannot work is refused before it is asked."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._gate import provider
from ansible_collections.emailai.migration.plugins.module_utils._gate.asked import SECRETS
from ansible_collections.emailai.migration.plugins.module_utils._gate.options import PROVIDER
from ansible_collections.emailai.migration.plugins.module_utils._gate.providers.http_json import found_at

COUNTED = {"requests": "a[$window]", "errors": "b[$window]"}
PROMETHEUS = {"kind": "prometheus", "url": "https://prometheus.example", **COUNTED}
DATADOG = {"kind": "datadog", "api_key": "5ecret", "application_key": "5ecret", **COUNTED}
SENTRY = {"kind": "sentry", "token": "5ecret", "organization": "emailai"}
PAGE = {"kind": "http_json", "url": "https://app.example/figures", **COUNTED}


@pytest.mark.parametrize("description", [PROMETHEUS, DATADOG, SENTRY, PAGE], ids=lambda d: d["kind"])
def test_a_whole_description_works(description: dict[str, t.Any]) -> None:
    measures = {"sentry": ("errors", "p95")}.get(description["kind"], ("errors",))
    assert provider.make(description).measures == measures


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ({**PROMETHEUS, "url": ""}, "url is not set"),
        ({**PROMETHEUS, "requests": ""}, "requests is not set"),
        ({**PROMETHEUS, "errors": ""}, "it measures nothing"),
        ({**PROMETHEUS, "p95": "c"}, "the unit of its p95 is not known. Set duration to ms or s"),
        ({**PROMETHEUS, "errors": "b[5m]"}, "query of errors does not say over which time it counts"),
        ({**PROMETHEUS, "url": "prometheus.example/5ecret"}, "its url is no address of http or https"),
        ({**PROMETHEUS, "url": "file:///etc/5ecret"}, "its url is no address of http or https"),
        ({**PROMETHEUS, "url": "http://[5ecret"}, "its url is no address of http or https"),
        (
            {**PROMETHEUS, "url": "http://prometheus.example", "token": "5ecret"},
            "its key would travel in the clear. Give its url as https",
        ),
        (
            {**PROMETHEUS, "url": "http://prometheus.example", "login_user": "a", "login_password": "5ecret"},
            "its key would travel in the clear",
        ),
        ({**DATADOG, "application_key": ""}, "application_key is not set"),
        ({**DATADOG, "url": "http://api.datadoghq.com"}, "its key would travel in the clear"),
        ({**SENTRY, "token": ""}, "token is not set"),
        ({**SENTRY, "organization": ""}, "organization is not set"),
        ({**SENTRY, "dataset": "errors"}, "Set requests_of to a provider that counts requests"),
        ({**SENTRY, "requests_of": "haproxy"}, "spans count their own requests"),
        (
            {**SENTRY, "dataset": "errors", "requests_of": "haproxy", "server_label": "server_name"},
            "not those of a server",
        ),
        ({**PAGE, "requests": ""}, "requests is not set"),
    ],
)
def test_a_description_that_cannot_work_is_refused_without_its_secrets(
    description: dict[str, t.Any], words: str
) -> None:
    with pytest.raises(MigrationError) as refused:
        provider.make(description)
    assert words in str(refused.value)
    assert "5ecret" not in str(refused.value)


@pytest.mark.parametrize("name", SECRETS)
def test_what_holds_a_secret_is_kept_out_of_logs(name: str) -> None:
    assert PROVIDER[name]["no_log"] is True


def test_a_plain_address_is_good_enough_without_a_key_and_on_this_machine() -> None:
    provider.make({**PROMETHEUS, "url": "http://prometheus.example"})
    provider.make({**PROMETHEUS, "url": "http://127.0.0.1:9090", "token": "5ecret"})


@pytest.mark.parametrize("lender", ["nobody", "sentry"])
def test_requests_are_borrowed_from_another_provider_that_is_there(lender: str) -> None:
    borrower = {**SENTRY, "dataset": "errors", "requests_of": lender}
    with pytest.raises(MigrationError, match=f"no other provider has the name {lender}"):
        provider.refuse_strangers([borrower, {"kind": "haproxy"}])
    provider.refuse_strangers([{**borrower, "requests_of": "haproxy"}, {"kind": "haproxy"}])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.b", 1),
        ("list.1.n", 2),
        ("list.7.n", None),
        ("list.-1.n", None),
        ("a.b.c", None),
        ("", None),
        ("a", {"b": 1}),
    ],
)
def test_a_path_leads_to_a_number_or_nowhere(path: str, expected: t.Any) -> None:
    assert found_at({"a": {"b": 1}, "list": [{"n": 0}, {"n": 2}]}, path) == expected
