# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: org_migration
short_description: Give every user an organization and link what they own, while the application runs
version_added: 1.0.0
author: emailai.migration contributors (@emailai)
description:
  - Installs sync triggers, walks users, accounts, premiums and resources once in small fenced batches,
    takes what was skipped, proves by the transaction horizon that nothing is left, and builds the indexes
    on the link columns.
  - The ids of organizations and memberships are a pure function of the user's id, so the work can be
    repeated, interrupted anywhere and taken back.
  - The work is a detached process on the host the module runs on. It survives the loss of the connection. A
    second call with the same options attaches to it; a call after an interruption goes on where it stopped.
  - Called through its action plugin, the module shows a line of progress every few seconds and ends with
    the work.
  - O(state=unlinked) does not wait for work under way in the other direction. It takes its place at once,
    and what the other still tries is refused by the database.
  - In check mode it only reads. It then also works before M(emailai.migration.org_schema), with a read-only
    role and on a standby.
extends_documentation_fragment:
  - emailai.migration._connection
  - emailai.migration._model
  - emailai.migration._attributes
  - emailai.migration._attributes.actiongroup_migration
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  owner_url:
    description:
      - The same database with the role that owns the tables, for what only an owner may do. That is to make
        and drop triggers and indexes and to collect statistics. Everything else is done with the rights of
        O(login_url).
      - Not set means that O(login_url) names the owner.
    type: str
  state:
    description:
      - V(moved) does the whole data migration.
      - V(swept) links what came in unlinked since, and removes organizations that we made whose user is
        gone. May be repeated at any time.
      - V(unlinked) removes the triggers and takes back the links that are a function of their owner.
    type: str
    choices: [moved, swept, unlinked]
    default: moved
  grace_seconds:
    description:
      - How long a user without membership is left alone, because a sign-up of the new release in two
        transactions may not be finished. Such users are counted as pending.
    type: int
    default: 60
  batch_rows:
    description:
      - Rows of a batch. The first ones have a tenth of it. They grow, up to five times this, while a batch
        takes less than 20 ms, and are halved when one takes more than 50 ms.
    type: int
    default: 1000
  lock_timeout_ms:
    description: How long one try to install or remove a trigger waits for its lock.
    type: int
    default: 50
  deadline_seconds:
    description: How long one trigger is tried before the work fails and names who holds the lock.
    type: int
    default: 600
  horizon_seconds:
    description: How long transactions older than the last batch are waited for, before the end is called
      inconclusive.
    type: int
    default: 60
  premium_policy:
    description:
      - What becomes of a premium that several users share. V(report) lists it by id before anything is
        written, and gives it to nobody's organization.
      - V(owner) gives it to the organization of its admin, if he has it himself, else to that of the
        oldest user who has it. The others' organizations stay without.
      - V(team) makes one organization for all of them, which gets the premium. The same user is its OWNER
        and gives it its name; the others get the default role. Who has an organization already stays there.
      - Matters for models in which users point at a premium, such as the preset C(emailai). In the preset
        C(runbook) a premium has one owner, so all three mean the same.
    type: str
    choices: [report, team, owner]
    default: report
  keep_organizations:
    description:
      - With O(state=unlinked), whether organizations and memberships stay for the next attempt.
      - V(false) removes those that we made, that nobody changed and to which nothing refers. Others are
        kept.
    type: bool
    default: true
  workers:
    description:
      - How many sessions share a pass, each with a part of the keys. The throttle slows all of them.
      - A table that was divided by an interrupted call stays divided as it was.
    type: int
    default: 2
  health_url:
    description:
      - The application's health page, as users reach it. While it answers badly or slowly the work slows
        down, as it does for replicas that lag, sessions that wait, a backlog of write-ahead log, an archive
        command that fails, free disk space, old snapshots, sessions of others that are at work and whatever
        of these cannot be read.
      - Empty means that only the server is watched.
    type: str
    default: ""
  disk_free_bytes:
    description:
      - Free disk space of the server, where a person has read it. What the database and its write-ahead log
        have grown by since this call began is taken off, so a later call wants a new figure.
      - V(0) means that it is read where the server runs on the host that the module runs on. Of a server
        elsewhere, a managed one above all, free disk space is then not watched.
      - The work slows down when less than twice C(max_wal_size) is free.
    type: int
    default: 0
  work_folder:
    description: Folder of the worker's report and of C(migration.log), on the host the module runs on.
    type: path
    default: /var/lib/emailai-migration
  wait_seconds:
    description: How long one call waits for the end of the work before it returns its progress.
    type: float
    default: 5
  follow:
    description: The value RV(job) of an earlier call, to follow that work. The action plugin sets it.
    type: str
    default: ""
  cost:
    description:
      - Seconds for a thousand rows of C(users), C(accounts), C(premiums) and resources, as RV(cost) of a
        rehearsal. Check mode predicts the time by it, and RV(predicted) says what the real run expected.
      - Check mode reads a few pages all over each table, about twenty and for less than a second. How many
        of their rows have something to do, how long reading takes, and how much the pages differ decide how
        wide the interval is. Without a figure here it is very wide, and the table says so.
      - C(users read), C(users share) and so on are optional. They are the seconds for reading a thousand
        rows, by which the two machines are compared, and the part of the rows that had something to do.
      - Predicted is the time of the batches. What the throttle rests and the building of indexes come on top.
    type: dict
    default: {}
