# SPDX-License-Identifier: GPL-3.0-or-later
"""What the catalog lacks, and where it contradicts: decided without a server."""

from __future__ import annotations

import dataclasses

from ansible_collections.emailai.migration.plugins.module_utils._postgres.catalog import (
    Column,
    Index,
    Key,
    Table,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import model, wanted
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.compare import (
    Comparison,
    Found,
    compare,
    compare_grants,
    map_differences,
)

MODEL = model.load("runbook", None)
WANTED = wanted.expanded(MODEL, "text", 'public."OrganizationRole"', "")


def table(name: str, *columns: str) -> Table:
    return Table(name, "table", {one: Column(one, "text", one == "id", False) for one in columns}, ("id",))


OLD = {
    "users": table("users", "id", "email", "name", "createdAt"),
    "EmailAccount": table("EmailAccount", "id", "userId"),
    "Premium": table("Premium", "id", "userId", "tier", "usedSeats", "maxSeats"),
}


def found(**changes: object) -> Found:
    return dataclasses.replace(Found(dict(OLD), "", ()), **changes)  # type: ignore[arg-type]


def test_nothing_there_means_everything_is_made_in_order() -> None:
    steps = compare(WANTED, found()).steps
    assert [step.act for step in steps] == ["make"] * 12
    things = [step.thing for step in steps]
    assert things.index("table Organization") < things.index("table OrganizationMember")
    assert things.index("column EmailAccount.organizationId") < things.index(
        "key EmailAccount_organizationId_fkey"
    )


def test_only_a_membership_goes_with_its_user() -> None:
    cascading = [one.name for one in WANTED if isinstance(one, wanted.NewKey) and one.on_delete == "CASCADE"]
    assert cascading == ["OrganizationMember_userId_fkey"]


def test_a_membership_goes_with_its_mailbox_where_mailboxes_are_members() -> None:
    made = wanted.expanded(model.load("inbox_zero", None), "uuid", "text", "")
    assert not [one for one in made if isinstance(one, (wanted.Enum, wanted.NewColumn))]
    keys = {one.name: (one.target, one.on_delete) for one in made if isinstance(one, wanted.NewKey)}
    assert keys == {
        "Member_emailAccountId_fkey": ("EmailAccount", "CASCADE"),
        "Member_organizationId_fkey": ("Organization", "RESTRICT"),
    }
    member = next(one for one in made if isinstance(one, wanted.NewTable) and one.name == "Member")
    assert {one.name: one.type for one in member.fields}["emailAccountId"] == "uuid"
    assert [one.name for one in member.fields] == [
        "id",
        "emailAccountId",
        "organizationId",
        "role",
        "createdAt",
    ]


def test_the_links_get_their_indexes_last() -> None:
    linked = {one.name for one in wanted.indexed(MODEL)}
    assert linked == {"EmailAccount_organizationId_idx", "Premium_organizationId_idx"}
    assert not linked & {one.name for one in WANTED if isinstance(one, wanted.NewIndex)}


def test_an_organization_outlives_its_premium_and_a_premium_its_organization() -> None:
    shared = wanted.expanded(model.load("emailai", None), "text", 'public."OrganizationRole"', "uuid")
    keys = {one.name: one.on_delete for one in shared if isinstance(one, wanted.NewKey)}
    assert keys == {
        "OrganizationMember_organizationId_fkey": "RESTRICT",
        "OrganizationMember_userId_fkey": "CASCADE",
        "EmailAccount_organizationId_fkey": "RESTRICT",
        "Organization_premiumId_fkey": "SET NULL",
    }
    table = next(one for one in shared if isinstance(one, wanted.NewTable) and one.name == "Organization")
    assert table.fields[-1] == wanted.Field("premiumId", "uuid", is_required=False)


def test_an_index_under_another_name_serves() -> None:
    index = Index("by_hand", ("organizationId",), False, True, True)
    there = found(tables={**OLD, "EmailAccount": dataclasses.replace(OLD["EmailAccount"], indexes=(index,))})
    things = [step.thing for step in compare(wanted.indexed(MODEL), there).steps]
    assert things == ["index Premium_organizationId_idx"]


def test_an_index_that_serves_in_part_does_not_serve() -> None:
    for wrong in (
        Index("by_hand", ("organizationId",), False, False, True),
        Index("by_hand", ("organizationId",), False, True, False),
        Index("by_hand", ("organizationId", "id"), False, True, True),
    ):
        there = found(
            tables={**OLD, "EmailAccount": dataclasses.replace(OLD["EmailAccount"], indexes=(wrong,))}
        )
        assert len(compare(wanted.indexed(MODEL), there).steps) == 2


def test_a_key_that_does_not_cascade_where_it_must_is_a_contradiction() -> None:
    key = Key("x", "OrganizationMember", ("userId",), "public", "users", ("id",), "r", True)
    member = dataclasses.replace(table("OrganizationMember", "id"), keys=(key,))
    there = found(tables={**OLD, "OrganizationMember": member})
    assert any("could not delete a row of users" in one for one in compare(WANTED, there).differences)


def test_a_link_that_may_not_be_empty_is_a_contradiction() -> None:
    column = Column("organizationId", "text", True, False)
    account = dataclasses.replace(
        OLD["EmailAccount"], columns={**OLD["EmailAccount"].columns, "organizationId": column}
    )
    there = found(tables={**OLD, "EmailAccount": account})
    assert any("old release could not insert" in one for one in compare(WANTED, there).differences)


def test_the_map_must_fit() -> None:
    assert map_differences(MODEL, found()) == []
    without = {"users": dataclasses.replace(OLD["users"], primary=()), "EmailAccount": OLD["EmailAccount"]}
    assert map_differences(MODEL, found(tables=without)) == [
        "users.id is no unique key",
        "table public.Premium does not exist",
    ]


def test_grants_are_copied_and_only_what_is_missing() -> None:
    rights = {
        "EmailAccount": frozenset({("app", "SELECT"), ("", "INSERT")}),
        "Organization": frozenset({("app", "SELECT")}),
    }
    result = Comparison()
    compare_grants(["Organization"], "EmailAccount", found(privileges=rights), result)
    assert [step.thing for step in result.steps] == ["rights on Organization to PUBLIC"]
