# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of backups: the runbook's form, and none that leads out of the folder."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._archive import names
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

MOMENT = datetime.datetime(2026, 11, 23, 4, 0, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))


def test_a_backup_is_called_as_the_runbook_calls_it_with_the_time_in_utc() -> None:
    assert names.backup_id("emailai_prod", MOMENT) == "emailai_prod_backup_20261123T030000Z"


@given(st.text(min_size=1))
def test_every_database_gives_a_name_that_is_accepted(database: str) -> None:
    assert names.checked_backup_id(names.backup_id(database, MOMENT)[-120:].lstrip("-_."))


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", ".hidden", "x" * 200])
def test_names_that_would_leave_the_folder_are_refused(name: str) -> None:
    with pytest.raises(MigrationError, match="Cannot use the backup name"):
        names.checked_backup_id(name)


@given(st.text(min_size=1), st.sampled_from(["restore", "before", "proof"]))
def test_databases_beside_fit_the_server_and_differ_by_relation(database: str, relation: str) -> None:
    name = names.database_beside(database, relation, "emailai_prod_backup_20261123T030000Z")
    assert len(name.encode()) <= 63
    assert name.endswith(f"__{relation}_20261123t030000z")


@pytest.mark.parametrize(
    ("key", "ours"),
    [
        ("emailai_prod_backup_20261123T030000Z/data-rest.dump.zst", True),
        ("x/schema.dump.gz", True),
        ("x/.pending-schema.dump.zst-12ab", True),
        ("emailai_prod_backup_20261101.sql.gz", False),
        ("old/backup.sql.gz", False),
        ("x/y/schema.dump.zst", False),
    ],
)
def test_only_our_own_files_are_taken_for_ours(key: str, ours: bool) -> None:
    assert names.is_ours(key) is ours


def test_two_proofs_of_one_second_have_two_names() -> None:
    later = MOMENT + datetime.timedelta(microseconds=1)
    assert names.proof_name(MOMENT) < names.proof_name(later)
    assert names.is_ours(f"x/{names.proof_name(later)}")