seealso:
  - module: emailai.migration.org_schema
  - module: emailai.migration.org_integrity
"""

EXAMPLES = r"""
- name: Show what would be done
  emailai.migration.org_migration:
    login_url: "{{ migration_reader_url }}"
  check_mode: true

- name: Move the data
  emailai.migration.org_migration:
    login_url: "{{ migration_writer_url }}"
    owner_url: "{{ migration_owner_url }}"
    state: moved

- name: Take the links back
  emailai.migration.org_migration:
    login_url: "{{ migration_writer_url }}"
    owner_url: "{{ migration_owner_url }}"
    state: unlinked
"""

RETURN = r"""
finished:
  description: Whether the work has ended. Through the action plugin always true.
  returned: always
  type: bool
job:
  description: What to pass as O(follow).
  returned: when not finished
  type: str
progress:
  description: Stage, done, total, percent, rate, eta_seconds, the reason for being slow, and done and total
    by part.
  returned: always
  type: dict
line:
  description: The progress as one line.
  returned: when not finished
  type: str
summary:
  description: The block that ends the work, with counts, verification lines and duration.
  returned: when finished
  type: str
counts:
  description:
    - Rows by class. For C(users) total, done, pending and due; for each link also ownerless and orphans;
      for premiums that users share also shared and taken (the organization has another).
  returned: for moved, swept and in check mode
  type: dict
created:
  description: Organizations made and rows linked by the pass.
  returned: when moved
  type: dict
swept:
  description: The same for the sweep, and organizations removed.
  returned: when moved or swept
  type: dict
unlinked:
  description: Rows unlinked, by part.
  returned: when unlinked
  type: dict
cost:
  description: Seconds for a thousand rows by part, as measured, with the seconds for reading as many (C(users
    read)) and the part of them that had something to do (C(users share)).
  returned: when moved
  type: dict
predicted:
  description: Seconds that were expected by O(cost) for the rows there were.
  returned: when moved, if O(cost) has a figure for each part
  type: float
seconds:
  description: Duration of the work.
  returned: when finished
  type: float
shared_premiums:
  description: Premiums that several users have, the first thousand, with C(premium), C(users) and C(first),
    the user whose organization gets it under O(premium_policy=owner) or O(premium_policy=team).
  returned: when moved, if users point at a premium
  type: list
  elements: dict
plan:
  description: C(table) is the text for people, C(counts) what it counts, C(seconds_from) and C(seconds_to)
    the time, C(shared_premiums) as RV(shared_premiums), C(blockers) the transactions that are open for
    more than five seconds, with C(who), C(state), C(seconds) and C(locks) on the tables of the map.
  returned: in check mode with O(state=moved)
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils._answer import answer
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import (
    owner_of,
    target_from,
)
from ansible_collections.emailai.migration.plugins.module_utils._postgres.ddl import Patience
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import model as models
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import preview, worker
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.engine import Settings
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.options import (
    MODEL_OPTIONS,
    PATIENCE_OPTIONS,
)


def run(params: dict[str, t.Any], is_check: bool) -> dict[str, t.Any]:
    settings = Settings(
        run_id=params["run_id"],
        grace_seconds=params["grace_seconds"],
        batch_rows=params["batch_rows"],
        patience=Patience(params["lock_timeout_ms"], params["deadline_seconds"]),
        horizon_seconds=params["horizon_seconds"],
        work_folder=params["work_folder"],
        keep_organizations=params["keep_organizations"],
        workers=params["workers"],
        health_url=params["health_url"],
        disk_free_bytes=params["disk_free_bytes"],
        cost={name: float(seconds) for name, seconds in params["cost"].items()},
    )
    model = models.load(params["preset"], params["map"], params["premium_policy"])
    target = target_from(params)
    maker = owner_of(target, params["owner_url"])
    job = worker.Job(target, maker, model, settings, params["state"])
    if is_check:
        return preview.preview(job)
    name = params["follow"] or worker.start_or_attach(job)
    return worker.follow(job, name, params["wait_seconds"]) if name else preview.settled(job)


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            MODEL_OPTIONS,
            **PATIENCE_OPTIONS,
            owner_url={"type": "str", "no_log": True},
            state={"type": "str", "default": "moved", "choices": ["moved", "swept", "unlinked"]},
            grace_seconds={"type": "int", "default": 60},
            batch_rows={"type": "int", "default": 1000},
            horizon_seconds={"type": "int", "default": 60},
            premium_policy={"type": "str", "default": "report", "choices": ["report", "team", "owner"]},
            keep_organizations={"type": "bool", "default": True},
            workers={"type": "int", "default": 2},
            health_url={"type": "str", "default": ""},
            disk_free_bytes={"type": "int", "default": 0},
            work_folder={"type": "path", "default": "/var/lib/emailai-migration"},
            wait_seconds={"type": "float", "default": 5},
            follow={"type": "str", "default": ""},
            cost={"type": "dict", "default": {}},
        ),
        supports_check_mode=True,
    )
    answer(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
