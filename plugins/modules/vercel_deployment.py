# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vercel_deployment
short_description: Bring a release to production on Vercel, or production back to the deployment before
version_added: 0.1.0
author: EmailAI platform engineering (@emailai)
description:
  - Creates a production deployment without users, waits until it is built and checked, then gives it the
    production domains and sees that each of them leads there.
  - The release is written on the deployment, and so is the one that served before. What was created for
    the release is found again, also by a run after one that was killed; nothing is built twice.
  - A request whose answer was lost is looked up before it is sent again.
  - Where the project has rolling releases, V(promoted) begins one and V(advanced) leads it on.
extends_documentation_fragment:
  - emailai.migration._attributes
  - emailai.migration._attributes.actiongroup_migration
attributes:
  check_mode:
    support: full
    details:
      - Reads, and tells in RV(plan) what would be done.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  token:
    description: An access token of Vercel that may change the project.
    type: str
    required: true
  project:
    description: The project, by its name or its id.
    type: str
    required: true
  team_id:
    description: The team that owns it, by its id.
    type: str
    default: ''
  team_slug:
    description: The team that owns it, by the name in its address. One of the two is enough.
    type: str
    default: ''
  api_url:
    description: Where Vercel's API is.
    type: str
    default: https://api.vercel.com
  state:
    description:
      - V(staged) is built and has no users. V(promoted) has them all, or those of the first stage.
      - V(advanced) has those of O(stage).
      - V(rolled_back) means that production is the deployment that served before, without a build.
      - V(cancelled) means that no deployment of O(release) is being built.
    type: str
    choices: [staged, promoted, advanced, rolled_back, cancelled]
    default: promoted
  release:
    description: The release that is wanted; for V(cancelled) the one that is not.
    type: str
    required: true
  serving:
    description: The release that serves before; the deployment it has is noted as the way back.
    type: str
    default: ''
  source:
    description: A commit of the repository that the project is linked to, for a release not yet there.
    type: dict
    suboptions:
      ref:
        description: A tag or a branch. Empty means the branch of production.
        type: str
        default: ''
      sha:
        description: The commit itself.
        type: str
        default: ''
  deployment:
    description:
      - The id of a deployment that is built already. A preview is built anew for production.
      - With O(state=rolled_back) the one to return to; empty means the one that is noted.
    type: str
    default: ''
  leaving:
    description: With O(state=rolled_back), the deployment to leave where it was given and not created here.
    type: str
    default: ''
  domains:
    description: The domains that must lead to the release. Empty means all of production.
    type: list
    elements: str
    default: []
  rolling:
    description:
      - What V(promoted) does where the project has rolling releases. V(staged) begins one, V(completed) gives
        the release to everybody at once.
    type: str
    choices: [staged, completed]
    default: staged
  stage:
    description: The stage that V(advanced) leads to, the first being 0. The last one completes the release.
    type: int
    default: 0
  timeout_seconds:
    description: How long all of it may take.
    type: float
    default: 900
  validate_certs:
    description: Whether the certificate of the API is verified.
    type: bool
    default: true
  ca_cert:
    description: The file with the authority of that certificate, where it is one of your own.
    type: path
    default: ''
"""

EXAMPLES = r"""
- name: Build the release, without users
  emailai.migration.vercel_deployment:
    token: "{{ vault_prod_vercel_token }}"
    project: emailai
    team_slug: emailai
    state: staged
    release: v2.0.0-orgs
    serving: v1.9.0
    source:
      ref: v2.0.0-orgs

- name: Give it to the users
  emailai.migration.vercel_deployment:
    token: "{{ vault_prod_vercel_token }}"
    project: emailai
    team_slug: emailai
    release: v2.0.0-orgs
    serving: v1.9.0
    source:
      ref: v2.0.0-orgs

- name: Go back to the deployment that served before
  emailai.migration.vercel_deployment:
    token: "{{ vault_prod_vercel_token }}"
    project: emailai
    team_slug: emailai
    state: rolled_back
    release: v1.9.0
"""

RETURN = r"""
plan:
  description: What was done, or would be, in its order.
  returned: success
  type: list
  elements: str
deployment:
  description: The deployment that it is about, with C(id), C(url), C(state) and C(release).
  returned: success
  type: dict
serving:
  description: The id of the deployment that has production now.
  returned: success
  type: str
previous:
  description: The id of the one that had it before.
  returned: success
  type: str
is_current:
  description: Whether the release has all of production.
  returned: success
  type: bool
rolling:
  description: The rolling release under way with C(canary), C(stage), C(percent) and C(percents); else empty.
  returned: success
  type: dict
auto_assigns:
  description: Whether other production deployments take the domains by themselves; not after a rollback.
  returned: success
  type: bool
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils._answer import answer
from ansible_collections.emailai.migration.plugins.module_utils._platform.vercel import release
from ansible_collections.emailai.migration.plugins.module_utils._platform.vercel.client import Access, Client
from ansible_collections.emailai.migration.plugins.module_utils._platform.vercel.project import Project

_STATES: t.Final = {
    "staged": release.stage,
    "promoted": release.promote,
    "advanced": release.advance,
    "rolled_back": release.roll_back,
    "cancelled": release.cancel,
}


def run(params: dict[str, t.Any], is_check: bool) -> dict[str, t.Any]:
    taken = ("api_url", "token", "team_id", "team_slug", "validate_certs", "ca_cert")
    access = Access(**{name: params[name] for name in taken})
    client = Client(access, params["project"], params["timeout_seconds"])
    source = params["source"] or {}
    taken = ("release", "serving", "deployment", "leaving", "rolling", "stage")
    wish = release.Wish(
        ref=source.get("ref") or "",
        sha=source.get("sha") or "",
        is_check=is_check,
        **{name: params[name] for name in taken},
    )
    return _STATES[params["state"]](Project(client, params["domains"]), wish).as_result(is_check)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "token": {"type": "str", "required": True, "no_log": True},
            "project": {"type": "str", "required": True},
            "team_id": {"type": "str", "default": ""},
            "team_slug": {"type": "str", "default": ""},
            "api_url": {"type": "str", "default": "https://api.vercel.com"},
            "state": {"type": "str", "choices": list(_STATES), "default": "promoted"},
            "release": {"type": "str", "required": True},
            "serving": {"type": "str", "default": ""},
            "source": {
                "type": "dict",
                "options": {
                    "ref": {"type": "str", "default": ""},
                    "sha": {"type": "str", "default": ""},
                },
            },
            "deployment": {"type": "str", "default": ""},
            "leaving": {"type": "str", "default": ""},
            "domains": {"type": "list", "elements": "str", "default": []},
            "rolling": {"type": "str", "choices": ["staged", "completed"], "default": "staged"},
            "stage": {"type": "int", "default": 0},
            "timeout_seconds": {"type": "float", "default": 900},
            "validate_certs": {"type": "bool", "default": True},
            "ca_cert": {"type": "path", "default": ""},
        },
        supports_check_mode=True,
    )
    answer(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
