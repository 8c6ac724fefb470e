# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal on a real server: who may act, what is remembered, what a second call changes."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import (
    control,
    controller,
    hold,
    lease,
    states,
    tables,
)
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target, session
from ansible_collections.emailai.migration.plugins.modules import migration_journal, migration_journal_info
from integration.call_module import Result, login, options

if t.TYPE_CHECKING:
    from integration.conftest import Postgres

RUN = "v1..v2#1"


@dataclasses.dataclass
class Operator:
    """A person at a controller of her own, in front of one database."""

    target: Target
    name: str = "ada"
    machine: str = "laptop-of-ada"
    pid: int = 4711
    releases: tuple[str, str] = ("v1", "v2")
    epoch: int | None = None

    def call(self, state: str, check_mode: bool = False, **more: t.Any) -> Result:
        here = {
            "host": self.machine,
            "boot": self.machine,
            "space": "pid:[1]",
            "pid": self.pid,
            "started": "9",
        }
        given = {
            "release_before": self.releases[0], "release_after": self.releases[1], "owner": self.name,
            "controller": here, "epoch": self.epoch, "state": state, **login(self.target), **more,
        }  # fmt: skip
        result = migration_journal.run(options("migration_journal", **given), check_mode)
        self.epoch = result.get("epoch", self.epoch) if not check_mode else self.epoch
        return result

    def open(self, phase: str, **more: t.Any) -> Result:
        return self.call("opened", phase=phase, **more)

    def close(self, phase: str, **more: t.Any) -> Result:
        return self.call("closed", phase=phase, **more)

    def do(self, *phases: str) -> None:
        for phase in phases:
            assert self.open(phase)["proceed"]
            self.close(phase)

    def look(self, **more: t.Any) -> Result:
        return migration_journal_info.run(options("migration_journal_info", **login(self.target), **more))

    def beside(self, name: str = "joe", **changes: t.Any) -> Operator:
        other = {"name": name, "machine": f"laptop-of-{name}", "pid": 4712, "epoch": None, **changes}
        return dataclasses.replace(self, **other)


@pytest.fixture
def ada(postgres: Postgres) -> Operator:
    return Operator(postgres.new_database())


def rows(target: Target, query: str) -> list[tuple[t.Any, ...]]:
    with session(target, "test") as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def change(target: Target, query: str) -> None:
    with session(target, "test") as connection:
        connection.cursor().execute(query)
        connection.commit()


def everything(target: Target) -> dict[str, list[tuple[t.Any, ...]]]:
    """Every row of the journal but the lease's clock."""
    tables_of_ours = (
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname <> 'lease'"
        " AND relnamespace = 'emailai_migration'::regnamespace"
    )
    names = [name for (name,) in rows(target, tables_of_ours)]
    return {
        name: rows(target, f"SELECT to_jsonb(r) FROM emailai_migration.{name} r ORDER BY 1") for name in names
    }


# -- phases -------------------------------------------------------------------


def test_a_phase_is_opened_and_closed_once(ada: Operator) -> None:
    foreseen = ada.open("prepare", check_mode=True)
    assert (foreseen["changed"], foreseen["proceed"], foreseen["run_id"]) == (True, True, RUN)
    opened = ada.open("prepare")
    assert (opened["changed"], opened["created"], opened["run_state"]) == (True, True, "preparing")
    assert opened["phase_event"] == {"phase": "prepare", "event": "opened", "run_id": RUN}
    closed = ada.close("prepare", outcome={"checks": 9})
    assert (closed["changed"], closed["phase_state"], closed["outcome"]) == (True, "completed", {"checks": 9})
    before = everything(ada.target)
    assert ada.open("prepare", check_mode=True)["changed"] is False
    again = ada.open("prepare")
    assert (again["changed"], again["proceed"], again["skip"]) == (False, False, True)
    assert again["phase_event"]["event"] == "skipped"
    assert ada.close("prepare", outcome={"checks": 9})["changed"] is False
    assert everything(ada.target) == before


def test_check_mode_writes_nothing_at_all_not_even_the_schema(ada: Operator) -> None:
    for phase in states.FORWARD:
        foreseen = ada.open(phase, check_mode=True)
        assert foreseen["proceed"], phase
        assert foreseen["run_id"] == RUN
        ada.close(phase, check_mode=True)
        ada.call("failed", check_mode=True, phase=phase, error="x")
    ada.call("present", check_mode=True)
    ada.call("planned", check_mode=True)
    ada.call("controlled", check_mode=True, wanted="pause")
    ada.call("recorded", check_mode=True, kind="event", name="x")
    assert rows(
        ada.target, "SELECT to_regnamespace('emailai_migration'), to_regclass('public.migration_log')"
    ) == [(None, None)]


