# SPDX-License-Identifier: GPL-3.0-or-later
"""The daily watch after the conclusion: its book in a real journal, and the playbook as a timer calls it."""

from __future__ import annotations

import http.server
import json
import threading
import typing as t
from pathlib import Path

import pytest
from unit.report.sample import document

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target
from ansible_collections.emailai.migration.plugins.modules import watch_day
from integration.report_world import fill, rows
from integration.tenancy_world import Database
from integration.test_completion_playbooks import play

# `make test` has no time for these.
pytestmark = pytest.mark.further

# The fixture of another file.
__all__ = ["play"]

LEDGER = (
    "SELECT object, after->>'verdict' FROM emailai_migration.ledger WHERE kind = 'watched_day' ORDER BY id"
)
CONCLUDED = "2030-05-07T04:00:00+00:00"


def conclude(target: Target, **bent: t.Any) -> None:
    sample = document()
    # What the untouched system was like, as prepare has left it.
    for row in sample["phases"]:
        if row["name"] == "prepare":
            row["outcome"] = {**row.get("outcome", {}), "baseline": {"p95_ms": 19}}
    fill(
        target,
        phases=sample["phases"],
        run={**sample["run"], "state": "concluded", "finished_at": CONCLUDED, **bent},
    )


@pytest.fixture
def database(postgres: t.Any, tmp_path: Path) -> Target:
    """Migrated, and its run concluded."""
    made = Database(postgres.new_database(), tmp_path)
    made.build()
    made.fill()
    assert made.call("org_schema")["changed"]
    assert made.call("org_migration", grace_seconds=0)["finished"]
    conclude(made.target)
    return made.target


def ask(target: Target, day: int, check_mode: bool = False, **options: t.Any) -> dict[str, t.Any]:
    defaults = {
        "login_url": "", "login_host": target.host, "login_port": target.port, "login_user": target.user,
        "login_password": target.password, "login_db": target.dbname, "ssl_mode": "", "ca_cert": "",
        "release_before": "v1.9.0", "release_after": "v2.0.0-orgs", "state": "due", "days": 7,
        "verdict": None, "reasons": [], "owner": "Ada", "now": f"2030-05-{7 + day:02}T09:00:00Z",
    }  # fmt: skip
    return watch_day.run({**defaults, **options}, check_mode)


def test_a_day_is_noted_in_check_mode_for_real_and_again(database: Target) -> None:
    note = {"state": "recorded", "verdict": "passed"}
    assert ask(database, 2, check_mode=True, **note)["changed"]
    assert rows(database, LEDGER) == []
    done = ask(database, 2, **note)
    assert (done["changed"], done["days_passed"], done["days_missed"], done["is_due"]) == (
        True,
        [2],
        [1],
        False,
    )
    for check_mode in (True, False):
        again = ask(database, 2, check_mode=check_mode, **note)
        assert (again["changed"], again["days_passed"]) == (False, [2])
    assert rows(database, LEDGER) == [("day 2", "passed")]


def test_a_day_that_failed_is_due_until_it_went_well_and_then_stays_so(database: Target) -> None:
    failed = {"state": "recorded", "verdict": "failed", "reasons": ["it is slow"]}
    assert ask(database, 1, **failed)["is_due"]
    assert not ask(database, 1, state="recorded", verdict="passed")["is_due"]
    later = ask(database, 1, **failed)
    assert (later["changed"], later["days_passed"], later["days_failed"]) == (False, [1], [])
    assert ask(database, 0)["day"] == 0
    assert not ask(database, 0)["is_due"]
    assert ask(database, 8)["is_over"]


@pytest.mark.parametrize(
    ("state", "words"),
    [("deploying", "is deploying, not concluded"), ("rolled_back", "is rolled_back, not concluded")],
)
def test_a_run_that_is_not_concluded_has_no_days(postgres: t.Any, state: str, words: str) -> None:
    target = postgres.new_database()
    with pytest.raises(MigrationError, match="has no journal"):
        ask(target, 1)
    conclude(target, state=state)
    with pytest.raises(MigrationError, match=words):
        ask(target, 1)


class Figures(http.server.BaseHTTPRequestHandler):
    """An application that has served two hundred requests more each time it is asked."""

    asked = 0
    failing = 0

    def do_GET(self) -> None:
        type(self).asked += 200
        figures = {"requests": self.asked, "errors": self.asked * self.failing // 100, "p95": 20}
        body = json.dumps(figures).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: t.Any) -> None:
        pass


@pytest.fixture
def figures() -> t.Iterator[dict[str, t.Any]]:
    Figures.asked, Figures.failing = 0, 0
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Figures) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        yield {
            "gate_providers": [
                {"kind": "http_json", "url": url, "requests": "requests", "errors": "errors", "p95": "p95",
                 "duration": "ms", "lag_seconds": 0}
            ],
            "gate_daily_seconds": 4, "gate_window_seconds": 1, "gate_poll_seconds": 0.5,
            "gate_complaints": 0, "gate_complaints_by": "helpdesk", "gate_host": "db-1",
        }  # fmt: skip
        server.shutdown()


def test_the_playbook_looks_once_a_day(
    play: t.Any,
    database: Target,
    figures: dict[str, t.Any],
) -> None:
    day = {**figures, "gate_daily_now": "2030-05-08T08:00:00Z"}
    play("watch_daily.yml", "--check", **day)
    assert rows(database, LEDGER) == []
    Figures.failing = 30
    failed = play("watch_daily.yml", fails=True, **day)
    assert "Day 1 of the daily watch failed" in failed
    assert rows(database, LEDGER) == [("day 1", "failed")]
    Figures.failing = 0
    assert "Day 1 of 7. failed: 1." in play("watch_daily.yml", **day)
    assert rows(database, LEDGER)[-1] == ("day 1", "passed")

    asked = Figures.asked
    again = play("watch_daily.yml", **day)
    assert "Day 1 of 7 was looked at and went well." in again
    assert Figures.asked == asked
    assert rows(database, "SELECT state FROM emailai_migration.run") == [("concluded",)]
