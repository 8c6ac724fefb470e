# SPDX-License-Identifier: GPL-3.0-or-later
"""``make bench-data``: the online data step beside the least that the server itself would need.

The floor is four plain statements on an idle copy; nothing can be faster, and nothing but an outage
could use it. The controls are what the runbook's script did, one transaction a user, and what a
migration file does, one transaction for all.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
import time
import typing as t
from pathlib import Path

from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target, session
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import identity, sync, worker
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.engine import Settings
from bench.application import Application, Waits
from bench.figures import Figures, percentile
from bench.people import People, connected
from lab.ground import free_port
from lab.postgres import Server

TARGETS: t.Final = {
    "efficiency": "at least 0.90",
    "per_row_loop_ratio": "at least 15",
    "growth": "at most 1.3",
    "scale": "at most 1.10",
    "signup_cost_ms": "at most 0.3",
    "p99_ratio": "at most 1.25",
    "lock_waits_over_100ms_by_us": "0",
    "deadlocks_with_us": "0",
    "big_update_lock_waits_over_100ms": "more than 0, or the control proves nothing",
    "rss_mib": "at most 150",
}
_HOME: t.Final = identity.organization_id_sql
# The rows that ours makes, each by the rule: the comparison below holds them equal.
_FLOOR = (
    f"""INSERT INTO "Organization" (id, name, slug, "createdAt", "updatedAt")
       SELECT {_HOME("id")}, {identity.organization_name_sql("name", "email")},
              {identity.slug_sql("id", "name", "email")}, "createdAt", "createdAt" FROM users""",
    f"""INSERT INTO "OrganizationMember" (id, "userId", "organizationId", role, "createdAt", "updatedAt")
       SELECT {identity.member_id_sql("id")}, id, {_HOME("id")}, 'OWNER', "createdAt", "createdAt"
         FROM users""",
    f"""UPDATE "EmailAccount" SET "organizationId" = {_HOME('"userId"')}""",
    f"""UPDATE "Premium" SET "organizationId" = {_HOME('"userId"')}""",
)
# The same while users come: of those who came after the first statement, none has an organization.
_AT_ONCE = (
    _FLOOR[0],
    f"""{_FLOOR[1]} WHERE EXISTS (SELECT 1 FROM "Organization" o WHERE o.id = {_HOME("users.id")})""",
    *(
        f"""{update} WHERE EXISTS (SELECT 1 FROM "Organization" o WHERE o.id = {_HOME('"userId"')})"""
        for update in _FLOOR[2:]
    ),
)
_LOOP = (
    """INSERT INTO "Organization" (id, name, slug, "createdAt", "updatedAt")
       VALUES ('o' || %(id)s, 'x', 'o-' || %(id)s, now(), now())""",
    """INSERT INTO "OrganizationMember" (id, "userId", "organizationId", role, "createdAt", "updatedAt")
       VALUES ('m' || %(id)s, %(id)s, 'o' || %(id)s, 'OWNER', now(), now())""",
    """UPDATE "EmailAccount" SET "organizationId" = 'o' || %(id)s WHERE "userId" = %(id)s""",
    """UPDATE "Premium" SET "organizationId" = 'o' || %(id)s WHERE "userId" = %(id)s""",
)
# With the indexes that were there before: those on the link are wanted, and no growth.
_SIZE = """SELECT sum(pg_total_relation_size(c.oid))
                - coalesce(sum((SELECT sum(pg_relation_size(i.indexrelid)) FROM pg_index i
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
            WHERE i.indrelid = c.oid AND a.attname = 'organizationId')), 0) FROM pg_class c
            WHERE c.oid IN ('"EmailAccount"'::regclass, '"Premium"'::regclass)"""
_LOOPED_USERS: t.Final = 200
_UNLOADED_SECONDS: t.Final = 20
_SIGN_UPS: t.Final = 400
_CONTENT = """
SELECT md5(string_agg(line, E'\\n' ORDER BY line COLLATE "C")) FROM (
    SELECT o::text AS line FROM "Organization" o UNION ALL
    SELECT concat_ws(',', m.id, m."userId", m."organizationId", m.role) FROM "OrganizationMember" m UNION ALL
    SELECT concat_ws(',', a.id, a."organizationId") FROM "EmailAccount" a UNION ALL
    SELECT concat_ws(',', p.id, p."organizationId") FROM "Premium" p
) all_of_it
"""


def content(target: Target) -> str:
    """A digest of what was made; two ways that made the same have the same."""
    with connected(target) as connection, connection.cursor() as cursor:
        cursor.execute(_CONTENT)
        return str(cursor.fetchone()[0])


def floor(target: Target) -> float:
    """Seconds of the four statements."""
    began = time.monotonic()
    with connected(target) as connection, connection.cursor() as cursor:
        for statement in _FLOOR:
            cursor.execute(statement)
    return time.monotonic() - began


def per_row_loop(target: Target) -> float:
    """Seconds for a thousand users, as the runbook's script would need them; a sample of its users."""
    with connected(target) as connection, connection.cursor() as cursor:
        connection.autocommit = False
        cursor.execute("SELECT id FROM users LIMIT %s", (_LOOPED_USERS,))
        began = time.monotonic()
        for (user,) in cursor.fetchall():
            for statement in _LOOP:
                cursor.execute(statement, {"id": user})
            connection.commit()
    return (time.monotonic() - began) * 1000 / _LOOPED_USERS


