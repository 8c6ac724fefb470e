# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: slo_monitor
short_description: Keep the runbook's three monitors at the services that call people
description:
  - Errors above ten a minute page the engineer on call; queries on organizations above 100 ms, and more than
    five failed logins within five minutes, tell the team's channel.
  - Each service is read, brought to exactly these monitors, and read again. Others' are left alone.
version_added: 0.1.0
author: EmailAI platform engineering (@emailai)
options:
  state:
    description:
      - V(present) creates or changes them; V(absent) removes ours.
      - V(checked) only returns readiness lines; a service that does not answer is an open line, no failure.
        Without a service the line says that nobody would notice, to be accepted by name.
    type: str
    choices: [present, absent, checked]
    default: present
  services:
    description: Where the monitors are kept.
    type: list
    elements: dict
    default: []
    suboptions:
      kind:
        description: What the service is.
        type: str
        required: true
        choices: [datadog, sentry, prometheus]
      name:
        description: Its name in answers. Without one its kind.
        type: str
      url:
        description: Its address, where it is not the vendor's own.
        type: str
      api_key:
        description: For V(datadog).
        type: str
      application_key:
        description: For V(datadog). It needs the right to write monitors.
        type: str
      token:
        description: For V(sentry). It needs C(alerts:write).
        type: str
      organization:
        description: For V(sentry), the organization's slug.
        type: str
      projects:
        description: For V(sentry), the projects' slugs.
        type: list
        elements: str
        default: []
      environment:
        description: For V(sentry), only this environment.
        type: str
      path:
        description:
          - For V(prometheus), the file of rules, which holds nothing else. Its folder exists, C(rule_files)
            of the configuration names it, and Prometheus is told to reload by whoever keeps it.
        type: path
      page:
        description:
          - Who is paged. A handle of Datadog such as C(@pagerduty-emailai); an action of Sentry's API, a
            dictionary; for V(prometheus) the label C(severity), by default V(page).
        type: raw
      tell:
        description: Who is told, likewise. For V(prometheus) by default V(tell).
        type: raw
      queries:
        description:
          - What is measured instead of the defaults, by C(errors), C(queries) and C(logins), in the service's
            own language and without the comparison.
        type: dict
        default: {}
      timeout_seconds:
        description: How long one request may take.
        type: float
        default: 10
      validate_certs:
        description: Whether the certificate of the service must be valid.
        type: bool
        default: true
      ca_cert:
        description: A file with the authority that vouches for the service.
        type: path
  limits:
    description: Limits that differ, by the names of the option C(limits) of M(emailai.migration.slo_gate).
    type: dict
    default: {}
extends_documentation_fragment:
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
- name: Keep the monitors at Datadog
  emailai.migration.slo_monitor:
    services:
      - kind: datadog
        api_key: "{{ vault_datadog_api_key }}"
        application_key: "{{ vault_datadog_application_key }}"
        page: "@pagerduty-emailai"
        tell: "@slack-emailai-team"

- name: Remove them again
  emailai.migration.slo_monitor:
    state: absent
    services:
      - kind: prometheus
        path: /etc/prometheus/rules/emailai_migration.yml
"""

RETURN = r"""
services:
  description: What was done at each service, and the monitors that it holds.
  returned: with O(state=present) and O(state=absent)
  type: list
  elements: dict
  sample: [{name: datadog, steps: [create errors], monitors: [errors, logins, queries]}]
readiness:
  description: A line for each service.
  returned: with O(state=checked)
  type: list
  elements: dict
  sample:
    - {item: alerts at datadog, kind: gate, required: "the runbook's three alerts", found: as wanted,
       read_by: datadog, state: met}
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.emailai.migration.plugins.module_utils import _answer
from ansible_collections.emailai.migration.plugins.module_utils._gate import limits, monitors, watch

SERVICE: t.Final[dict[str, t.Any]] = {
    "kind": {"type": "str", "required": True, "choices": list(watch.KINDS)},
    "name": {"type": "str"},
    # An address may hold a secret.
    "url": {"type": "str", "no_log": True},
    "api_key": {"type": "str", "no_log": True},
    "application_key": {"type": "str", "no_log": True},
    "token": {"type": "str", "no_log": True},
    "organization": {"type": "str"},
    "projects": {"type": "list", "elements": "str", "default": []},
    "environment": {"type": "str"},
    "path": {"type": "path"},
    "page": {"type": "raw"},
    "tell": {"type": "raw"},
    "queries": {"type": "dict", "default": {}},
    "timeout_seconds": {"type": "float", "default": 10},
    "validate_certs": {"type": "bool", "default": True},
    "ca_cert": {"type": "path"},
}


def run(params: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """Bring every service to the three monitors, or to none."""
    wanted = monitors.three(limits.limits_from(params["limits"]))
    if params["state"] == "checked":
        return {"changed": False, "readiness": watch.lines(params["services"], wanted)}
    return watch.ensure(params["services"], wanted if params["state"] == "present" else [], check_mode)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent", "checked"], "default": "present"},
            "services": {"type": "list", "elements": "dict", "default": [], "options": SERVICE},
            "limits": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    _answer.answer(module, lambda: run(module.params, module.check_mode))


if __name__ == "__main__":
    main()