def test_check_mode_writes_nothing_into_a_journal_that_is_there(ada: Operator) -> None:
    ada.do("prepare")
    before = everything(ada.target)
    ada.beside().open("back_up", check_mode=True)
    ada.close("prepare", check_mode=True, outcome={"x": 1})
    for kind in ("event", "confirmation", "baseline", "artifact", "message", "ledger"):
        assert ada.call("recorded", check_mode=True, kind=kind, name="x")["changed"]
    assert ada.call("controlled", check_mode=True, wanted="pause")["changed"]
    assert everything(ada.target) == before


def test_check_mode_says_what_would_run_first_and_what_would_be_refused(ada: Operator) -> None:
    assert ada.open("expand", check_mode=True)["missing"] == ["prepare", "back_up", "rehearse"]
    ada.open("prepare")
    other = ada.beside(releases=("v2", "v3"))
    assert "run v1..v2#1 is not finished" in other.open("prepare", check_mode=True)["would_refuse"]


def test_a_phase_is_refused_before_what_it_builds_on_and_no_run_begins(ada: Operator) -> None:
    with pytest.raises(MigrationError, match="builds on prepare, back_up, rehearse"):
        ada.open("expand")
    assert rows(ada.target, "SELECT count(*) FROM emailai_migration.run") == [(0,)]
    assert rows(ada.target, "SELECT count(*) FROM emailai_migration.lease") == [(0,)]


def test_a_whole_run_concludes_and_the_same_command_changes_nothing(ada: Operator) -> None:
    ada.do(*states.FORWARD)
    assert rows(ada.target, "SELECT id, state, finished_at IS NOT NULL FROM emailai_migration.run") == [
        (RUN, "concluded", True)
    ]
    before = everything(ada.target)
    later = ada.beside()
    for phase in states.FORWARD:
        answer = later.open(phase)
        assert (answer["changed"], answer["proceed"]) == (False, False)
        assert answer["text"].startswith(f"nothing to do: run {RUN} concluded at ")
    assert everything(ada.target) == before


def test_a_failure_is_kept_told_and_gone_on_with(ada: Operator) -> None:
    ada.open("prepare")
    failed = ada.call(
        "failed", phase="prepare", failure={"msg": "Cannot reach it.", "kind": "app"}, limit="prod",
        contacts={"engineering_lead": "Eve"},
    )  # fmt: skip
    assert (failed["run_state"], failed["phase_state"]) == ("failed", "failed")
    assert "Ask the engineering lead, Eve." in failed["sentence"]
    assert ada.call("failed", phase="prepare", error="Cannot reach it.")["changed"] is False
    resumed = ada.beside().open("prepare")
    assert (resumed["proceed"], resumed["run_id"], resumed["phase_state_before"]) == (True, RUN, "failed")
    assert rows(ada.target, "SELECT state, error FROM emailai_migration.phase") == [("in_progress", None)]


def test_of_twenty_hosts_that_fail_with_the_same_words_one_is_noted(ada: Operator) -> None:
    ada.open("prepare")
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: ada.call("failed", phase="prepare", error="x"), range(20)))
    assert sum(answer["changed"] for answer in answers) == 1
    assert [event["kind"] for event in ada.look()["events"]] == ["opened", "failed"]


def test_taken_back_or_given_up_the_next_number_begins(ada: Operator) -> None:
    ada.do("prepare")
    back = ada.beside()
    assert back.open("roll_back", seize=True, scope="code")["run_state"] == "rolling_back"
    assert back.close("roll_back", scope="code")["run_state"] == "rolled_back"
    again = back.open("roll_back", seize=True, scope="code")
    assert (again["proceed"], again["changed"]) == (True, False)
    assert back.close("roll_back", scope="code")["changed"] is False
    assert ada.beside().open("prepare")["run_id"] == "v1..v2#2"


def test_a_run_can_be_named_ahead_of_its_first_phase(ada: Operator) -> None:
    assert ada.call("planned", check_mode=True)["run_id"] == RUN
    assert ada.call("planned")["changed"]
    assert ada.call("planned") | {"changed": False} == ada.call("planned")
    ada.do(*states.FORWARD)
    assert rows(ada.target, "SELECT id, state FROM emailai_migration.run") == [(RUN, "concluded")]


# -- who may act ----------------------------------------------------------------


