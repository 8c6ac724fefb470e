# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: migration_journal
short_description: Keep the journal of a migration
version_added: 0.1.0
description:
  - Opens, closes and fails the phases of a migration run, and keeps what the run must remember. The
    journal lives in
    schema C(emailai_migration) of the database that is worked on.
  - One controller works on a run at a time. It holds a lease with a deadline and an epoch; who was
    overtaken is
    refused at his next call. The same command given twice attaches to the run, says every few seconds
    who holds it,
    and goes on once the holder has ended.
  - Rows that a restored copy brought along from another database are history and never state.
extends_documentation_fragment:
  - emailai.migration._connection
  - emailai.migration._attributes
  - emailai.migration._attributes.actiongroup_migration
attributes:
  check_mode:
    support: full
    details:
      - Writes nothing at all and also works where the journal's schema does not exist.
      - What a phase lacks is answered as RV(would_refuse), for a phase before it in the same command
        would bring it. Nothing comes before O(phase=contract), which fails as it would outside of it.
  diff_mode:
    support: partial
    details:
      - Shows what O(state=recorded) and O(state=controlled) change.
  idempotent:
    support: partial
    details:
      - A completed phase is not opened again, the same record is not written twice. An event is
        written each time,
        and taking or extending the lease is not counted as a change.
options:
  release_before:
    description: The release that serves before the migration, for example V(v1.9.0).
    type: str
    required: true
  release_after:
    description: The release that serves after it.
    type: str
    required: true
  map_digest:
    description:
      - Digest of the model map. An unfinished run that was begun with another map is not gone on with,
        except back.
      - Empty compares nothing.
    type: str
    default: ''
  owner:
    description: The person who acts.
    type: str
    default: ''
  state:
    description:
      - V(present) makes the journal's tables and lets O(readers) and O(writers) use them.
      - V(planned) names the next run before its first phase.
      - V(opened) opens O(phase) and takes the lease, V(closed) completes it, V(failed) ends it with
        O(error).
      - V(recorded) notes O(kind) under O(name), or several of a kind as O(records) names them.
      - V(controlled) tells work that goes on what an operator wants.
      - V(carried) brings the journal of O(carried_from) into the database that took its name.
    type: str
    choices: [present, planned, opened, closed, failed, recorded, controlled, carried]
    required: true
  phase:
    description: The phase that is opened, closed or failed, or that an event belongs to.
    type: str
    choices: [prepare, back_up, rehearse, expand, move, verify, deploy, watch, conclude, roll_back,
        restore, repair, contract]
  requires:
    description: Phases that must be completed in this run. Not set means what the phase builds on.
    type: list
    elements: str
  without:
    description: Phases that this run goes without. They are not required, and opening one of them
      skips it.
    type: list
    elements: str
    default: []
  again:
    description: Do the work of a completed phase again. The journal is not opened again for it.
    type: bool
    default: false
  scope:
    description: What the phase was asked to do, such as the depth of a way back. Another scope is
      other work.
    type: str
    default: ''
  seize:
    description:
      - Take the lease at once, whoever holds it, and end every other lease of the database, so that
        whoever works
        there is refused at his next write. For the way back.
    type: bool
    default: false
  epoch:
    description: The epoch that opening answered. A call with an outdated one is refused.
    type: int
  budget_seconds:
    description:
      - How long this phase may be silent before a controller on another machine takes the lease over.
      - Not set means the phase's own budget.
    type: float
  wait_seconds:
    description: How long to stay attached to a run that somebody else works on.
    type: float
    default: 14400
  outcome:
    description: Figures of the completed phase.
    type: dict
    default: {}
  is_last:
    description: No phase follows at once, so that closing releases the lease.
    type: bool
    default: false
  error:
    description: Why the phase failed.
    type: str
    default: ''
  failure:
    description: The result of the task that failed, as Ansible has it in C(ansible_failed_result).
      Read for O(error).
    type: dict
  contacts:
    description: Whom to ask, by C(cto), C(dba), C(engineering_lead) and C(product_manager).
    type: dict
    default: {}
  limit:
    description: The side, as given to C(ansible-playbook -l), for the commands in a failure's sentence.
    type: str
    default: ''
  kind:
    description: What is recorded, or with O(state=failed) what kind of thing failed.
    type: str
    default: ''
  name:
    description: The item confirmed, the host of an artifact, the name of a message or baseline, the
      words of an event.
    type: str
  data:
    description:
      - What is known of it. A confirmation reads C(by), a message C(channel), an artifact C(state),
        C(release_before)
        and C(release_after), the ledger C(kind), C(before) and C(after).
    type: dict
    default: {}
  records:
    description: Several of O(kind), each with its C(name) and beside it what O(data) would say of it.
      All of them are noted or none.
    type: list
    elements: dict
  wanted:
    description: What an operator wants of the work that goes on. V(abort) gives the run up.
    type: str
    choices: [run, pause, abort]
  pace:
    description: Share of full speed, more than 0 and at most 1. Not set leaves it as it is.
    type: float
  batch_rows:
    description: Rows in a batch. Not set leaves it as it is.
    type: int
  confirmed_by:
    description: Name of the person who decided to abort, or to open O(phase=contract).
    type: str
    default: ''
  retention_days:
    description: For so many days after a run was concluded O(phase=contract) is refused.
    type: float
    default: 30
  carried_from:
    description: Name of the database that was replaced, on the same server.
    type: str
    default: ''
  readers:
    description: Roles that may read the journal's tables.
    type: list
    elements: str
    default: []
  writers:
    description: Roles that may read and write them.
    type: list
    elements: str
    default: []
  controller:
    description: The process that steers the run. Filled in by the action plugin.
    type: dict
    default: {}
  dead_epoch:
    description: Epoch of a lease whose holder was seen to be dead. Filled in by the action plugin.
    type: int
    default: 0
