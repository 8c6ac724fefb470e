# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: announcement
short_description: Send a message of the migration once a run
version_added: 0.1.0
description:
  - Sends one rendered message on one channel and notes it in the migration's journal.
  - A message that the journal knows is not sent again, whoever asks, also when two ask at the same time.
  - A text in which a placeholder is left is refused.
  - Without a database nothing can be noted; the message is then sent each time, and the result says so.
author: EmailAI platform engineering (@emailai)
extends_documentation_fragment:
  - emailai.migration._connection
  - emailai.migration._attributes
  - emailai.migration._attributes.actiongroup_migration
attributes:
  check_mode:
    support: full
    details:
      - Never sends. Returns the text that would go out and whether it would.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - Without a database the message is sent each time.
options:
  run_id:
    description: The run the message belongs to.
    type: str
    required: true
  name:
    description: Name of the message.
    type: str
    required: true
  occasion:
    description:
      - Sets messages of the same name apart, such as two updates in one run.
      - Each occasion is sent once.
    type: str
    default: ""
  text:
    description:
      - The rendered message.
      - Its first line is C(Subject:) and the subject, an empty line follows, then the body.
    type: str
    required: true
  channel:
    description:
      - Where to send it.
      - V(mail) needs O(sender) and O(recipients).
      - V(chat) needs O(chat_url).
      - V(file) needs O(folder).
      - V(status_page) needs O(status_page_id), O(status_page_key) and O(status_page_step).
    type: str
    choices: [mail, chat, file, status_page]
    required: true
  is_rehearsal:
    description: In a rehearsal nothing is ever sent; the text is returned all the same.
    type: bool
    default: false
  smtp_host:
    description: The mail server.
    type: str
    default: localhost
  smtp_port:
    description: Its port.
    type: int
    default: 587
  smtp_tls:
    description: How the connection is protected. A password is never sent without protection.
    type: str
    choices: [none, starttls, tls]
    default: starttls
  smtp_user:
    description: Name to log in with. Not set means no login.
    type: str
  smtp_password:
    description: Password to log in with.
    type: str
  smtp_ca_cert:
    description: File with the certificate authorities to trust. Not set means the system's own.
    type: path
  sender:
    description: Address in C(From), with or without a name.
    type: str
  recipients:
    description:
      - Whom to send to, at most 100; more belong into a mailing list.
      - With more than one, none of them sees the others.
    type: list
    elements: str
    default: []
  reply_to:
    description: Where answers go. Not set means O(sender).
    type: str
  chat_url:
    description: Incoming webhook of the chat, in Slack's format. Treated as a secret.
    type: str
  folder:
    description: Folder on the host the module runs on, in which the message becomes a text file.
    type: path
  status_page_url:
    description: Base address of the status page's API.
    type: str
    default: https://api.statuspage.io/v1
  status_page_id:
    description: The page.
    type: str
  status_page_key:
    description: The API key.
    type: str
  status_page_step:
    description: What happens to the run's incident.
    type: str
    choices: [opened, updated, resolved]
  status_page_notifies:
    description: Whether the page's subscribers are told.
    type: bool
    default: false
  validate_certs:
    description: Whether certificates of O(chat_url) and O(status_page_url) are checked.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Tell people that the migration is complete
  emailai.migration.announcement:
    login_url: "{{ migration_writer_url }}"
    run_id: "{{ journal_run_id }}"
    name: complete
    channel: mail
    text: "{{ lookup('ansible.builtin.template', 'complete.txt.j2') }}"
    smtp_host: mail.example.com
    sender: EmailAI <notices@example.com>
    recipients: [users@lists.example.com]
"""

RETURN = r"""
state:
  description:
    - V(sent) now, V(known) to have gone out before, V(would_be_sent) outside check mode,
      or V(held) because this is a rehearsal.
  returned: success
  type: str
text:
  description: Subject and body.
  returned: success
  type: str
sent_at:
  description: When it went out, if it went out before.
  returned: when RV(state=known)
  type: str
detail:
  description: What the channel answered, such as the number of recipients accepted and refused.
  returned: when sent
  type: dict
is_noted:
  description: Whether the journal keeps the message from going out again.
  returned: success
  type: bool
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils._answer import answer
from ansible_collections.emailai.migration.plugins.module_utils._message.channel import (
    CHANNEL_OPTIONS,
    CHANNELS,
)
from ansible_collections.emailai.migration.plugins.module_utils._message.delivery import deliver
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import CONNECTION_OPTIONS


def run(params: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    delivery = deliver(params, check_mode)
    result = delivery.as_result()
    result["diff"] = {"before": "", "after": delivery.letter.text if result["changed"] else ""}
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION_OPTIONS,
            **CHANNEL_OPTIONS,
            "run_id": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "occasion": {"type": "str", "default": ""},
            "text": {"type": "str", "required": True},
            "channel": {"type": "str", "required": True, "choices": list(CHANNELS)},
            "is_rehearsal": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    answer(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