def test_of_twenty_who_open_at_once_one_works_and_the_others_attach(ada: Operator) -> None:
    people = [ada.beside(f"operator-{n}") for n in range(20)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda person: person.open("prepare"), people))
    working = [answer for answer in answers if answer["proceed"]]
    attached = [answer for answer in answers if answer["attached"]]
    assert (len(working), len(attached)) == (1, 19)
    assert {answer["holder"]["epoch"] for answer in attached} == {working[0]["epoch"]}
    assert all(answer["holder"]["text"].startswith("operator-") for answer in attached)
    assert rows(ada.target, "SELECT id FROM emailai_migration.run") == [(RUN,)]
    assert rows(ada.target, "SELECT count(*) FROM emailai_migration.event WHERE kind = 'opened'") == [(1,)]


def test_an_attached_call_goes_on_when_the_holder_lets_go(ada: Operator) -> None:
    ada.open("prepare")
    joe = ada.beside()
    waiting = joe.open("prepare")
    assert (waiting["attached"], waiting["proceed"], waiting["changed"]) == (True, False, False)
    assert waiting["holder"]["phase"] == "prepare"
    ada.close("prepare")
    assert not joe.open("prepare")["proceed"]
    assert joe.open("back_up")["attached"]
    ada.open("back_up")
    ada.call("failed", phase="back_up", error="x")
    assert joe.open("back_up")["proceed"]


