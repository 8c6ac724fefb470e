# SPDX-License-Identifier: GPL-3.0-or-later
"""The last resort: a database that cannot be trusted is replaced by its proven backup."""

from __future__ import annotations

from e2e.desk import Desk
from lab import load

_NAMES = "SELECT count(*) FROM public.users WHERE name = 'corrupted'"


def test_a_corrupted_database_is_replaced_by_its_backup(desk: Desk) -> None:
    desk.lab("load", "start")
    for phase in ("prepare", "back_up"):
        desk.play(f"playbooks/{phase}.yml").must_succeed()
    desk.lab("load", "stop")
    users = desk.value("SELECT count(*) FROM public.users")
    desk.do("UPDATE public.users SET name = 'corrupted'")
    assert desk.value(_NAMES) == users

    # Without a name under the loss nothing happens, and the sentence says what to type.
    desk.play("playbooks/restore.yml").must_fail("writes_lost")
    assert desk.value(_NAMES) == users

    check = desk.play("playbooks/restore.yml", "--check", migration_confirmations={"writes_lost": "tester"})
    check.must_succeed()
    assert desk.value(_NAMES) == users

    run = desk.play("playbooks/restore.yml", migration_confirmations={"writes_lost": "tester"}).must_succeed()
    assert desk.value(_NAMES) == 0
    assert "lost" in run.one_line
    assert set(desk.releases().values()) == {"v1.9.0"}
    kept = desk.value("SELECT count(*) FROM pg_database WHERE datname LIKE 'emailai\\_prod\\_\\_before\\_%%'")
    assert kept == 1
    state = desk.value("SELECT state FROM emailai_migration.run WHERE database = emailai_migration.here()")
    assert state == "rolled_back"


def test_the_application_works_on_the_restored_database(desk: Desk) -> None:
    desk.lab("load", "start")
    try:
        desk.play("migrate.yml").must_succeed()
    finally:
        desk.lab("load", "stop")
    # Users ask for what they wrote after the backup, and it is not there; that is all that fails.
    assert {failure["status"] for failure in load.failures(desk.layout)} <= {404, 401}
    assert set(desk.releases().values()) == {"v2.0.0-orgs"}
