# SPDX-License-Identifier: GPL-3.0-or-later
"""A text becomes a letter, or is refused in one sentence that says what is missing."""

from __future__ import annotations

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._message.letter import (
    read_letter,
    unset_placeholders,
)


def test_a_letter_is_a_subject_and_a_body() -> None:
    letter = read_letter("complete", "Subject: Done\n\nAll is well.\n\nBye.\n")
    assert (letter.subject, letter.body) == ("Done", "All is well.\n\nBye.\n")
    assert letter.text == "Done\n\nAll is well.\n\nBye.\n"


def test_a_placeholder_that_is_left_is_named_once_and_in_order() -> None:
    assert unset_placeholders("⟦date⟧ ⟦contact⟧ ⟦date⟧") == ["date", "contact"]


def test_one_unset_placeholder_is_refused_in_one_sentence() -> None:
    with pytest.raises(MigrationError) as caught:
        read_letter("reminder", "Subject: x\n\nWrite to ⟦contact⟧.\n")
    assert (
        str(caught.value)
        == "Cannot send message 'reminder': contact is not set. Set announcement_facts.contact."
    )
    assert caught.value.facts["unset"] == ["contact"]


def test_several_unset_placeholders_are_all_named() -> None:
    with pytest.raises(
        MigrationError, match=r"date, start_time and contact are not set\. Set announcement_facts\.date, "
    ):
        read_letter("scheduled", "Subject: ⟦date⟧\n\n⟦start_time⟧ ⟦contact⟧")


@pytest.mark.parametrize(
    "text", ["", "Hello\n\nbody", "Subject:\n\nbody", "Subject: only\n\n", "Subject: only"]
)
def test_a_text_without_subject_or_body_is_refused(text: str) -> None:
    with pytest.raises(MigrationError, match="does not begin with a line 'Subject: …' followed by a body"):
        read_letter("complete", text)