def migrate(people: People, target: Target, folder: str, figures: Figures) -> dict[str, t.Any]:
    """The data step as the module does it; its answer, with the worker's peak of memory noted."""
    settings = Settings(work_folder=folder, workers=int(os.environ.get("WORKERS", "2")))
    job = worker.Job(target, target, people.model, settings, "moved")
    with _memory_of_worker(target, figures):
        name = worker.start_or_attach(job)
        answer = worker.follow(job, name, 3600)
    if not answer["finished"]:
        raise RuntimeError(f"the data step did not end: {answer['line']}")
    return answer


@contextlib.contextmanager
def _memory_of_worker(target: Target, figures: Figures) -> t.Iterator[None]:
    over, peaks = threading.Event(), [0.0]

    def look() -> None:
        with connected(target) as connection, connection.cursor() as cursor:
            while not over.wait(0.1):
                cursor.execute("SELECT to_regclass('emailai_migration.lease') IS NOT NULL")
                if not cursor.fetchone()[0]:
                    continue
                cursor.execute("SELECT pid FROM emailai_migration.lease WHERE expires_at > now()")
                for (pid,) in cursor.fetchall():
                    with contextlib.suppress(OSError):
                        peaks.append(_peak_mib(pid))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        figures.add("rss_mib", max(peaks))


def _peak_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = {key: rest for key, _colon, rest in (line.partition(":") for line in lines)}
    return int(found.get("VmHWM", "0 kB").split()[0]) / 1024


def size_of(target: Target) -> int:
    with connected(target) as connection, connection.cursor() as cursor:
        cursor.execute(_SIZE)
        return int(cursor.fetchone()[0])


def compare(people: People, folder: str, figures: Figures, rounds: int) -> None:
    """Floor, ours and the loop, one after the other and then again."""
    for number in range(rounds):
        with people.copy("floor") as target:
            least = floor(target)
            wanted = content(target)
        with people.copy("ours") as target:
            before = size_of(target)
            answer = migrate(people, target, folder, figures)
            figures.add("growth", size_of(target) / before)
            if content(target) != wanted:
                raise RuntimeError("ours and the floor made different rows: there is nothing to compare")
        with people.copy("looped") as target:
            looped = per_row_loop(target)
        seconds = answer["seconds"]
        figures.add("floor_users_per_s", people.users / least)
        figures.add("users_per_s", people.users / seconds)
        figures.add("efficiency", least / seconds)
        figures.add("per_row_loop_ratio", looped * people.users / 1000 / seconds)
        for name in ("users", "accounts", "premiums"):
            figures.add(f"ms_per_thousand_{name}", answer["cost"][name] * 1000)
        print(f"round {number + 1}: floor {least:.1f} s, ours {seconds:.1f} s", flush=True)


def scale(server: Server, small: int, large: int, folder: str, figures: Figures) -> None:
    """What a user costs among many, against what he costs among few."""
    costs = []
    for users in (small, large):
        people = People(server, users)
        with people.copy("scaled") as target:
            costs.append(migrate(people, target, folder, Figures())["seconds"] / users)
        server.execute(f"DROP DATABASE {people.template}")
    figures.add("scale", costs[1] / costs[0])
    print(
        f"scale: {costs[0] * 1e6:.0f} µs a user of {small:,}, {costs[1] * 1e6:.0f} of {large:,}", flush=True
    )


