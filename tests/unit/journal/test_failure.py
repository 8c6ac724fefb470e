# SPDX-License-Identifier: GPL-3.0-or-later
"""A failed phase in words."""

from __future__ import annotations

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._journal import failure


def test_a_failure_says_what_happened_whom_to_ask_and_both_ways() -> None:
    assert failure.sentence("move", "Cannot move.", "database", {"dba": "Ada"}, "prod").splitlines() == [
        "Phase move failed: Cannot move.",
        "Ask the DBA on call, Ada.",
        "To go on at this phase: ansible-playbook migrate.yml -l prod",
        "To go back: ansible-playbook playbooks/roll_back.yml -l prod",
    ]


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        ("database", "the DBA on call"),
        ("storage", "the DBA on call"),
        ("app", "the engineering lead"),
        ("balancer", "the engineering lead"),
        ("gate", "the engineering lead"),
        ("person", "the product manager"),
        ("message", "the product manager"),
        ("window", "the product manager"),
        ("", "the CTO"),
        ("something new", "the CTO"),
    ],
)
def test_each_kind_of_failure_has_its_contact(kind: str, title: str) -> None:
    assert f"Ask {title}." in failure.sentence("move", "x", kind, {}, "")


def test_a_failed_way_back_points_to_the_last_resort() -> None:
    words = failure.sentence("roll_back", "x", "", {}, "prod")
    assert "ansible-playbook playbooks/roll_back.yml -l prod" in words
    assert "the last resort: ansible-playbook playbooks/restore.yml -l prod" in words


def test_contract_promises_no_way_back() -> None:
    assert "roll_back" not in failure.sentence("contract", "x", "", {}, "prod")


def test_of_a_failed_task_only_message_and_kind_are_kept() -> None:
    assert failure.reduce({"msg": "m", "kind": "app", "stdout": "secret"}) == {"msg": "m", "kind": "app"}
    assert failure.reduce(None) == {}


def test_a_failed_loop_tells_each_failure_once() -> None:
    results = [
        {"failed": True, "msg": "one", "kind": "storage"},
        {"failed": False, "msg": "fine"},
        {"failed": True, "msg": "one"},
        {"failed": True, "msg": "two"},
    ]
    reduced = failure.reduce({"msg": "One or more items failed", "results": results})
    assert reduced == {"msg": "one two", "kind": "storage"}


def test_a_later_release_goes_on_by_its_own_playbook() -> None:
    words = failure.sentence("deploy", "x", "", {}, "prod")
    assert "migrate.yml -l prod (a later release: ansible-playbook playbooks/deploy.yml -l prod)" in words
    assert "later" not in failure.sentence("move", "x", "", {}, "prod")
