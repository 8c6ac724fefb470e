# SPDX-License-Identifier: GPL-3.0-or-later
"""The model map: laid over its preset, refused with every fault at once."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import model


def test_the_runbooks_names() -> None:
    found = model.load("runbook", None)
    assert found.users.table == "users"
    assert [link.table for link in found.links] == ["EmailAccount", "Premium"]
    assert found.roles.labels == ("OWNER", "ADMIN", "MEMBER", "VIEWER")
    assert found.release_mark == "emailai-orgs"


def test_a_map_changes_only_what_it_names() -> None:
    found = model.load("runbook", {"users": {"table": "User"}, "organizations": {"fill": {"plan": "free"}}})
    assert (found.users.table, found.users.id) == ("User", "id")
    assert found.organizations.fill == {"plan": "free"}
    assert found.digest != model.load("runbook", None).digest
    assert model.load("runbook", {}).digest == model.load("runbook", None).digest


def test_resources_are_links_of_their_own() -> None:
    rule = {"table": "Rule", "id": "id", "owner": "userId", "organization": "organizationId"}
    found = model.load("runbook", {"resources": [rule]})
    assert [link.name for link in found.links] == ["accounts", "premiums", "resource Rule"]


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({"user": {}}, ["user is no key of the map"]),
        ({"users": {"key": "x"}}, ["users.key is no key of the map"]),
        ({"users": "people"}, ["users must hold keys of its own"]),
        ({"users": {"id": ""}}, ["users.id is not a name of at most 63 bytes"]),
        ({"users": {"id": "é" * 32}}, ["users.id is not a name of at most 63 bytes"]),
        ({"schema": 1, "release_mark": ""}, ["schema is not a name", "release_mark must not be empty"]),
        ({"roles": {"owner": "BOSS"}}, ["roles.owner and roles.default must be among"]),
        ({"premiums": {"table": "users"}}, ["two parts of the map name the same table"]),
        ({"resources": [{"table": "Rule"}]}, ["resources 1 needs exactly"]),
        ({"deprecated": {}}, ["deprecated must be a list"]),
    ],
)
def test_faults_are_told_all_at_once(given: dict[str, t.Any], faults: list[str]) -> None:
    with pytest.raises(MigrationError) as caught:
        model.load("runbook", given)
    assert len(caught.value.facts["differences"]) == len(faults)
    for fault in faults:
        assert fault in str(caught.value)


def test_a_column_that_is_not_there_may_be_left_out() -> None:
    assert model.load("runbook", {"users": {"name": ""}}).users.name == ""


def test_users_may_point_at_their_premium() -> None:
    found = model.load("emailai", None)
    assert found.users.table == "User"
    assert [link.name for link in found.links] == ["accounts"]
    assert found.sharing == model.Sharing("premiumId", "premiumAdminId", "premiumId", "report")
    assert found.old_tables == ("User", "EmailAccount", "Premium")
    assert model.load("runbook", None).sharing is None


def test_any_preset_can_be_taken_there_by_its_map() -> None:
    premiums = {"owner_in": "user", "owner": "plan", "link_in": "organization", "organization": "plan"}
    found = model.load("runbook", {"premiums": premiums})
    assert found.sharing == model.Sharing("plan", "", "plan", "report")


@pytest.mark.parametrize(
    ("preset", "given", "fault"),
    [
        ("runbook", {"owner_in": "users"}, "premiums.owner_in is none of premium, user"),
        ("runbook", {"link_in": ""}, "premiums.link_in is none of premium, organization, user"),
        ("runbook", {"owner_in": "user"}, "user and premium do not go together"),
        ("emailai", {"owner_in": "premium"}, "premium and organization do not go together"),
        ("runbook", {"admin": "adminId"}, "premiums.admin is a column of users"),
        ("emailai", {"admin": "premiumId"}, "premiums.owner is a column of users that plays another part"),
        ("emailai", {"owner": "email"}, "premiums.owner is a column of users that plays another part"),
        ("emailai", {"organization": "slug"}, "premiums.organization is a column of organizations"),
        ("emailai", {"owner": ""}, "premiums.owner is not a name"),
    ],
)
def test_where_the_columns_of_a_premium_may_be(preset: str, given: dict[str, t.Any], fault: str) -> None:
    with pytest.raises(MigrationError) as caught:
        model.load(preset, {"premiums": given})
    assert [fault in one for one in caught.value.facts["differences"]] == [True]


def test_a_policy_is_part_of_a_model_that_shares() -> None:
    assert model.load("emailai", None, "owner").digest != model.load("emailai", None).digest
    assert model.load("runbook", None, "team").digest == model.load("runbook", None).digest
    assert [model.load("emailai", None, policy).has_teams for policy in ("report", "owner", "team")] == [
        False, False, True,
    ]  # fmt: skip
    assert not model.load("runbook", None, "team").has_teams


def test_a_resource_may_hang_on_an_account_or_on_another_resource() -> None:
    rule = {
        "table": "Rule",
        "id": "id",
        "owner": "boxId",
        "owner_in": "EmailAccount",
        "organization": "orgId",
    }
    step = {"table": "Step", "id": "id", "owner": "ruleId", "owner_in": "Rule", "organization": "orgId"}
    found = model.load("runbook", {"resources": [rule, step]})
    assert found.parent(found.links[3]).table == "Rule"
    assert [child.table for child in found.children(found.accounts)] == ["Rule"]
    assert found.owner_of(found.links[2]) == ("EmailAccount", "id")
    for wrong in ([step, rule], [dict(rule, owner_in="users")], [dict(rule, owner_in="Rule")]):
        with pytest.raises(MigrationError, match="owner_in names neither the accounts nor a part before it"):
            model.load("runbook", {"resources": wrong})


def test_mailboxes_may_be_the_members() -> None:
    found = model.load("inbox_zero", None)
    assert found.has_member_accounts
    assert found.subject == ("EmailAccount", "id")
    assert (found.links, found.sharing) == ((), None)
    assert [link.name for link in found.owned] == ["accounts"]
    assert found.old_tables == ("User", "EmailAccount")
    assert model.load("runbook", None).subject == ("users", "id")


@pytest.mark.parametrize(
    ("preset", "given", "fault"),
    [
        ("runbook", {"members": {"account": "boxId"}}, "one of members.user and members.account"),
        ("inbox_zero", {"members": {"account": ""}}, "one of members.user and members.account"),
        ("inbox_zero", {"accounts": {"organization": "orgId"}}, "accounts.organization must be empty"),
        ("runbook", {"accounts": {"organization": ""}}, "accounts.organization is not a name"),
        ("runbook", {"organizations": {"name": ""}}, "organizations.name is not a name"),
        ("inbox_zero", {"premiums": {"admin": "premiumAdminId"}}, "premiums stay with their users"),
        ("inbox_zero", {"premiums": {"used_seats": "seats"}}, "premiums stay with their users"),
        ("emailai", {"premiums": {"organization": ""}}, "premiums.organization is not a name"),
    ],
)
def test_who_a_member_is_decides_what_has_a_link(preset: str, given: dict[str, t.Any], fault: str) -> None:
    with pytest.raises(MigrationError) as caught:
        model.load(preset, given)
    assert [fault in one for one in caught.value.facts["differences"]] == [True]


def test_other_presets_are_refused_with_the_reason() -> None:
    with pytest.raises(MigrationError, match="Cannot use preset"):
        model.load("other", None)