def sign_up_cost(people: People, figures: Figures) -> None:
    """What the triggers add to a sign-up, in turns, so that noise meets both alike."""
    with people.copy("with_triggers") as armed, people.copy("without_triggers") as bare:
        with session(armed, "triggers") as connection:
            sync.install(connection, armed, people.model, Settings().patience, lambda: None)
        took: dict[str, list[float]] = {"armed": [], "bare": []}
        with connected(armed) as one, connected(bare) as other:
            for number in range(_SIGN_UPS):
                for name, connection in (("armed", one), ("bare", other)):
                    took[name].append(_sign_up(connection, number))
    difference = percentile(took["armed"], 0.5) - percentile(took["bare"], 0.5)
    figures.add("signup_cost_ms", difference * 1000)


def _sign_up(connection: t.Any, number: int) -> float:
    began = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(
            "INSERT INTO users VALUES (%s, %s, 'New', now(), now())", (f"new{number}", f"new{number}@x.org")
        )
        cursor.execute(
            'INSERT INTO "EmailAccount" VALUES (%s, %s, %s, now(), now())',
            (f"new{number}", f"new{number}@x.org", f"new{number}"),
        )
        cursor.execute("COMMIT")
    return time.monotonic() - began


def under_load(people: People, folder: str, figures: Figures) -> None:
    """The application at 30 % of its capacity, before the data step and during it."""
    with people.copy("loaded") as target, Waits(people.server, target) as waits:
        capacity = Application(people, target, 0).run_for(4.0).rate
        with Application(people, target, 0.3 * capacity) as application:
            time.sleep(2)
            before = _of_seconds(application, _UNLOADED_SECONDS)
            again = _of_seconds(application, _UNLOADED_SECONDS)
            seconds = migrate(people, target, folder, Figures())["seconds"]
            during = application.take()
        figures.add("p99_ratio", percentile(during, 0.99) / percentile(before, 0.99))
        # The floor of that: the same twice, with nothing of ours.
        figures.add("p99_ratio_of_nothing", percentile(again, 0.99) / percentile(before, 0.99))
        figures.add("p99_ms", percentile(during, 0.99) * 1000)
        figures.add("longest_ms", max(during) * 1000)
        figures.add("pace_kept", people.users / seconds / figures.median("users_per_s"))
    figures.add("lock_waits_over_100ms_by_us", waits.by_us)
    figures.add("deadlocks_with_us", waits.deadlocks)
    one_transaction(people, 0.3 * capacity, figures)


def _of_seconds(application: Application, seconds: float) -> list[float]:
    application.take()
    time.sleep(seconds)
    return application.take()


def one_transaction(people: People, rate: float, figures: Figures) -> None:
    """The control: the floor's four statements at once, as a migration file would send them.

    Whoever writes a row that they have changed waits until all of them are done.
    """
    with (
        people.copy("swamped") as target,
        Waits(people.server, target) as waits,
        Application(people, target, rate) as application,
    ):
        time.sleep(2)
        before = _of_seconds(application, _UNLOADED_SECONDS)
        with connected(target) as connection, connection.cursor() as cursor:
            cursor.execute("SET application_name = 'emailai.migration control'")
            connection.autocommit = False
            for statement in _AT_ONCE:
                cursor.execute(statement)
            connection.commit()
        # Those who wait are counted when they are through.
        time.sleep(1)
        during = application.take()
    figures.add("big_update_p99_ratio", percentile(during, 0.99) / percentile(before, 0.99))
    figures.add("big_update_longest_ms", max(during) * 1000)
    figures.add("big_update_lock_waits_over_100ms", waits.by_us)


def main() -> int:
    users = int(os.environ.get("USERS", "200000"))
    rounds = int(os.environ.get("ROUNDS", "5"))
    figures = Figures()
    settings = {"shared_buffers": "1GB", "max_wal_size": "8GB", "maintenance_work_mem": "256MB"}
    with tempfile.TemporaryDirectory(prefix="emailai-bench-") as folder:
        # Commits are real ones here: what a batch costs is mostly its commit.
        server = Server(Path(folder) / "server", free_port(), fsync=True, settings=settings)
        Path(folder).chmod(0o755)
        try:
            server.create()
            server.start()
            people = People(server, users)
            compare(people, folder, figures, rounds)
            for _number in range(rounds):
                sign_up_cost(people, figures)
            under_load(people, folder, figures)
            scale(server, max(1000, users // 4), users * 5, folder, figures)
        finally:
            server.remove()
    print("\n".join(figures.table(TARGETS)))
    print(figures.as_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
