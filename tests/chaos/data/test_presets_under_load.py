# SPDX-License-Identifier: GPL-3.0-or-later
"""The presets beside the runbook's, while the release before writes: nobody notices, nothing is lost."""

from __future__ import annotations

import contextlib
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._tenancy import identity
from chaos.data.old_application import MailApplication, OldApplication
from integration.conftest import Postgres
from integration.preset_world import MailShop, Shop, build, crowd


@pytest.fixture
def database(postgres: Postgres, tmp_path: Path) -> Shop:
    made = Shop(postgres.new_database(), tmp_path)
    build(made)
    return made


def wrong(database: Shop) -> list[t.Any]:
    """What is not as the rule wants it, asked in another way than the product asks."""
    users = dict(database.rows('SELECT id, "premiumId" FROM "User"'))
    links = dict(database.rows('SELECT id, "premiumId" FROM "Organization"'))
    members = set(database.rows('SELECT "userId", "organizationId", role::text FROM "OrganizationMember"'))
    expected = {(user, identity.organization_id(user), "OWNER") for user in users}
    faults: list[t.Any] = list(members.symmetric_difference(expected))
    homes = {identity.organization_id(user): user for user in users}
    faults += [("organization of nobody", key) for key in links if key not in homes]
    held = [premium for premium in users.values() if premium]
    for user, premium in users.items():
        link = links.get(identity.organization_id(user))
        if link not in (None, premium):
            faults.append((user, "has", premium, "its organization", link))
        if premium and held.count(premium) == 1 and link != premium:
            faults.append((user, "alone has", premium, "its organization", link))
    boxes = database.rows('SELECT id, "userId", "organizationId" FROM "EmailAccount"')
    return faults + [box for box in boxes if box[2] != identity.organization_id(box[1])]


def move_under_load(
    database: Shop, application: type[OldApplication] = OldApplication, **options: t.Any
) -> None:
    """The data step while three sessions of the old application write; none of them notices."""
    crowd(database, 800, 300)
    database.call("org_schema")
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    before = database.one(deadlocks)
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(application(database, seed)) for seed in range(3)]
        time.sleep(0.5)
        first = database.call("org_migration", grace_seconds=0, batch_rows=50, **options)
        time.sleep(1)
    assert not first["failed"], first
    assert [writer.errors for writer in writers] == [[], [], []]
    assert database.one(deadlocks) == before
    assert sum(writer.done for writer in writers) > 200


def test_the_old_application_goes_on_and_nothing_is_lost(database: Shop) -> None:
    move_under_load(database)
    swept = database.call("org_migration", state="swept", grace_seconds=0)
    assert not swept["failed"], swept
    assert wrong(database) == []
    answer = database.call(
        "org_integrity", grace_seconds=0, acknowledged={"premiums": "test", "premiums_given_twice": "x"}
    )
    assert answer["may_go_on"], answer["summary"]


def astray(database: Shop) -> list[t.Any]:
    """What is not as a team wants it: one membership each, and everything of a user where that is."""
    homes = database.memberships()
    users = dict(database.rows('SELECT id, "premiumId" FROM "User"'))
    links = database.links()
    faults: list[t.Any] = sorted(users.keys() ^ homes.keys())
    for user, (organization, role) in homes.items():
        is_alone = organization == identity.organization_id(user)
        if is_alone and role != "OWNER":
            faults.append((user, "alone and", role))
        if not is_alone and not (organization.startswith("team") and identity.is_ours(organization)):
            faults.append((user, "in", organization))
    boxes = database.rows('SELECT id, "userId", "organizationId" FROM "EmailAccount"')
    faults += [box for box in boxes if box[2] != homes[box[1]][0]]
    held = [premium for premium in users.values() if premium]
    alone = {user for user, premium in users.items() if held.count(premium or "") == 1}
    for user in alone:
        if links.get(homes[user][0]) is None:
            faults.append((user, "alone has", users[user], "and his organization none"))
    return faults


def test_the_old_application_goes_on_while_teams_are_founded(database: Shop) -> None:
    move_under_load(database, premium_policy="team")
    swept = database.call("org_migration", state="swept", premium_policy="team", grace_seconds=0)
    assert not swept["failed"], swept
    assert astray(database) == []
    assert database.one("SELECT count(*) FROM \"Organization\" WHERE left(id, 4) = 'team'") > 5


def test_the_old_application_goes_on_while_mailboxes_join(postgres: Postgres, tmp_path: Path) -> None:
    database = MailShop(postgres.new_database(), tmp_path)
    build(database)
    move_under_load(database, MailApplication)
    database.sweep()
    owners = database.rows('SELECT id, "userId" FROM "EmailAccount"')
    assert database.members() == {box: (identity.organization_id(user), "owner") for box, user in owners}
    users = {identity.organization_id(user) for (user,) in database.rows('SELECT id FROM "User"')}
    assert users == {key for (key,) in database.rows('SELECT id FROM "Organization"')}
    answer = database.call("org_integrity", grace_seconds=0, acknowledged={"users_without_account": "test"})
    assert answer["may_go_on"], answer["summary"]
