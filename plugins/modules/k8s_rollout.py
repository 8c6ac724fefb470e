# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_rollout
short_description: Bring a release to the Deployments of a cluster, or back to the exact template before
version_added: 0.1.0
author: EmailAI platform engineering (@emailai)
description:
  - Sets the image, by digest, of one container of each Deployment, one Deployment after the other, and waits
    until each is rolled out as C(kubectl rollout status) understands it.
  - A rollout that cannot succeed fails within seconds, with warnings and the last words of its pods. Such are
    pods that crash again and again, an image or a configuration that is not there, too little memory, no node
    with room, a quota that is used up, and a progress deadline that is over.
  - Before it changes a Deployment it notes there which template the serving release has. Without O(image) it
    goes back to the noted template of O(release), and proves it by the template's hash.
  - The manifests stay yours; nothing but the image, and two annotations of ours, is changed.
extends_documentation_fragment:
  - emailai.migration._attributes
  - emailai.migration._attributes.actiongroup_migration
  - emailai.migration._cluster
attributes:
  check_mode:
    support: full
    details:
      - The server's own dry run, with all of its admission.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - V(deployed) brings O(release), and ends its canary.
      - V(canary) gives O(release) a share of the users only. It is a second Deployment with the labels of
        the first one in O(deployments), its name and C(-canary). The first one is not touched.
      - V(read) changes nothing and tells how each Deployment stands.
      - V(paused) holds the rollouts as they are, V(resumed) lets them go on.
      - V(stopped) pauses those that are under way. V(deployed) lets these go on, forth or back; a pause of
        somebody else it refuses on the way forth.
    type: str
    choices: [deployed, canary, read, stopped, paused, resumed]
    default: deployed
  release:
    description: The release that is wanted.
    type: str
    default: ''
  serving:
    description: The release that serves before; its templates are noted as the way back.
    type: str
    default: ''
  image:
    description: Its image as C(name@sha256:...). Empty means the noted template of O(release).
    type: str
    default: ''
  canary_percent:
    description:
      - The share of the users that a canary gets, by the number of pods. It has one pod at least.
    type: float
    default: 25
  deployments:
    description: The Deployments in their order, the next only when the one before is rolled out.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The Deployment.
        type: str
        required: true
      container:
        description: Its container that runs the application. Empty where there is one only.
        type: str
        default: ''
      image:
        description: An image of its own. Empty means O(image).
        type: str
        default: ''
  timeout_seconds:
    description: How long one Deployment may take.
    type: float
    default: 600
"""

EXAMPLES = r"""
- name: Bring the new release, web first
  emailai.migration.k8s_rollout:
    namespace: emailai
    release: v2.0.0-orgs
    serving: v1.9.0
    image: "registry.example.com/emailai/app@{{ release_image_digest }}"
    deployments:
      - name: web
      - name: worker

- name: Give it a tenth of the users first
  emailai.migration.k8s_rollout:
    namespace: emailai
    state: canary
    canary_percent: 10
    release: v2.0.0-orgs
    image: "registry.example.com/emailai/app@{{ release_image_digest }}"
    deployments:
      - name: web

- name: Go back to the exact templates before
  emailai.migration.k8s_rollout:
    namespace: emailai
    release: v1.9.0
    deployments:
      - name: web
      - name: worker
"""

RETURN = r"""
deployments:
  description: Each Deployment with its images C(before) and C(after), and whether it was C(changed).
  returned: success
  type: list
  elements: dict
canary:
  description: The C(name) of the canary that is there, and its number of C(pods).
  returned: when a release is wanted
  type: dict
readiness:
  description: A line of the readiness table for each Deployment.
  returned: O(state=read)
  type: list
  elements: dict
is_current:
  description: Whether all of them had the noted template of the release when they were looked at.
  returned: success
  type: bool
events:
  description: The latest warnings about the rollout that failed.
  returned: when a rollout failed
  type: list
  elements: str
logs:
  description: The last words of its pods.
  returned: when a rollout failed
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils._answer import answer
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform.kubernetes import canary, release
from ansible_collections.emailai.migration.plugins.module_utils._platform.kubernetes.cluster import (
    CLUSTER,
    opened,
)

# More than that is no canary.
_MOST_PERCENT: t.Final = 50


def run(params: dict[str, t.Any], is_check: bool) -> dict[str, t.Any]:
    workloads = [release.Workload(**one) for one in params["deployments"]]
    wish = release.Wish(
        params["release"],
        params["serving"],
        params["image"],
        workloads,
        params["timeout_seconds"],
        is_check,
    )
    if params["state"] in ("deployed", "canary"):
        release.check(wish)
    if not 0 <= params["canary_percent"] <= _MOST_PERCENT:
        raise MigrationError(
            "use", "canary_percent", f"{params['canary_percent']:g} is none", f"Give 0 to {_MOST_PERCENT}"
        )
    cluster = opened(params, is_check)
    if params["state"] == "deployed":
        return canary.deploy(cluster, wish)
    if params["state"] == "canary":
        return canary.begin(cluster, wish, params["canary_percent"])
    if params["state"] == "read":
        return release.read(cluster, workloads)
    if params["state"] == "stopped":
        return release.stop(cluster, workloads)
    return release.hold(cluster, workloads, params["state"] == "paused")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CLUSTER,
            "state": {
                "type": "str",
                "choices": ["deployed", "canary", "read", "stopped", "paused", "resumed"],
                "default": "deployed",
            },
            "release": {"type": "str", "default": ""},
            "serving": {"type": "str", "default": ""},
            "image": {"type": "str", "default": ""},
            "canary_percent": {"type": "float", "default": 25},
            "deployments": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "container": {"type": "str", "default": ""},
                    "image": {"type": "str", "default": ""},
                },
            },
            "timeout_seconds": {"type": "float", "default": 600},
        },
        required_if=[("state", "deployed", ["release"]), ("state", "canary", ["release", "image"])],
        supports_check_mode=True,
    )
    answer(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
