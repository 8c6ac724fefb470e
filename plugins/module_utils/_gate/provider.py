# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one face of all providers, and how the description of one becomes one."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._gate.providers import (
    access_log,
    datadog,
    error_log,
    haproxy,
    http_json,
    postgres,
    prometheus,
    sentry,
    vercel,
)
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import Look, Position, Reading

Description = t.Mapping[str, t.Any]


class Provider(t.Protocol):
    """A source of figures. One file each in ``providers``; a new one is added to the table below."""

    measures: tuple[str, ...]

    def observe(self, reading: Reading, position: Position | None, look: Look) -> None:
        """Put what happened since ``position`` into the reading; None: since ``look.since``.

        The reading's own position is left where the next look goes on.
        Raises MigrationError if the source cannot be read.
        """


# Kind → how it is made from its description, and which of its options must be set.
_KINDS: t.Final[dict[str, tuple[t.Callable[[Description], Provider], tuple[str, ...]]]] = {
    "haproxy": (haproxy.HAProxy, ("socket", "backend")),
    "access_log": (access_log.AccessLog, ("path",)),
    "error_log": (error_log.ErrorLog, ("path",)),
    "postgres": (postgres.Postgres, ()),
    "sentry": (sentry.Sentry, ("token", "organization")),
    "datadog": (datadog.Datadog, ("api_key", "application_key", "requests")),
    "prometheus": (prometheus.Prometheus, ("url", "requests")),
    "http_json": (http_json.HttpJson, ("url", "requests")),
    "vercel": (vercel.Vercel, ("token", "project")),
}
KINDS: t.Final = tuple(_KINDS)


def make(description: Description) -> Provider:
    kind = description.get("kind")
    if kind not in _KINDS:
        raise _refusal(str(kind), "no provider is of that kind", f"Known are {', '.join(KINDS)}")
    factory, required = _KINDS[kind]
    missing = [name for name in required if not description.get(name)]
    if missing:
        raise _refusal(name_of(description), f"{', '.join(missing)} is not set")
    return factory(description)


def name_of(description: Description) -> str:
    return str(description.get("name") or description["kind"])


def refuse_strangers(descriptions: t.Sequence[Description]) -> None:
    """Whoever borrows requests must borrow them from one of the others."""
    names = [name_of(description) for description in descriptions]
    for description in descriptions:
        lender = description.get("requests_of")
        if lender and (lender not in names or lender == name_of(description)):
            raise _refusal(
                name_of(description),
                f"no other provider has the name {lender}",
                "Set requests_of to one that counts requests",
            )


def look_at_all(
    descriptions: t.Sequence[Description], positions: t.Mapping[str, Position], look: Look
) -> list[Reading]:
    """Ask all providers at the same time; one that cannot be read says so in its reading."""
    providers = [make(description) for description in descriptions]
    names = [name_of(description) for description in descriptions]
    if len(set(names)) != len(names):
        raise _refusal(", ".join(names), "two of them have the same name")
    readings = [
        Reading(name, str(d["kind"]), p.measures, float(d.get("lag_seconds") or 0))
        for name, d, p in zip(names, descriptions, providers)
    ]
    if not providers:
        return []
    with ThreadPoolExecutor(max_workers=len(providers)) as pool:
        list(
            pool.map(
                lambda pair: _observe(pair[0], pair[1], positions.get(pair[1].name), look),
                zip(providers, readings),
            )
        )
    return readings


def _observe(provider: Provider, reading: Reading, position: Position | None, look: Look) -> None:
    try:
        provider.observe(reading, position, look)
    except MigrationError as exc:
        _withdraw(reading, position, str(exc))
    except (OSError, ValueError, KeyError) as exc:
        _withdraw(reading, position, f"{type(exc).__name__}: {exc}")


def _withdraw(reading: Reading, position: Position | None, error: str) -> None:
    """Half a reading is none: the next look starts where this one did. Events stand for themselves."""
    reading.error = error
    reading.slots.clear()
    reading.position = position or {}


def _refusal(name: str, cause: str, cure: str = "") -> MigrationError:
    return MigrationError("use", f"the gate's provider {name}", cause, cure, kind="gate")
