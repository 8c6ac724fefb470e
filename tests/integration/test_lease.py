# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease on a real server: one holder at a time, and whoever was overtaken cannot write."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._journal import control, lease, tables
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target, session

if t.TYPE_CHECKING:
    from integration.conftest import Postgres


@pytest.fixture
def target(postgres: Postgres) -> Target:
    found = postgres.new_database()
    with session(found, "test") as connection:
        assert tables.ensure(connection)
        assert not tables.ensure(connection)
    return found


def take(target: Target, owner: str, **more: t.Any) -> lease.Lease | None:
    with session(target, "test") as connection:
        return lease.acquire(connection, "work", "r#1", owner, **more)


def expire(target: Target) -> None:
    with session(target, "test") as connection:
        connection.cursor().execute("UPDATE emailai_migration.lease SET expires_at = now() - interval '1 s'")
        connection.commit()


def test_of_twenty_at_once_one_takes_it(target: Target) -> None:
    with ThreadPoolExecutor(20) as pool:
        taken = [held for held in pool.map(lambda n: take(target, f"operator {n}"), range(20)) if held]
    assert len(taken) == 1
    assert taken[0].epoch == 1
    assert taken[0].is_live


def test_an_expired_lease_is_taken_over_and_fences_the_one_before(target: Target) -> None:
    first = take(target, "ada")
    assert first is not None
    assert take(target, "joe") is None
    expire(target)
    second = take(target, "joe")
    assert second is not None
    assert (second.owner, second.epoch) == ("joe", first.epoch + 1)
    with session(target, "test") as connection, connection.cursor() as cursor:
        with pytest.raises(lease.FencedError):
            lease.extend(cursor, "work", first.epoch)
        lease.extend(cursor, "work", second.epoch)


def test_of_twenty_at_an_expired_lease_one_takes_it(target: Target) -> None:
    take(target, "ada")
    expire(target)
    with ThreadPoolExecutor(20) as pool:
        taken = [held for held in pool.map(lambda n: take(target, f"operator {n}"), range(20)) if held]
    assert [held.epoch for held in taken] == [2]


def test_a_late_batch_waits_for_no_one_and_fails(target: Target) -> None:
    """The fence is the row: a batch that holds it commits before the take-over, or not at all."""
    first = take(target, "ada", seconds=0.01)
    assert first is not None
    with session(target, "test") as batch, batch.cursor() as cursor:
        lease.extend(cursor, "work", first.epoch, 0.01)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(take, target, "joe", seize=True)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.3)
            batch.commit()
            assert waiting.result(timeout=5) is not None
        with pytest.raises(lease.FencedError):
            lease.extend(cursor, "work", first.epoch)


def test_seizing_does_not_wait(target: Target) -> None:
    take(target, "ada")
    held = take(target, "joe", seize=True)
    assert held is not None
    assert held.epoch == 2


def test_only_the_epoch_that_was_seen_dead_counts_as_expired(target: Target) -> None:
    first = take(target, "ada")
    assert first is not None
    assert take(target, "joe", dead_epoch=first.epoch + 7) is None
    assert take(target, "joe", dead_epoch=first.epoch) is not None


def test_a_released_lease_is_free_at_once_and_forgets_its_process(target: Target) -> None:
    first = take(target, "ada", detail={"controller": {"pid": 1}}, host="lap", pid=7)
    assert first is not None
    assert (first.host, first.pid) == ("lap", 7)
    with session(target, "test") as connection:
        lease.release(connection, "work", first.epoch)
        left = lease.read(connection, "work")
    assert left is not None
    assert (left.is_live, left.epoch, left.detail) == (False, 1, {})
    second = take(target, "joe")
    assert second is not None
    assert second.epoch == 2


def test_releasing_with_an_old_epoch_releases_nothing(target: Target) -> None:
    first = take(target, "ada")
    second = take(target, "joe", seize=True)
    assert first is not None
    assert second is not None
    with session(target, "test") as connection:
        lease.release(connection, "work", first.epoch)
        left = lease.read(connection, "work")
    assert left is not None
    assert left.is_live


def test_fencing_the_others_spares_the_named_one(target: Target) -> None:
    with session(target, "test") as connection:
        mine = lease.acquire(connection, "run", "r#1", "ada")
        lease.acquire(connection, "data", "r#1", "worker")
        lease.acquire(connection, "backup", "r#1", "worker")
        assert mine is not None
        assert lease.fence_others(connection, "run") == 2
        assert lease.fence_others(connection, "run") == 0
        with connection.cursor() as cursor:
            lease.extend(cursor, "run", mine.epoch)
            with pytest.raises(lease.FencedError):
                lease.extend(cursor, "data", 1)


def test_a_copy_of_the_database_starts_without_leases_and_wishes(postgres: Postgres, target: Target) -> None:
    take(target, "ada")
    with session(target, "test") as connection:
        control.write(connection, control.Control("pause", 100, 0.5, "ada"))
    copy = postgres.server
    name = f"{target.dbname}_copy"
    with session(postgres.superuser, "test", autocommit=True) as connection:
        connection.cursor().execute(f'CREATE DATABASE "{name}" TEMPLATE "{target.dbname}"')
    assert copy.is_running()
    with session(target.for_database(name), "test") as connection:
        assert tables.exist(connection)
        assert lease.read(connection, "work") is None
        assert control.read(connection) == control.Control()
    with session(target, "test") as connection:
        assert control.read(connection) == control.Control("pause", 100, 0.5, "ada")