seealso:
  - module: emailai.migration.migration_journal_info
author:
  - emailai.migration contributors (@emailai)
"""

EXAMPLES = r"""
- name: Open a phase
  emailai.migration.migration_journal:
    login_url: "{{ migration_owner_url }}"
    release_before: v1.9.0
    release_after: v2.0.0-orgs
    owner: jane
    state: opened
    phase: expand
  register: opened

- name: Complete it
  emailai.migration.migration_journal:
    login_url: "{{ migration_owner_url }}"
    release_before: v1.9.0
    release_after: v2.0.0-orgs
    owner: jane
    state: closed
    phase: expand
    epoch: "{{ opened.epoch }}"
    outcome:
      objects_made: 11

- name: Record who is on call
  emailai.migration.migration_journal:
    login_url: "{{ migration_owner_url }}"
    release_before: v1.9.0
    release_after: v2.0.0-orgs
    state: recorded
    kind: confirmation
    name: on_call
    data:
      by: Jane
"""

RETURN = r"""
run_id:
  description: Name of the run.
  returned: for runs, phases and records
  type: str
  sample: v1.9.0..v2.0.0-orgs#1
number:
  description: The run's number within its pair of releases.
  returned: for runs and phases
  type: int
run_state:
  description: State of the run.
  returned: for runs and phases
  type: str
phase_state_before:
  description: State of the phase before this call, empty if it was never opened.
  returned: O(state=opened)
  type: str
proceed:
  description: Whether the phase's work is to be done.
  returned: O(state=opened)
  type: bool
skip:
  description: The opposite of RV(proceed).
  returned: O(state=opened)
  type: bool
created:
  description: Whether this call began the run.
  returned: O(state=opened) or O(state=planned)
  type: bool
is_release:
  description: Whether the run only exchanges a release, because a migration was concluded here before.
  returned: O(state=opened)
  type: bool
attached:
  description: Whether somebody else still holds the run when waiting for him ended.
  returned: O(state=opened)
  type: bool
holder:
  description: Who holds the lease.
  returned: when somebody else does
  type: dict
epoch:
  description: Proof of holding the lease, for the calls that follow.
  returned: O(state=opened), when the phase was opened, or O(state=carried)
  type: int
outcomes:
  description: What each completed phase of the run has left for those after it, by the phase's name.
  returned: O(state=opened), but not while somebody else holds the run
  type: dict
text:
  description: A sentence about what was found, such as why there is nothing to do.
  returned: O(state=opened)
  type: str
