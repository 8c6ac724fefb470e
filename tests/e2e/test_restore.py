# SPDX-License-Identifier: GPL-3.0-or-later
"""The last resort: a database that cannot be trusted is replaced by its proven backup."""

from __future__ import annotations

import os
import re
import time

from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target
from bench.backup import Visitor
from e2e.desk import Desk
from lab import load
from lab.layout import DATABASES

_NAMES = "SELECT count(*) FROM public.users WHERE name = 'corrupted'"
_CONFIRMED = {"writes_lost": "tester"}
# What a user is told who asks for something that was written after the backup.
_MISSING = {401, 403, 404}


def corrupt(desk: Desk) -> None:
    """Every name is wrong, the rules are gone, and one table cannot even be read."""
    desk.do("UPDATE public.users SET name = 'corrupted'")
    desk.do('DELETE FROM public."Rule"')
    desk.do("CREATE TABLE public.torn AS SELECT generate_series(1, 9) AS i")
    desk.do("VACUUM FULL public.torn")
    desk.do("CHECKPOINT")
    path = desk.value("SELECT current_setting('data_directory') || '/' || pg_relation_filepath('torn')")
    with open(path, "r+b") as handle:
        handle.write(os.urandom(4096))


def visitor_of(desk: Desk) -> Target:
    """As the application: a session of a superuser is one that nobody else may end."""
    return Target(
        host="127.0.0.1",
        port=desk.layout.port("prod"),
        user="emailai_app",
        password=desk.layout.secrets()["roles"]["emailai_app"],
        dbname=DATABASES["prod"],
    )


def test_a_corrupted_database_is_replaced_by_its_backup_under_traffic(desk: Desk) -> None:
    desk.lab("load", "start")
    for phase in ("prepare", "back_up"):
        desk.play(f"playbooks/{phase}.yml").must_succeed()
    corrupt(desk)
    corrupted = desk.value(_NAMES)
    assert corrupted > 0

    # Without a name under the loss nothing happens, and the sentence says what to type.
    desk.play("playbooks/restore.yml").must_fail("writes_lost")
    assert desk.value(_NAMES) > corrupted * 0.9, "something was put back"

    check = desk.play("playbooks/restore.yml", "--check", migration_confirmations=_CONFIRMED).must_succeed()
    assert desk.value(_NAMES) > corrupted * 0.9, "something was put back"
    said = re.search(
        r"Writes since \S+, \d+ min \d+ s ago, would be lost: (\d+) rows added, .*?"
        r" tables that had changed: (.*?)\. Tables that cannot be read, and are not counted: public\.torn\."
        r" The backup would be restored in about ([\d.]+) min, as its proof took, .*?"
        r" could not be reached for about ([\d.]+) s",
        check.one_line,
    )
    assert said is not None, check.one_line[-4000:]
    assert int(said[1]) > 0, "users have signed up since the backup"
    assert "public.users" in said[2]
    assert float(said[4]) <= 2

    began = time.time()
    with Visitor(visitor_of(desk)) as visitor:
        run = desk.play("playbooks/restore.yml", migration_confirmations=_CONFIRMED).must_succeed()
    # They go on for a while, on the database that has the name now.
    time.sleep(3)
    desk.lab("load", "stop")
    last_task = run.one_line.rpartition("TASK [")[2]
    told = re.search(r"are lost: .*? emailai_prod could not be reached for ([\d.]+) s\.", last_task)
    assert told is not None, run.one_line[-4000:]
    assert desk.value(_NAMES) == 0
    assert desk.value("SELECT count(*) FROM pg_class WHERE relname = 'torn'") == 0
    assert set(desk.releases().values()) == {"v1.9.0"}
    kept = desk.value("SELECT count(*) FROM pg_database WHERE datname LIKE 'emailai\\_prod\\_\\_before\\_%%'")
    assert kept == 1
    state = desk.value("SELECT state FROM emailai_migration.run WHERE database = emailai_migration.here()")
    assert state == "rolled_back"

    # The outage as it was told, as a client of the database saw it, and as users did.
    away = [f["at"] for f in load.failures(desk.layout) if f["at"] > began and f["status"] not in _MISSING]
    users = max(away) - min(away) if away else 0.0
    seen = f"database {visitor.outage:.2f} s, users {users:.2f} s ({len(away)} requests)"
    print(f"outage: told {told[1]} s, {seen}")
    assert visitor.outage >= float(told[1]) / 2, "the visitor never noticed"
    assert visitor.outage < 2
    assert users < 5
    assert desk.load_report()["requests"] > 100


def test_the_application_works_on_the_restored_database(desk: Desk) -> None:
    began = time.time()
    desk.lab("load", "start")
    try:
        desk.play("migrate.yml").must_succeed()
    finally:
        desk.lab("load", "stop")
    # Users ask for what they wrote after the backup, and it is not there; that is all that fails.
    # The outage of the restore itself stands in the same book and has been judged.
    failed = [failure for failure in load.failures(desk.layout) if failure["at"] > began]
    assert {failure["status"] for failure in failed} <= {404, 401}, failed
    assert set(desk.releases().values()) == {"v2.0.0-orgs"}
