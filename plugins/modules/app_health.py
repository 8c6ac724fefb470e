# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: app_health
short_description: Wait until application servers answer well, with the right release
description:
  - Asks the health path of each server until so many answers in a row were good.
  - An answer is good when its status is 2xx, the C(status) of its JSON body, if any, is a good word, and the
    release it names, in C(version) of the body or in the header C(X-Release), is the expected one.
  - A redirect is not a good answer.
version_added: 0.1.0
author: EmailAI platform engineering (@emailai)
options:
  urls:
    description: The servers, as C(http://host:port). All are asked at the same time.
    type: list
    elements: str
    required: true
  path:
    description: The health path.
    type: str
    default: /api/health
  expected_version:
    description: The release that must answer. Empty accepts any.
    type: str
    default: ""
  consecutive:
    description: So many answers in a row must be good.
    type: int
    default: 3
  interval_milliseconds:
    description: The time between two questions.
    type: int
    default: 250
  timeout_seconds:
    description: How long to go on asking.
    type: float
    default: 60
  must_be_healthy:
    description:
      - Whether a server that is not healthy in time is a failure.
      - If not, RV(outcome) and RV(readiness) say so.
    type: bool
    default: true
  validate_certs:
    description: Whether the certificate of a server must be valid.
    type: bool
    default: true
extends_documentation_fragment:
  - emailai.migration._attributes
  - emailai.migration._attributes.actiongroup_migration
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
"""

EXAMPLES = r"""
- name: Wait for the new release on app-1
  emailai.migration.app_health:
    urls: [http://app-1.internal:3000]
    expected_version: v2.0.0-orgs
"""

RETURN = r"""
outcome:
  description: V(healthy) if all are; V(silent) if one does not answer; V(sick) if one answers, but not well.
  returned: always
  type: str
  sample: healthy
version:
  description: The release that answered, empty if the servers do not agree.
  returned: always
  type: str
  sample: v2.0.0-orgs
servers:
  description: Each server with its last answer.
  returned: always
  type: list
  elements: dict
  sample:
    - {url: "http://app-1.internal:3000/api/health", outcome: healthy, version: v2.0.0-orgs, status: 200,
       answers: 3, reason: "", seconds: 0.51}
readiness:
  description: A line of the readiness table for each server.
  returned: always
  type: list
  elements: dict
  sample:
    - {item: "http://app-1.internal:3000/api/health healthy", kind: app, required: v1.9.0, found: v1.9.0,
       read_by: 3 good answers in a row, state: met}
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils import _answer
from ansible_collections.emailai.migration.plugins.module_utils._platform import health, http, report


def run(params: dict[str, t.Any]) -> dict[str, t.Any]:
    """Ask all servers."""
    patience = http.Patience(
        consecutive=params["consecutive"],
        interval_seconds=params["interval_milliseconds"] / 1000,
        timeout_seconds=params["timeout_seconds"],
        validate_certs=params["validate_certs"],
    )
    urls = [url.rstrip("/") + params["path"] for url in params["urls"]]
    servers = http.watch_all(urls, params["expected_version"], patience)
    found = report.of(servers, params["expected_version"], params["consecutive"])
    if params["must_be_healthy"] and found["outcome"] != health.HEALTHY:
        raise report.failure(found)
    return found


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "urls": {"type": "list", "elements": "str", "required": True},
            "path": {"type": "str", "default": "/api/health"},
            "expected_version": {"type": "str", "default": ""},
            "consecutive": {"type": "int", "default": 3},
            "interval_milliseconds": {"type": "int", "default": 250},
            "timeout_seconds": {"type": "float", "default": 60},
            "must_be_healthy": {"type": "bool", "default": True},
            "validate_certs": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    _answer.answer(module, lambda: run(module.params))


if __name__ == "__main__":
    main()
