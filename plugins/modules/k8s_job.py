# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_job
short_description: Run a Job of a cluster once for a release
version_added: 0.1.0
author: EmailAI platform engineering (@emailai)
description:
  - Makes a Job from your manifest, such as the release's migrations, and waits until it is complete. Its name
    gets a part that stands for manifest, release and image, so that the same Job runs once.
  - One that runs already is waited for. One that failed is made anew.
  - A Job tries again by itself as its C(backoffLimit) says, for as long as its C(activeDeadlineSeconds) says.
    What no trying helps, such as an image that is not there, no node with room or a quota that is used up,
    ends within seconds. Such a Job is deleted, so that it does not begin by itself later.
  - A failure brings warnings and the last words of its pods.
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
    details:
      - A Job that the cluster has removed, as C(ttlSecondsAfterFinished) asks it to, would run again.
options:
  manifest:
    description: The Job, of C(batch/v1).
    type: dict
    required: true
  release:
    description: The release that it belongs to.
    type: str
    required: true
  image:
    description: The image for it as C(name@sha256:...). Empty leaves that of the manifest.
    type: str
    default: ''
  container:
    description: The container that gets the image. Empty where there is one only.
    type: str
    default: ''
  timeout_seconds:
    description: How long to wait. A Job that still runs then goes on.
    type: float
    default: 600
"""

EXAMPLES = r"""
- name: Run the release's migrations
  emailai.migration.k8s_job:
    namespace: emailai
    manifest: "{{ lookup('ansible.builtin.file', 'migrate-job.yaml') | from_yaml }}"
    release: v2.1.0
    image: "registry.example.com/emailai/app@{{ release_image_digest }}"
"""

RETURN = r"""
job:
  description: Its C(name), and how it stood C(before) and C(after), as absent, running, complete or failed.
  returned: success
  type: dict
events:
  description: The latest warnings about it.
  returned: when it failed
  type: list
  elements: str
logs:
  description: The last words of its pods.
  returned: when it failed
  type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils._answer import answer
from ansible_collections.emailai.migration.plugins.module_utils._platform.kubernetes import job
from ansible_collections.emailai.migration.plugins.module_utils._platform.kubernetes.cluster import (
    CLUSTER,
    opened,
)


def run(params: dict[str, t.Any], is_check: bool) -> dict[str, t.Any]:
    wish = job.Wish(
        params["manifest"],
        params["release"],
        params["image"],
        params["container"],
        params["timeout_seconds"],
        is_check,
    )
    # What is no Job is refused before anybody is asked.
    job.compose(wish, params["namespace"])
    cluster = opened(params, is_check)
    return job.arrange(cluster, wish)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CLUSTER,
            "manifest": {"type": "dict", "required": True},
            "release": {"type": "str", "required": True},
            "image": {"type": "str", "default": ""},
            "container": {"type": "str", "default": ""},
            "timeout_seconds": {"type": "float", "default": 600},
        },
        supports_check_mode=True,
    )
    answer(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
