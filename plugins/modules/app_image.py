# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: app_image
short_description: Build the image of a release once, tag it, push it, and read its digest back
description:
  - The image gets two tags, the version and C(latest). Both are pushed, and the digest is read from the
    registry.
  - A version that the registry has already is not built again, so the same call on the way to each host is
    one build.
  - Who may log in to the registry is a matter of Docker's own configuration on the host.
version_added: 0.1.0
author: EmailAI platform engineering (@emailai)
options:
  name:
    description: The release, by its version. It becomes the image's tag.
    type: str
    required: true
  image:
    description: The image's repository, without tag and digest.
    type: str
    required: true
  folder:
    description: The folder with the Dockerfile and what goes into the image.
    type: path
    required: true
  push:
    description:
      - Push both tags. Without it the image stays on this host and has no digest.
    type: bool
    default: true
  digest:
    description: The digest that the registry must have under the version's tag. Empty means any.
    type: str
    default: ""
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
- name: Build the image and push it
  emailai.migration.app_image:
    name: v2.0.0-orgs
    image: registry.example.com/emailai/app
    folder: /srv/build/emailai
  delegate_to: build-1
  register: built
"""

RETURN = r"""
digest:
  description: The digest in the registry, empty if nothing was pushed and in check mode before the build.
  returned: success
  type: str
  sample: sha256:1f2c6a5e3f3a8a6f0b1d5a7c9e2b4d6f8091a2b3c4d5e6f708192a3b4c5d6e7f
reference:
  description: The image by its digest.
  returned: success
  type: str
  sample: example.com/app@sha256:1f2c6a5e3f3a8a6f0b1d5a7c9e2b4d6f8091a2b3c4d5e6f708192a3b4c5d6e7f
is_built:
  description: Whether the image was built.
  returned: success
  type: bool
  sample: true
is_pushed:
  description: Whether something was pushed.
  returned: success
  type: bool
  sample: true
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils import _answer
from ansible_collections.emailai.migration.plugins.module_utils._platform import engine, image


def run(params: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """Arrange the image."""
    seconds = params["engine_timeout_seconds"]
    order = image.Order(params["name"], params["image"], params["digest"], params["push"])
    docker = engine.Engine(params["engine_command"], params["folder"], seconds)
    # Whoever else builds this image may take as long: then there is nothing left to do.
    return image.arrange(docker, order, 2 * seconds, check_mode)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "image": {"type": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "push": {"type": "bool", "default": True},
            "digest": {"type": "str", "default": ""},
            "engine_command": {"type": "list", "elements": "str", "default": ["docker"]},
            "engine_timeout_seconds": {"type": "float", "default": 600},
        },
        supports_check_mode=True,
    )
    _answer.answer(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
