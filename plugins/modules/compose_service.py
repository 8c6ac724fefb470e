# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_service
short_description: Put a release on a Docker Compose host and let its services run it
description:
  - The image is pulled and pinned by its digest, and the named services are exchanged with C(docker compose
    up --detach --no-deps), and each is waited for. Other services, networks and volumes are never touched.
  - Pin and record are one file, C(compose.pin.json) in O(folder), replaced in one step. It is a Compose file
    like any other and is given after O(files). It holds the digest of each release, which one is current and
    which one to go back to.
  - Going back is the same call with the name of the former release. Its image is on the host and its digest
    in the record, so no registry is needed.
  - What runs is compared with what is pinned, so that a killed run is made up for by the next one.
  - Who may log in to the registry is a matter of Docker's own configuration on the host.
version_added: 0.1.0
author: EmailAI platform engineering (@emailai)
options:
  name:
    description: The release, by its version. It is the image's tag as well.
    type: str
    required: true
  folder:
    description: The folder of the Compose project on the host.
    type: path
    required: true
  files:
    description: The Compose files in O(folder), in Compose's order.
    type: list
    elements: str
    default: [compose.yml]
  services:
    description: The services that run the release. All run one image.
    type: list
    elements: str
    required: true
  image:
    description: The image's repository, without tag and digest.
    type: str
    required: true
  digest:
    description:
      - The digest the image must have, with C(sha256:) before it.
      - Empty means the digest in the host's record and, for a release that is not recorded, the one that the
        registry has under the version's tag.
    type: str
    default: ""
  state:
    description:
      - V(present) means pulled and recorded. Nothing that serves is touched.
      - V(current) means present, pinned, and all O(services) run it and are healthy.
    type: str
    choices: [present, current]
    default: present
  serving:
    description:
      - The name of the release that runs while there is no record yet. Its digest is read from what runs, so
        that it can be gone back to.
    type: str
    default: ""
  must_recreate:
    description:
      - Make the containers anew even if they run the right image.
      - For a caller who has seen that the application does not answer with it.
    type: bool
    default: false
  awaits_build:
    description: In check mode, do not miss the image in the registry, as it is still to be built.
    type: bool
    default: false
  keep_releases:
    description:
      - The images of how many of the newest releases are kept when one becomes current.
      - The current one and the one to go back to are kept in any case, and so are images that a container
        uses. V(0) keeps all.
    type: int
    default: 5
  start_timeout_seconds:
    description: How long the services may take until they are healthy.
    type: float
    default: 120
extends_documentation_fragment:
  - emailai.migration._engine
  - emailai.migration._attributes
  - emailai.migration._attributes.actiongroup_migration
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
"""

EXAMPLES = r"""
- name: Pull the release while the old one serves
  emailai.migration.compose_service:
    name: v2.0.0-orgs
    folder: /srv/emailai
    services: [app]
    image: registry.example.com/emailai/app
    digest: sha256:1f2c6a5e3f3a8a6f0b1d5a7c9e2b4d6f8091a2b3c4d5e6f708192a3b4c5d6e7f
    serving: v1.9.0

- name: Serve it
  emailai.migration.compose_service:
    name: v2.0.0-orgs
    folder: /srv/emailai
    services: [app]
    image: registry.example.com/emailai/app
    state: current

- name: Go back to the former image, with or without a registry
  emailai.migration.compose_service:
    name: v1.9.0
    folder: /srv/emailai
    services: [app]
    image: registry.example.com/emailai/app
    state: current
"""

RETURN = r"""
before:
  description: The release that was pinned, empty if none was.
  returned: success
  type: str
  sample: v1.9.0
after:
  description: The release that is pinned; in check mode the one that would be.
  returned: success
  type: str
  sample: v2.0.0-orgs
is_current:
  description: Whether O(name) is pinned and all services run it and are healthy.
  returned: success
  type: bool
  sample: true
previous:
  description: The release to go back to.
  returned: success
  type: str
  sample: v1.9.0
reference:
  description: The image of O(name) by its digest.
  returned: success
  type: str
  sample: example.com/app@sha256:1f2c6a5e3f3a8a6f0b1d5a7c9e2b4d6f8091a2b3c4d5e6f708192a3b4c5d6e7f
digest:
  description: The digest of O(name).
  returned: success
  type: str
  sample: sha256:1f2c6a5e3f3a8a6f0b1d5a7c9e2b4d6f8091a2b3c4d5e6f708192a3b4c5d6e7f
releases:
  description: All recorded releases, oldest first.
  returned: success
  type: list
  elements: str
  sample: [v1.9.0, v2.0.0-orgs]
pulled:
  description: Whether the image was pulled.
  returned: success
  type: bool
  sample: true
started:
  description: Whether the services were started.
  returned: success
  type: bool
  sample: false
removed:
  description: Releases whose images were removed.
  returned: success
  type: list
  elements: str
  sample: []
not_removed:
  description: Releases whose images are surplus but stay, each with the reason.
  returned: success
  type: dict
  sample: {v1.8.0: a container uses it}
"""

import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils import _answer
from ansible_collections.emailai.migration.plugins.module_utils._platform import compose, engine


def run(params: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """Arrange the services."""
    seconds = params["engine_timeout_seconds"]
    project = compose.Project(
        Path(params["folder"]),
        params["files"],
        params["services"],
        engine.Engine(params["engine_command"], params["folder"], seconds),
        params["start_timeout_seconds"],
    )
    wish = compose.Wish(
        name=params["name"],
        state=params["state"],
        image=params["image"],
        digest=params["digest"],
        serving=params["serving"],
        keep_releases=params["keep_releases"],
        must_recreate=params["must_recreate"],
        awaits_build=params["awaits_build"],
    )
    # A command that outlived its caller holds the lock as long as it may take itself.
    return compose.arrange(project, wish, seconds + params["start_timeout_seconds"], check_mode)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "files": {"type": "list", "elements": "str", "default": ["compose.yml"]},
            "services": {"type": "list", "elements": "str", "required": True},
            "image": {"type": "str", "required": True},
            "digest": {"type": "str", "default": ""},
            "state": {"type": "str", "default": "present", "choices": ["present", "current"]},
            "serving": {"type": "str", "default": ""},
            "must_recreate": {"type": "bool", "default": False},
            "awaits_build": {"type": "bool", "default": False},
            "keep_releases": {"type": "int", "default": 5},
            "start_timeout_seconds": {"type": "float", "default": 120},
            "engine_command": {"type": "list", "elements": "str", "default": ["docker"]},
            "engine_timeout_seconds": {"type": "float", "default": 600},
        },
        supports_check_mode=True,
    )
    _answer.answer(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
