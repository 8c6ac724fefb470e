# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong is said once, in one sentence with the right contact, before anything is written."""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import dataclass, field

import pytest

from e2e.desk import Desk

DBA, LEAD, PRODUCT = "dba@emailai.example", "lead@emailai.example", "product@emailai.example"


@dataclass(frozen=True)
class Case:
    """A way to be unfit, and the words an operator reads."""

    words: tuple[str, ...]
    contact: str
    variables: dict[str, t.Any] = field(default_factory=dict)
    breaks: t.Callable[[Desk], contextlib.AbstractContextManager[None]] | None = None


@contextlib.contextmanager
def a_dead_server(desk: Desk) -> t.Iterator[None]:
    desk.lab("app", "kill", "app-3")
    try:
        yield
    finally:
        desk.lab("up")


@contextlib.contextmanager
def no_premium_table(desk: Desk) -> t.Iterator[None]:
    desk.do('ALTER TABLE public."Premium" RENAME TO "Elsewhere"')
    try:
        yield
    finally:
        desk.do('ALTER TABLE public."Elsewhere" RENAME TO "Premium"')


@contextlib.contextmanager
def a_numeric_owner(desk: Desk) -> t.Iterator[None]:
    desk.do('ALTER TABLE public."EmailAccount" RENAME COLUMN "userId" TO "ownerId"')
    try:
        yield
    finally:
        desk.do('ALTER TABLE public."EmailAccount" RENAME COLUMN "ownerId" TO "userId"')


CASES = {
    "wrong password": Case(
        ("password authentication failed",), DBA,
        {"migration_owner_url": "postgresql://emailai_owner:wrong@127.0.0.1:{prod}/emailai_prod"},
    ),
    "unreachable database": Case(
        ("Connection refused",), DBA,
        {"migration_owner_url": "postgresql://emailai_owner:x@127.0.0.1:1/emailai_prod"},
    ),
    "missing bucket": Case(("bucket does not exist",), DBA, {"lab_store_bucket": "nowhere"}),
    "too little disk": Case(("disk",), DBA, {"readiness_disk_factor": 1000000000}),
    "too few free connections": Case(("connections",), DBA, {"readiness_workers": 500}),
    "an unhealthy server": Case(("app-3",), LEAD, {}, a_dead_server),
    "a member the balancer does not know": Case(
        ("app-9",), LEAD, {"balancer_members": ["app-1", "app-2", "app-3", "app-4", "app-9"]}
    ),
    "a dead metric source": Case(
        ("/nowhere/access.log",), LEAD,
        {"gate_providers": [{"kind": "access_log", "path": "/nowhere/access.log"}]},
    ),
    # Only a rehearsal on a side that serves nobody goes on unwatched.
    "no metric source": Case(("gate error rates", "no provider"), LEAD, {"gate_providers": []}),
    "an open confirmation": Case(("on_call",), PRODUCT, {"readiness_confirmations": {"team_notified": "x"}}),
    "outside the window": Case(
        ("window",), PRODUCT, {"readiness_window": "us", "readiness_now": "2026-11-25T17:00:00Z"}
    ),
    "a missing table": Case(("Premium",), DBA, {}, no_premium_table),
    "a model that does not fit": Case(("userId",), DBA, {}, a_numeric_owner),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_prepare_refuses_before_anything_is_changed(desk: Desk, name: str) -> None:
    case = CASES[name]
    variables = {
        key: value.format(prod=desk.layout.port("prod")) if isinstance(value, str) else value
        for key, value in case.variables.items()
    }
    with case.breaks(desk) if case.breaks else contextlib.nullcontext():
        run = desk.play("playbooks/prepare.yml", **variables).must_fail(*case.words, case.contact)
    assert run.output.count("FAILED!") == 1, f"it was said more than once:\n{run.output[-6000:]}"
    assert "Traceback" not in run.output
    for secret in desk.layout.secrets()["roles"].values():
        assert secret not in run.output
    assert desk.value("SELECT to_regnamespace('emailai_migration') IS NULL"), "something was written"


def test_a_fit_system_is_accepted(desk: Desk) -> None:
    """The control: what was refused above is refused for its own reason."""
    desk.lab("load", "start")
    try:
        desk.play("playbooks/prepare.yml").must_succeed()
    finally:
        desk.lab("load", "stop")


def test_no_side_or_both_is_refused(desk: Desk) -> None:
    desk.play("playbooks/prepare.yml", limit="all").must_fail("does not name one side")
