# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One incident a run on a status page, as Atlassian Statuspage's API has it: opened, updated, resolved."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from urllib.parse import quote

from ansible_collections.emailai.migration.plugins.module_utils import _http

if t.TYPE_CHECKING:
    from ansible_collections.emailai.migration.plugins.module_utils._message.letter import Letter


@dataclass(frozen=True)
class Page:
    url: str
    page: str
    key: str = field(repr=False)
    # Subscribers get a mail for each step only where somebody asked for it.
    notifies: bool = False
    validate_certs: bool = True


# What our three steps are called there.
STATUSES: t.Final = {"opened": "identified", "updated": "monitoring", "resolved": "resolved"}


def document(letter: Letter, step: str, run_id: str, notifies: bool) -> dict[str, t.Any]:
    incident: dict[str, t.Any] = {
        "name": letter.subject,
        "body": letter.body.strip(),
        "status": STATUSES[step],
        "deliver_notifications": notifies,
    }
    if step == "opened":
        incident["impact_override"] = "none"
        incident["metadata"] = {"emailai_migration": {"run_id": run_id}}
    return {"incident": incident}


def publish(letter: Letter, step: str, run_id: str, incident_id: str, page: Page) -> dict[str, t.Any]:
    """Open the incident, or go on with the one that ``incident_id`` names; returns its id.

    An update without an open incident opens one: people who look at the page
    must find the news either way.
    """
    manner = _http.Manner(
        "send",
        f"message '{letter.name}' to the status page",
        "message",
        validate_certs=page.validate_certs,
    )
    address = f"{page.url.rstrip('/')}/pages/{quote(page.page, safe='')}/incidents"
    method = "POST"
    if incident_id:
        address, method = f"{address}/{quote(incident_id, safe='')}", "PATCH"
    answer = _http.request(
        manner,
        address,
        document(letter, step if incident_id or step != "updated" else "opened", run_id, page.notifies),
        method=method,
        headers={"Authorization": f"OAuth {page.key}"},
    )
    if not isinstance(answer, dict) or not answer.get("id"):
        raise manner.error("the answer names no incident", "Look at the status page before trying again")
    return {"incident_id": str(answer["id"])}
