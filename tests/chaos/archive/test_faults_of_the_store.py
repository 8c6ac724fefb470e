# SPDX-License-Identifier: GPL-3.0-or-later
"""The store answers badly, or not at all, at each kind of request that a backup makes of it."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
from botocore.retries import standard

from ansible_collections.emailai.migration.plugins.module_utils._archive import parts
from chaos.archive.door import Door, Fault
from chaos.archive.trial import Trial
from integration.archive_world import World, execute, made, s3_options
from integration.test_pg_backup import BULK

STEPS = (
    "put schema",
    "begin",
    "part 2",
    "complete",
    "read back data-rest",
    "put manifest",
    "read back manifest",
)
_READS_BACK = tuple(step for step in STEPS if step.startswith("read back"))
# What passes is survived; what stays is told, in these words; the end of the worker is told as such.
PASSING = {
    "503 once": Fault((503, "SlowDown")),
    "200 with an error once": Fault((200, "InternalError")),
    "cut once": Fault(),
    "answer lost once": Fault(is_passed_on=True),
}
LASTING = {
    "500": (Fault((500, "InternalError"), lasts=True), "the store failed, five times"),
    "200 with an error": (Fault((200, "InternalError"), lasts=True), "."),
    "cut": (Fault(lasts=True), "Check store.endpoint_url and the network"),
    "answers lost, each time": (Fault(is_passed_on=True, recurs=True), "Check store.endpoint_url"),
    "keys refused": (Fault((403, "AccessDenied"), lasts=True), "the keys are"),
    "bucket gone": (Fault((404, "NoSuchBucket"), lasts=True), "."),
}
ENDS = {
    "killed before": (Fault(act="SIGKILL"), "its process is gone"),
    "killed after": (Fault(is_passed_on=True, act="SIGKILL"), "its process is gone"),
    # Once the manifest is on its way there is nothing left to end.
    "told to end": (Fault(is_passed_on=True, act="SIGTERM"), "^$|it was told to end"),
}
FAULTS = {**{name: (fault, "") for name, fault in PASSING.items()}, **LASTING, **ENDS}


@pytest.fixture(scope="module")
def pattern(postgres: t.Any, store: t.Any, tmp_path_factory: pytest.TempPathFactory) -> World:
    world = made(postgres, s3_options(store), tmp_path_factory.mktemp("pattern"))
    execute(world.target, BULK)
    return world


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small parts, and a client that is as stubborn as ever but does not pause."""
    monkeypatch.setattr(parts, "FIRST_PART", 5 * parts.MIB)
    monkeypatch.setattr(standard.ExponentialBackoff, "delay_amount", lambda self, context: 0.01)


@pytest.mark.parametrize("name", FAULTS)
def test_a_backup_is_whole_or_not_there_and_the_next_one_is_made(
    pattern: World, store: t.Any, name: str
) -> None:
    fault, sentence = FAULTS[name]
    wrong = {}
    for step in STEPS:
        # The answer to a HEAD has no body for an error; and what lasts ends each writing alike.
        if step in _READS_BACK and (name.startswith("200") or fault.lasts or fault.recurs):
            continue
        trial = Trial(pattern, pattern.store)
        with Door(store.endpoint_url, step, fault, trial.strike_worker) as door:
            can_tidy = not fault.lasts and fault.act != "SIGKILL"
            away = dict(trial.honest.store, endpoint_url=door.url)
            words, faults = trial.faults(door.heal, can_tidy, store=away)
        faults += [] if door.struck else ["nothing was struck"]
        if not re.search(sentence or "^$", words):
            faults.append(f"another end: {words!r}")
        if faults:
            wrong[step] = faults
    assert wrong == {}


def test_a_manifest_that_cannot_be_looked_at_keeps_its_objects(pattern: World, store: t.Any) -> None:
    """It was written, nobody was told, and nobody can find out: without its objects it would be a lie."""
    fault = Fault(is_passed_on=True, recurs=True)
    trial = Trial(pattern, pattern.store)
    with Door(store.endpoint_url, "manifest", fault, trial.strike_worker) as door:
        words, faults = trial.faults(door.heal, store=dict(trial.honest.store, endpoint_url=door.url))
    assert (faults, words[:12]) == ([], "Cannot write")


def test_the_door_itself_is_seen_to_be_one(pattern: World, store: t.Any, tmp_path: Path) -> None:
    """Through a door that does nothing the backup is made: what the others see is the fault, not the door."""
    trial = Trial(pattern, pattern.store)
    with Door(store.endpoint_url, "never", Fault(), trial.strike_worker) as door:
        assert trial.faults(door.heal, store=dict(trial.honest.store, endpoint_url=door.url)) == ("", [])
    assert not door.struck