def test_what_was_done_while_taking_the_lease_is_not_done_again(
    ada: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada.call("present")
    joe = ada.beside()
    take = hold.take

    def take_late(*arguments: t.Any) -> lease.Lease | None:
        """Joe is faster by the whole phase."""
        monkeypatch.setattr(hold, "take", take)
        joe.open("prepare")
        joe.close("prepare", is_last=True)
        return take(*arguments)

    monkeypatch.setattr(hold, "take", take_late)
    answer = ada.open("prepare")
    assert (answer["proceed"], answer["changed"], answer["run_id"]) == (False, False, RUN)
    assert rows(ada.target, "SELECT state FROM emailai_migration.phase") == [("completed",)]
    assert ada.look()["holder"] is None


def test_an_expired_lease_is_taken_over_and_the_one_before_is_fenced(ada: Operator) -> None:
    first = ada.open("prepare")
    change(ada.target, "UPDATE emailai_migration.lease SET expires_at = now() - interval '1 s'")
    joe = ada.beside()
    second = joe.open("prepare")
    assert second["epoch"] == first["epoch"] + 1
    late: list[t.Callable[[], Result]] = [
        lambda: ada.close("prepare"),
        lambda: ada.open("prepare"),
        lambda: ada.call("recorded", kind="event", name="late"),
    ]
    for call in late:
        with pytest.raises(lease.FencedError, match="taken over by joe on laptop-of-joe"):
            call()
    failed = ada.call("failed", phase="prepare", error="late")
    assert failed["changed"] is False
    assert rows(ada.target, "SELECT state FROM emailai_migration.phase") == [("in_progress",)]
    joe.close("prepare")


def test_a_neighbour_is_not_taken_for_dead_because_it_was_silent(ada: Operator) -> None:
    """On the same machine the process can be looked at, and the look decides."""
    opened = ada.open("prepare")
    change(ada.target, "UPDATE emailai_migration.lease SET expires_at = now() - interval '1 h'")
    neighbour = ada.beside(machine=ada.machine)
    assert neighbour.open("prepare")["attached"]
    taken = neighbour.open("prepare", dead_epoch=opened["epoch"])
    assert (taken["proceed"], taken["epoch"]) == (True, opened["epoch"] + 1)


def test_a_dead_neighbour_is_followed_at_once(ada: Operator) -> None:
    opened = ada.open("prepare")
    neighbour = ada.beside(machine=ada.machine)
    waiting = neighbour.open("prepare")
    here = controller.identify(os.getpid())
    gone = dict(here, pid=2**22 + 1, started="1")
    assert controller.is_known_dead(gone, here)
    assert neighbour.open("prepare", dead_epoch=waiting["holder"]["epoch"])["proceed"]
    with pytest.raises(lease.FencedError):
        ada.close("prepare")
    assert waiting["holder"]["epoch"] == opened["epoch"]


def test_the_same_controller_goes_on_under_its_epoch(ada: Operator) -> None:
    first = ada.open("prepare")
    ada.close("prepare")
    assert ada.open("back_up")["epoch"] == first["epoch"]
    ada.epoch = None
    assert ada.open("back_up")["epoch"] == first["epoch"]


def test_the_way_back_does_not_wait_and_fences_all_who_work(ada: Operator) -> None:
    ada.open("prepare")
    with session(ada.target, "test") as connection:
        worker = lease.acquire(connection, "data", RUN, "worker")
    assert worker is not None
    joe = ada.beside()
    assert joe.open("roll_back", seize=True)["proceed"]
    with pytest.raises(lease.FencedError):
        ada.close("prepare")
    with (
        session(ada.target, "test") as connection,
        connection.cursor() as cursor,
        pytest.raises(lease.FencedError),
    ):
        lease.extend(cursor, "data", worker.epoch)
    assert rows(ada.target, "SELECT name, state, error FROM emailai_migration.phase ORDER BY name") == [
        ("prepare", "failed", "stopped by roll_back"),
        ("roll_back", "in_progress", None),
    ]
    with pytest.raises(MigrationError, match=r"Run playbooks/roll_back\.yml again first"):
        joe.open("prepare")


def test_other_releases_hear_who_works_where_since_when_and_what_to_do(ada: Operator) -> None:
    ada.open("prepare")
    other = ada.beside(releases=("v2", "v3"))
    with pytest.raises(MigrationError) as caught:
        other.open("prepare")
    said = str(caught.value)
    assert "run v1..v2#1 is not finished (preparing, ada on laptop-of-ada since 20" in said
    assert "take it back with playbooks/roll_back.yml" in said
    ada.close("prepare")
    change(ada.target, "UPDATE emailai_migration.lease SET expires_at = now() - interval '1 s'")
    with pytest.raises(MigrationError, match="is not finished"):
        other.open("prepare")


def test_another_map_is_refused_and_the_first_one_given_is_kept(ada: Operator) -> None:
    ada.do("prepare")
    ada.open("back_up", map_digest="a" * 64)
    ada.close("back_up")
    with pytest.raises(
        MigrationError, match=r"another model map \(digest aaaaaaaaaaaa, given bbbbbbbbbbbb\)"
    ):
        ada.open("rehearse", map_digest="b" * 64)
    assert ada.open("rehearse", map_digest="a" * 64)["proceed"]


def test_the_phases_budget_is_how_long_it_may_be_silent(ada: Operator) -> None:
    left = "SELECT extract(epoch FROM expires_at - now())::int FROM emailai_migration.lease"
    ada.do("prepare", "back_up", "rehearse", "expand", "move", "verify")
    assert rows(ada.target, left)[0][0] in range(20, 31)
    ada.open("deploy")
    assert rows(ada.target, left)[0][0] in range(1100, 1201)
    ada.call("recorded", kind="event", name="batch 1")
    assert rows(ada.target, left)[0][0] > 1100
    ada.close("deploy", is_last=True)
    assert rows(ada.target, left)[0][0] <= 0
    ada.open("watch", budget_seconds=77)
    assert rows(ada.target, left)[0][0] in range(60, 78)


# -- what is remembered -----------------------------------------------------------


def test_each_kind_of_record_knows_what_makes_it_the_same(ada: Operator) -> None:
    ada.open("prepare")

    def record(record_kind: str, record_name: str, **data: t.Any) -> tuple[bool, bool, t.Any]:
        answer = ada.call("recorded", kind=record_kind, name=record_name, data=data)
        return answer["changed"], answer["already_recorded"], answer["record"]

    assert record("confirmation", "on_call", by="Ada")[0]
    assert record("confirmation", "on_call", by="Joe")[:2] == (False, True)
    assert record("confirmation", "on_call")[2]["by"] == "Ada"
    assert record("baseline", "http", p95=120)[0]
    assert record("baseline", "http", p95=900)[2] == {"figures": {"p95": 120}}
    assert record("message", "complete", channel="mail")[:2] == (True, False)
    assert record("message", "complete", channel="mail")[:2] == (False, True)
    assert record("message", "complete", channel="chat")[0]
    assert record("artifact", "app-1", state="deployed", digest="x")[:2] == (True, False)
    assert record("artifact", "app-1", state="deployed", digest="x")[:2] == (False, True)
    assert record("artifact", "app-1", state="rolled_back", digest="x")[:2] == (True, True)
    assert record("ledger", "premium 7", kind="seats", before=5, after=6)[0]
    assert not record("ledger", "premium 7", kind="seats", before=5, after=6)[0]
    assert record("event", "batch 1 done", batch=1)[0]
    assert record("event", "batch 1 done", batch=1)[0]
    seen = ada.look()
    assert [(row["item"], row["confirmed_by"]) for row in seen["confirmations"]] == [("on_call", "Ada")]
    assert [row["state"] for row in seen["artifacts"]] == ["rolled_back"]
    assert {row["channel"] for row in seen["messages"]} == {"mail", "chat"}
    assert [event["message"] for event in seen["events"]][-2:] == ["batch 1 done"] * 2


def test_several_records_are_noted_together_or_not_at_all(ada: Operator) -> None:
    ada.open("prepare")
    several = [{"name": "on_call", "by": "Ada"}, {"name": "restore", "by": "Joe"}]
    with pytest.raises(MigrationError, match="it has no name"):
        ada.call("recorded", kind="confirmation", records=[*several, {"by": "Eve"}])
    assert ada.look()["confirmations"] == []
    assert ada.call("recorded", True, kind="confirmation", records=several)["changed"]
    assert ada.look()["confirmations"] == []
    assert ada.call("recorded", kind="confirmation", records=several)["changed"]
    assert not ada.call("recorded", kind="confirmation", records=several)["changed"]
    assert ada.call("recorded", kind="confirmation", records=[])["records"] == {}
    confirmed = {row["item"]: row["confirmed_by"] for row in ada.look()["confirmations"]}
    assert confirmed == {"on_call": "Ada", "restore": "Joe"}


def test_a_message_is_claimed_by_one_of_twenty(ada: Operator) -> None:
    ada.open("prepare")
    with ThreadPoolExecutor(20) as pool:
        answers = list(
            pool.map(
                lambda n: ada.call("recorded", kind="message", name="complete", data={"n": n}), range(20)
            )
        )
    assert sum(not answer["already_sent"] for answer in answers) == 1


def test_an_unknown_kind_is_refused(ada: Operator) -> None:
    ada.open("prepare")
    with pytest.raises(MigrationError, match="must be one of: event, confirmation"):
        ada.call("recorded", kind="rumour", name="x")


# -- contract ---------------------------------------------------------------------------


def test_contract_waits_takes_a_name_and_writes_nothing_before(ada: Operator) -> None:
    ada.do(*states.FORWARD)
    before = everything(ada.target)
    for check_mode in (True, False):
        with pytest.raises(MigrationError, match="the way back is kept for 30 days"):
            ada.open("contract", check_mode=check_mode, confirmed_by="Cleo")
    change(ada.target, "UPDATE emailai_migration.run SET finished_at = finished_at - interval '29.99 days'")
    with pytest.raises(MigrationError, match="the way back is kept for 30 days"):
        ada.open("contract", confirmed_by="Cleo")
    change(ada.target, "UPDATE emailai_migration.run SET finished_at = finished_at - interval '0.01 days'")
    for check_mode in (True, False):
        with pytest.raises(MigrationError, match="nobody confirmed it by name"):
            ada.open("contract", check_mode=check_mode)
    after = everything(ada.target)
    assert {name: found for name, found in after.items() if name != "run"} == {
        name: found for name, found in before.items() if name != "run"
    }
    assert ada.open("contract", check_mode=True, confirmed_by="Cleo")["proceed"]
    assert ada.open("contract", confirmed_by="Cleo")["proceed"]
    assert rows(ada.target, "SELECT count(*) FROM emailai_migration.event WHERE message LIKE '%by Cleo'") == [
        (1,)
    ]
    assert ada.close("contract")["run_state"] == "contracted"
    assert not ada.open("contract")["proceed"]


# -- pause, resume, abort -----------------------------------------------------------


def test_a_paused_run_waits_for_its_operator(ada: Operator) -> None:
    ada.do("prepare")
    joe = ada.beside()
    assert joe.call("controlled", wanted="pause", pace=0.5)["run_state"] == "paused"
    assert joe.call("controlled", wanted="pause", pace=0.5)["changed"] is False
    with pytest.raises(MigrationError, match="joe paused it"):
        ada.open("back_up")
    assert "journal_wanted=run" in ada.look(limit="prod")["how_to_go_on"]
    assert joe.call("controlled", wanted="run")["run_state"] == "preparing"
    with session(ada.target, "test") as connection:
        assert control.read(connection).pace == 0.5
    assert ada.open("back_up")["proceed"]


def test_aborting_takes_a_name_and_stops_whoever_works(ada: Operator) -> None:
    ada.open("prepare")
    joe = ada.beside()
    with pytest.raises(MigrationError, match="nobody confirmed it by name"):
        joe.call("controlled", wanted="abort")
    assert joe.call("controlled", wanted="abort", confirmed_by="Cleo")["run_state"] == "abandoned"
    with pytest.raises(MigrationError, match="was abandoned"):
        ada.close("prepare")
    ada.call("failed", phase="prepare", error="abandoned")
    assert joe.open("prepare")["run_id"] == "v1..v2#2"
    with session(ada.target, "test") as connection:
        assert control.read(connection).wanted == "run"


def test_an_abort_at_the_moment_of_opening_is_not_lost(ada: Operator) -> None:
    """Either the phase is not opened, or the abort comes after it: never an abandoned run that moves."""
    ada.do("prepare")
    joe = ada.beside()
    with ThreadPoolExecutor(2) as pool:
        opening = pool.submit(ada.open, "back_up")
        aborting = pool.submit(joe.call, "controlled", wanted="abort", confirmed_by="Cleo")
        opening.exception()
        assert aborting.result()["run_state"] == "abandoned"
    assert rows(ada.target, "SELECT id, state FROM emailai_migration.run WHERE number = 1") == [
        (RUN, "abandoned")
    ]


# -- other databases ------------------------------------------------------------------


def copy_of(postgres: Postgres, target: Target) -> Target:
    name = f"{target.dbname}_copy"
    with session(postgres.superuser, "test", autocommit=True) as connection:
        connection.cursor().execute(f'CREATE DATABASE "{name}" TEMPLATE "{target.dbname}"')
    return target.for_database(name)


def test_what_a_copy_brought_along_is_history(postgres: Postgres, ada: Operator) -> None:
    ada.do("prepare", "back_up")
    elsewhere = ada.beside(target=copy_of(postgres, ada.target))
    assert elsewhere.look()["run"] is None
    with pytest.raises(MigrationError, match="builds on prepare, back_up"):
        elsewhere.open("expand", without=["rehearse"])
    opened = elsewhere.open("prepare")
    assert (opened["created"], opened["run_id"]) == (True, RUN)
    elsewhere.call("failed", phase="prepare", error="x")
    assert ada.open("back_up")["phase_state_before"] == "completed"


def test_a_restored_database_takes_the_journal_over_under_a_higher_epoch(
    postgres: Postgres, ada: Operator
) -> None:
    ada.do("prepare", "back_up")
    restored = copy_of(postgres, ada.target)
    ada.call("recorded", kind="confirmation", name="restore", data={"by": "Cleo"})
    ada.open("restore", seize=True)
    there = dataclasses.replace(ada, target=restored)
    assert there.call("carried", check_mode=True, carried_from=ada.target.dbname)["changed"]
    assert there.look()["run"] is None
    carried = there.call("carried", carried_from=ada.target.dbname)
    assert carried["changed"]
    assert carried["epoch"] > (ada.epoch or 0)
    assert there.call("carried", carried_from=ada.target.dbname)["changed"] is False
    assert there.close("restore")["run_state"] == "rolled_back"
    seen = there.look()
    assert [row["name"] for row in seen["phases"]] == ["prepare", "back_up", "restore"]
    assert [row["item"] for row in seen["confirmations"]] == ["restore"]
    assert seen["events"][0]["kind"] == "opened"
    assert there.beside().open("prepare")["run_id"] == "v1..v2#2"


def test_roles_may_use_the_journal_as_far_as_they_were_let(postgres: Postgres, ada: Operator) -> None:
    reader = postgres.new_role("journal_reader").for_database(ada.target.dbname)
    writer = postgres.new_role("journal_writer").for_database(ada.target.dbname)
    assert ada.call("present")["changed"]
    with pytest.raises(MigrationError, match="permission denied"):
        dataclasses.replace(ada, target=reader).look()
    roles: dict[str, t.Any] = {"readers": ["journal_reader"], "writers": ["journal_writer"]}
    assert ada.call("present", **roles)["changed"]
    assert ada.call("present", **roles)["changed"] is False
    assert dataclasses.replace(ada, target=reader).look()["run"] is None
    ada.open("prepare")
    with pytest.raises(MigrationError, match="permission denied"):
        dataclasses.replace(ada, target=reader).call("recorded", kind="event", name="x")
    with session(writer, "test") as connection:
        assert lease.acquire(connection, "data", RUN, "worker") is not None
        connection.cursor().execute(
            "INSERT INTO public.migration_log (migration_name, status)"
            " VALUES ('multi_tenant_data', 'in_progress')"
        )
    with pytest.raises(MigrationError, match="role nobody_at_all use the journal: there is no such role"):
        ada.call("present", readers=["nobody_at_all"])


# -- status ---------------------------------------------------------------------------


def test_the_status_reads_everything_and_writes_nothing(ada: Operator) -> None:
    assert ada.look()["text"].startswith("No run was ever begun in this database.")
    assert rows(ada.target, "SELECT to_regnamespace('emailai_migration')") == [(None,)]
    change(
        ada.target,
        """
        SET search_path = public;
        CREATE TABLE users (id text); CREATE TABLE "Organization" (id text);
        CREATE TABLE "EmailAccount" ("organizationId" text); CREATE TABLE "Premium" ("organizationId" text);
        INSERT INTO users SELECT generate_series(1, 1250);
        INSERT INTO "Organization" SELECT generate_series(1, 1249);
        INSERT INTO "EmailAccount" SELECT nullif(n, 1) FROM generate_series(1, 3420) n;
        """,
    )
    ada.open("prepare")
    seen = ada.look(limit="prod")
    assert seen["holder"]["owner"] == "ada"
    assert [(c["name"], c["done"], c["total"]) for c in seen["counts"]] == [
        ("organizations", 1249, 1250),
        ("members", None, 1250),
        ("linked_accounts", 3419, 3420),
        ("linked_premiums", 0, 0),
    ]
    assert "Linked accounts:  3,419 / 3,420 (99 %)" in seen["text"]
    assert "Members:          ? / 1,250" in seen["text"]


def test_the_status_does_not_wait_behind_a_lock(ada: Operator) -> None:
    change(ada.target, "CREATE TABLE public.users (id text)")
    with session(ada.target, "test") as blocker:
        blocker.cursor().execute("LOCK TABLE public.users IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        seen = ada.look()
        assert time.monotonic() - began < 2
        blocker.rollback()
    assert seen["counts"][0] == {"name": "organizations", "done": None, "total": None}


def test_somebody_elses_migration_log_is_left_alone(ada: Operator) -> None:
    change(ada.target, "CREATE TABLE public.migration_log (id int, note text)")
    with pytest.raises(MigrationError, match="belongs to somebody else"):
        ada.open("prepare")
    with session(ada.target, "test") as connection:
        assert not tables.exist(connection)


# -- the role, by ansible-playbook ------------------------------------------------------

ROOT = Path(__file__).parents[2]
PLAY = """
- hosts: database
  gather_facts: false
  any_errors_fatal: true
  vars:
    journal_phase: prepare
  tasks:
    - block:
        - ansible.builtin.include_role: {name: emailai.migration.journal, tasks_from: open}
        - ansible.builtin.set_fact: {journal_outcome: {figures: 9}}
          when: journal_proceeds
        - ansible.builtin.wait_for: {path: "{{ gate }}", sleep: 1, timeout: 240}
          when: journal_proceeds and not ansible_check_mode
        - ansible.builtin.fail: {msg: "Cannot go on: it broke."}
          when: broken is defined and journal_proceeds
        - ansible.builtin.include_role: {name: emailai.migration.journal, tasks_from: close}
      rescue:
        - ansible.builtin.include_role: {name: emailai.migration.journal, tasks_from: fail}
"""


WRAPPED = """
- hosts: database
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - ansible.builtin.include_role: {name: emailai.migration.journal, tasks_from: phase}
      vars:
        journal_phase: prepare
        journal_role: emailai.migration.journal
        journal_tasks: "{{ work }}"
"""


@dataclasses.dataclass
class Shell:
    """ansible-playbook on an inventory of two sides and, on the live one, two databases."""

    folder: Path
    shard: Target

    @property
    def gate(self) -> Path:
        """The work of the phase goes on until this file is there."""
        return self.folder / "gate"

    def start(self, *words: str) -> subprocess.Popen[str]:
        line = [
            "-m",
            "ansible",
            "playbook",
            "-i",
            "hosts.json",
            "play.yml",
            "-e",
            f"gate={self.gate}",
            *words,
        ]
        environment = {
            **os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"), "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"), "ANSIBLE_HOME": str(self.folder / "home"),
            # Into a pipe Ansible writes in blocks: a line would be read long after it was said.
            "USER": "ada", "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        return subprocess.Popen(
            [sys.executable, *line], cwd=self.folder, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, *words: str) -> tuple[int, str]:
        process = self.start(*words)
        said, _errors = process.communicate(timeout=90)
        return process.returncode, said


@pytest.fixture
def shell(ada: Operator, postgres: Postgres, tmp_path: Path) -> Shell:
    def url(target: Target) -> str:
        way = f"{quote(target.user)}:{quote(target.password)}@{target.host}:{target.port}"
        return f"postgresql://{way}/{target.dbname}?schema=public"

    shard = postgres.new_database()
    hosts = {
        "all": {
            "vars": {
                "ansible_connection": "local", "ansible_python_interpreter": sys.executable,
                "migration_release_before": "v1", "migration_release_after": "v2",
            },
            "children": {
                "prod": {"hosts": {"db1": {}, "db2": {}}, "vars": {"migration_side": "prod"}},
                "staging": {"hosts": {"sdb1": {}}, "vars": {"migration_side": "staging"}},
                "database": {
                    "hosts": {
                        "db1": {"migration_owner_url": url(ada.target)},
                        "db2": {"migration_owner_url": url(shard)},
                        "sdb1": {"migration_owner_url": url(shard)},
                    }
                },
            },
        }
    }  # fmt: skip
    (tmp_path / "hosts.json").write_text(json.dumps(hosts))
    (tmp_path / "play.yml").write_text(PLAY)
    return Shell(tmp_path, shard)


def until(condition: t.Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def test_a_command_that_names_no_side_or_both_is_refused(ada: Operator, shell: Shell) -> None:
    for words in ((), ("-l", "prod,staging")):
        status, said = shell.run(*words)
        assert status != 0
        assert "Give -l prod or -l staging" in said
    assert rows(ada.target, "SELECT to_regnamespace('emailai_migration')") == [(None,)]


def test_a_killed_command_is_gone_on_with_at_once_and_the_third_changes_nothing(
    ada: Operator, shell: Shell
) -> None:
    killed = shell.start("-l", "prod")
    until(lambda: "in_progress" in str(ada.look()["phases"]))
    killed.kill()
    killed.communicate(timeout=30)
    shell.gate.touch()
    began = time.monotonic()
    status, said = shell.run("-l", "prod")
    assert (status, "Waiting for" in said) == (0, False), said
    assert time.monotonic() - began < 25
    seen = ada.look()
    assert [(row["name"], row["state"], row["outcome"]) for row in seen["phases"]] == [
        ("prepare", "completed", {"figures": 9, "databases": {"db2": {"figures": 9}}})
    ]
    assert [event["kind"] for event in seen["events"]] == ["opened", "resumed", "completed"]
    # The other database has the tables for its own progress; the run is kept by the first.
    assert rows(shell.shard, "SELECT count(*) FROM emailai_migration.run") == [(0,)]
    before = everything(ada.target)
    status, said = shell.run("-l", "prod")
    assert status == 0
    assert said.count("changed=0") == 2
    assert "nothing to do: prepare of run v1..v2#1 was completed at" in said
    assert everything(ada.target) == before


def test_the_same_command_given_twice_attaches_says_so_and_changes_nothing(
    ada: Operator, shell: Shell
) -> None:
    first = shell.start("-l", "prod")
    until(lambda: "in_progress" in str(ada.look()["phases"]))
    second = shell.start("-l", "prod")
    said = ""
    assert second.stdout is not None
    while "Waiting for ada on " not in said:
        line = second.stdout.readline()
        assert line, said
        said += line
    assert f"(pid {first.pid})" in said
    shell.gate.touch()
    told, _errors = first.communicate(timeout=180)
    assert first.returncode == 0, told
    rest, _errors = second.communicate(timeout=60)
    assert second.returncode == 0
    assert rest.count("changed=0") == 2
    first.communicate(timeout=30)
    assert [event["kind"] for event in ada.look()["events"]] == ["opened", "completed"]


def test_a_failure_is_told_with_whom_to_ask_and_both_ways(ada: Operator, shell: Shell) -> None:
    shell.gate.touch()
    status, said = shell.run("-l", "prod", "-e", "broken=1", "-e", '{"readiness_contacts": {"cto": "Cleo"}}')
    assert status != 0
    assert "Phase prepare failed: Cannot go on: it broke." in said
    assert "Ask the CTO, Cleo." in said
    assert "ansible-playbook playbooks/roll_back.yml -l prod" in said
    seen = ada.look()
    assert (seen["run"]["state"], seen["phases"][0]["error"], seen["holder"]) == (
        "failed", "Cannot go on: it broke.", None,
    )  # fmt: skip
    assert shell.run("-l", "prod")[0] == 0
    assert ada.look()["phases"][0]["state"] == "completed"


def test_a_phase_of_one_role_needs_no_more_than_its_name(ada: Operator, shell: Shell) -> None:
    (shell.folder / "play.yml").write_text(WRAPPED)
    status, said = shell.run("-l", "prod", "-e", "work=control", "-e", "journal_wanted=abort")
    assert (status, "Phase prepare failed: Cannot abort" in said) == (2, True), said
    status, said = shell.run("-l", "prod", "-e", "work=status")
    assert (status, "Run v1..v2#1: preparing" in said) == (0, True), said
    assert [event["kind"] for event in ada.look()["events"]] == ["opened", "failed", "resumed", "completed"]
    status, said = shell.run("-l", "prod", "-e", "work=status")
    assert (status, "nothing to do: prepare" in said, "Run v1..v2#1" in said) == (0, True, False), said


def test_in_check_mode_the_role_writes_nothing(ada: Operator, shell: Shell) -> None:
    status, said = shell.run("-l", "prod", "--check")
    assert status == 0, said
    assert rows(ada.target, "SELECT to_regnamespace('emailai_migration')") == [(None,)]