would_refuse:
  description: What the call would be refused with outside of check mode.
  returned: O(state=opened), in check mode
  type: str
missing:
  description: Phases that would have to run before this one.
  returned: O(state=opened), in check mode
  type: list
  elements: str
sentence:
  description: The failure, whom to ask, how to go on and how to go back.
  returned: O(state=failed)
  type: str
phase_state:
  description: State of the phase after this call.
  returned: O(state=closed) or O(state=failed)
  type: str
outcome:
  description: Figures of the phase as they stand.
  returned: O(state=closed) or O(state=failed)
  type: dict
phase_event:
  description: What happened to which phase, for the timeline on screen.
  returned: O(state=opened), O(state=closed) or O(state=failed)
  type: dict
carried:
  description: Rows carried over, by table.
  returned: O(state=carried)
  type: dict
already_recorded:
  description: Whether the record stood already.
  returned: O(state=recorded)
  type: bool
already_sent:
  description: Whether the message was recorded before on this channel in this run.
  returned: O(state=recorded)
  type: bool
record:
  description: The record as it stands.
  returned: O(state=recorded)
  type: dict
records:
  description: The records as they stand, by name.
  returned: O(state=recorded)
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils._answer import answer
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import call, states
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import (
    CONNECTION_OPTIONS,
    session,
    target_from,
)


def run(params: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """One act on the journal of one database."""
    target = target_from(params)
    try:
        with session(target, "journal") as connection:
            return call.perform(
                connection, params, check_mode, lambda name: session(target.for_database(name), "journal")
            )
    except MigrationError as exc:
        if params["state"] != "failed" or exc.facts.get("kind") != "database":
            raise
        # Where the database itself is the fault nothing can be noted, but the person is told whom to ask.
        return {"changed": False, "sentence": call.words_of_failure(params)[1]}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION_OPTIONS,
            "release_before": {"type": "str", "required": True},
            "release_after": {"type": "str", "required": True},
            "map_digest": {"type": "str", "default": ""},
            "owner": {"type": "str", "default": ""},
            "state": {
                "type": "str",
                "required": True,
                "choices": [
                    "present",
                    "planned",
                    "opened",
                    "closed",
                    "failed",
                    "recorded",
                    "controlled",
                    "carried",
                ],
            },
            "phase": {"type": "str", "choices": list(states.PHASES)},
            "requires": {"type": "list", "elements": "str"},
            "without": {"type": "list", "elements": "str", "default": []},
            "again": {"type": "bool", "default": False},
            "scope": {"type": "str", "default": ""},
            "seize": {"type": "bool", "default": False},
            "epoch": {"type": "int"},
            "budget_seconds": {"type": "float"},
            "wait_seconds": {"type": "float", "default": 14400},
            "outcome": {"type": "dict", "default": {}},
            "is_last": {"type": "bool", "default": False},
            "error": {"type": "str", "default": ""},
            "failure": {"type": "dict"},
            "contacts": {"type": "dict", "default": {}},
            "limit": {"type": "str", "default": ""},
            "kind": {"type": "str", "default": ""},
            "name": {"type": "str"},
            "data": {"type": "dict", "default": {}},
            "records": {"type": "list", "elements": "dict"},
            "wanted": {"type": "str", "choices": ["run", "pause", "abort"]},
            "pace": {"type": "float"},
            "batch_rows": {"type": "int"},
            "confirmed_by": {"type": "str", "default": ""},
            "retention_days": {"type": "float", "default": states.RETENTION_DAYS},
            "carried_from": {"type": "str", "default": ""},
            "readers": {"type": "list", "elements": "str", "default": []},
            "writers": {"type": "list", "elements": "str", "default": []},
            "controller": {"type": "dict", "default": {}},
            "dead_epoch": {"type": "int", "default": 0},
        },
        mutually_exclusive=[("name", "records")],
        required_if=[
            ("state", "opened", ["phase"]),
            ("state", "closed", ["phase"]),
            ("state", "failed", ["phase"]),
            ("state", "recorded", ["kind"]),
            ("state", "recorded", ["name", "records"], True),
            ("state", "controlled", ["wanted"]),
            ("state", "carried", ["carried_from"]),
        ],
        supports_check_mode=True,
    )
    answer(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
