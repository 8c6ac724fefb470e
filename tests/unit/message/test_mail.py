# SPDX-License-Identifier: GPL-3.0-or-later
"""How a letter looks as mail, chat line, status page document and file name."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._message import (
    chat,
    mail,
    outbox,
    status_page,
)
from ansible_collections.emailai.migration.plugins.module_utils._message.letter import Letter

LETTER = Letter("complete", "Done 🎉", "All is <well> & good.\n")
POST = mail.Post("localhost", 25, "none", "EmailAI <notices@example.com>", ["a@example.com"])


def test_a_mail_carries_what_it_should() -> None:
    message = mail.compose(
        LETTER, dataclasses.replace(POST, reply_to="help@example.com"), "run|complete|mail"
    )
    assert message["Subject"] == "Done 🎉"
    assert message["To"] == "a@example.com"
    assert message["Reply-To"] == "help@example.com"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content().strip() == "All is <well> & good."


def test_the_same_message_has_the_same_id() -> None:
    first, second, other = (mail.compose(LETTER, POST, key)["Message-ID"] for key in ("a", "a", "b"))
    assert first == second != other
    assert first.endswith("@example.com>")


def test_customers_do_not_see_each_other() -> None:
    message = mail.compose(
        LETTER, dataclasses.replace(POST, recipients=["a@example.com", "b@example.com"]), "key"
    )
    assert "example.com" not in message["To"]
    assert "b@example.com" not in message.as_string()


@pytest.mark.parametrize("address", ["nobody", "a@b\nBcc: c@example.com", "", "a b@example.com@x"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(MigrationError, match="is not a mail address"):
        mail.send(LETTER, dataclasses.replace(POST, recipients=[address]), "key")


def test_more_than_one_transaction_takes_is_refused() -> None:
    many = [f"u{number}@example.com" for number in range(101)]
    with pytest.raises(
        MigrationError, match=r"101 recipients do not fit.*Give the address of a mailing list"
    ):
        mail.send(LETTER, dataclasses.replace(POST, recipients=many), "key")


def test_a_password_never_travels_in_clear() -> None:
    with pytest.raises(MigrationError, match="a password would travel in clear"):
        mail.send(LETTER, dataclasses.replace(POST, user="u", password="hidden-pw"), "key")
    assert "hidden-pw" not in repr(dataclasses.replace(POST, password="hidden-pw"))


def test_the_chat_gets_no_control_characters() -> None:
    assert chat.payload(LETTER)["text"] == "*Done 🎉*\nAll is &lt;well&gt; &amp; good."


def test_an_incident_tells_subscribers_only_if_asked() -> None:
    incident = status_page.document(LETTER, "opened", "run#1", notifies=False)["incident"]
    assert incident["deliver_notifications"] is False
    assert incident["status"] == "identified"
    assert incident["metadata"] == {"emailai_migration": {"run_id": "run#1"}}
    assert (
        status_page.document(LETTER, "resolved", "run#1", notifies=True)["incident"]["deliver_notifications"]
        is True
    )


def test_a_run_is_a_file_name() -> None:
    assert (
        outbox.file_name("v1.9.0..v2.0.0-orgs#1", "updated:batch 2/4")
        == "v1.9.0..v2.0.0-orgs-1-updated-batch-2-4.txt"
    )
    assert "/" not in outbox.file_name("../../etc", "x")
