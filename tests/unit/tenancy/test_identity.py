# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule that names an organization: pure, self-proving, and fit for a URL."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._tenancy import identity

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=120)


@given(TEXT, st.none() | TEXT, st.none() | TEXT, st.sampled_from([identity.SUFFIX, identity.LONG_SUFFIX]))
def test_a_slug_is_short_plain_and_always_the_same(
    user: str, name: str | None, email: str | None, suffix: int
) -> None:
    slug = identity.slug(user, name, email, suffix)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
    assert len(slug) <= 50
    assert slug == identity.slug(user, name, email, suffix)


@given(st.lists(TEXT, min_size=2, max_size=20, unique=True), TEXT)
def test_users_of_one_name_get_different_slugs(users: list[str], name: str) -> None:
    assert len({identity.slug(user, name, None) for user in users}) == len(users)


def test_readable_parts() -> None:
    assert identity.slug("u1", "Ada Lovelace", None).startswith("ada-lovelace-")
    assert identity.slug("u1", "Zoë Ångström", None).startswith("zoe-angstrom-")
    assert identity.slug("u1", " ", "Ada.L+x@example.com").startswith("ada-l-x-")
    assert identity.slug("u1", "李小龍", None).startswith("organization-")
    assert identity.slug("u1", "admin", None) != "admin"


@given(TEXT)
def test_ids_prove_themselves(user: str) -> None:
    organization = identity.organization_id(user)
    assert identity.is_ours(organization)
    assert len(organization) == 36
    assert identity.member_id(user)[4:] == organization[4:]
    assert identity.is_ours(identity.team_id(user))
    assert identity.team_id(user) != organization


@given(TEXT, st.integers(4, 35), st.sampled_from("0123456789abcdef"))
def test_an_id_with_one_other_digit_is_not_ours(user: str, place: int, digit: str) -> None:
    organization = identity.organization_id(user)
    changed = organization[:place] + digit + organization[place + 1 :]
    assert identity.is_ours(changed) == (changed == organization)


def test_ids_do_not_change_between_versions() -> None:
    """Whoever changes the rule makes every organization made so far a stranger's."""
    assert identity.organization_id("user-1") == "org_d6d7705392bc7af633328beab8052d17"
    assert identity.team_id("user-1") == "teamd6d7705392bc7af633328beab8052d17"
    assert identity.slug("user-1", "Ada", "a@b.c") == "ada-d6d7705392"


@given(st.none() | TEXT, st.none() | TEXT)
def test_an_organization_always_has_a_name(name: str | None, email: str | None) -> None:
    assert 0 < len(identity.organization_name(name, email)) <= 100
