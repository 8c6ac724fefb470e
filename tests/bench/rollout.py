# SPDX-License-Identifier: GPL-3.0-or-later
"""``make bench-rollout``: whole rollouts beside the bare steps, under many users, and of 64 servers beside 4.

A rollout is playbooks/deploy.yml with all it does. The floor is the same steps by hand, without Ansible,
journal, lease or gate. The control is by hand without draining: it must lose requests, or these users would
prove nothing.
"""

from __future__ import annotations

import os
import statistics
import sys
import typing as t
from dataclasses import dataclass

from bench import spans
from bench.figures import Figures
from bench.fleet import Run, World, world
from bench.users import Tally

TARGETS: t.Final = {
    "failed": "0",
    "requests": "at least 500,000",
    "control_failed": "more than 0",
    "overhead_s_per_host": "at most 2.5",
    "drain_overhead_s": "at most 0.75",
    "bad_release_exposure_s": "at most 5",
    "overhead_growth": "at most 1.1",
}
_HOSTS: t.Final = 4
_CALM_RATE: t.Final = 200.0
_SLOW_USERS: t.Final = 4
# Rollouts at most, whatever is still missing: the figures then say so.
_MOST_ROLLOUTS: t.Final = 80
_BUSIEST: t.Final = 12


@dataclass
class Busy:
    """What all users together met."""

    requests: int = 0
    posts: int = 0
    failed: int = 0
    bad_responses: int = 0
    seconds: float = 0.0

    def add(self, tally: Tally, bad: str = "") -> None:
        """An answer that the bad release itself gave wrongly is its own doing; any other is ours."""
        self.requests += tally.requests
        self.posts += tally.posts
        self.seconds += tally.seconds
        self.bad_responses += tally.wrong.get(bad, 0)
        self.failed += tally.failed + sum(count for name, count in tally.wrong.items() if name != bad)


def releases(count: int) -> list[str]:
    """Names for so many rollouts; each third is a bad one that is taken back."""
    return ["v1"] + [f"v{number}{'-bad' if number % 3 == 0 else ''}" for number in range(2, count + 2)]


def is_bad(release: str) -> bool:
    return release.endswith("-bad")


class Bench:
    def __init__(self, here: World, figures: Figures) -> None:
        self.here, self.figures, self.busy = here, figures, Busy()

    def next_good(self) -> str:
        return next(iter(filter(lambda release: not is_bad(release), iter(self.here.next_release, ""))))

    # -- what it costs ---------------------------------------------------------

    def round(self, number: int) -> Run:
        """Ours, ours with the balancers on another machine, and by hand, so that noise meets each alike."""
        with self.here.load(_CALM_RATE):
            ours = self.here.roll_out(self.next_good()).must_succeed()
            apart = self.here.roll_out(self.next_good(), apart=True).must_succeed()
            floor = self.here.by_hand(self.next_good())
        add = self.figures.add
        add("overhead_s_per_host", ours.overhead() / _HOSTS)
        add("overhead_apart_s_per_host", apart.overhead() / _HOSTS)
        add("floor_s_per_host", statistics.mean(floor))
        add("vs_floor", ours.overhead() / sum(floor))
        add("fixed_s", ours.seconds - sum(batch.seconds for batch in ours.batches))
        add("controller_cpu_s_per_host", ours.cpu_seconds / _HOSTS)
        add("drain_overhead_s", ours.drains() / _HOSTS)
        print(
            f"round {number}: {ours.overhead() / _HOSTS:.2f} s a host, balancers apart"
            f" {apart.overhead() / _HOSTS:.2f} s, by hand {statistics.mean(floor):.2f} s",
            flush=True,
        )
        return ours

    # -- what users notice --------------------------------------------------------

    def control(self, rate: float) -> None:
        with self.here.load(rate, _SLOW_USERS) as load:
            self.here.by_hand(self.next_good(), must_drain=False)
        self.figures.add("control_failed", load.tally.failed)
        if not load.tally.failed:
            raise RuntimeError("the control lost no request: nothing is proven by a rollout that loses none")

    def under_load(self, rate: float, wanted: int) -> None:
        """Good releases and bad ones until enough requests were made."""
        for number in range(1, _MOST_ROLLOUTS + 1):
            release = self.here.next_release()
            with self.here.load(rate, _SLOW_USERS) as load:
                run = self.here.roll_out(release)
            self.busy.add(load.tally, release if is_bad(release) else "")
            if is_bad(release):
                self._must_be_back(run, release, load.tally)
            else:
                run.must_succeed()
                self.figures.add("loaded_overhead_s_per_host", run.overhead() / _HOSTS)
            print(
                f"rollout {number}, {release}: {load.tally.requests:,} requests, {load.tally.failed} failed,"
                f" {self.busy.requests:,} of {wanted:,} {' '.join(load.tally.words[:3])}",
                flush=True,
            )
            if self.busy.requests >= wanted and number >= 3:
                break

    def _must_be_back(self, run: Run, release: str, tally: Tally) -> None:
        if run.code == 0 or self.here.servers_on() != {self.here.current}:
            raise RuntimeError(f"{release} was not taken back:\n{run.output[-4000:]}")
        self.figures.add("bad_release_exposure_s", tally.exposure(release))


def grown(hosts: int, figures: Figures) -> None:
    """A large fleet beside a small one, by the playbook's own batches."""
    seen: dict[int, Run] = {}
    for count in (_HOSTS, hosts):
        with world(count, releases(1)) as here, here.load(_CALM_RATE):
            seen[count] = here.roll_out(here.next_release(), **_PATIENT).must_succeed()
        print(
            f"{count} hosts: {seen[count].overhead() / count:.2f} s a host,"
            f" {seen[count].cpu_seconds / count:.2f} s of processor",
            flush=True,
        )
    small, large = seen[_HOSTS], seen[hosts]
    figures.add("hosts", hosts)
    figures.add("overhead_growth", (large.overhead() / hosts) / (small.overhead() / _HOSTS))
    figures.add("cpu_growth", (large.cpu_seconds / hosts) / (small.cpu_seconds / _HOSTS))


# Sixteen servers start at once on the cores that also do everything else.
_PATIENT: t.Final[dict[str, t.Any]] = {
    "app_restart_timeout_seconds": 300,
    "app_health_timeout_seconds": 300,
    "balancer_drain_timeout_seconds": 300,
    "balancer_readmit_timeout_seconds": 300,
}


def busiest(run: Run) -> list[str]:
    """Where the rollout of one host went, task by task."""
    rows = spans.by_name(spans.within(run.tasks, run.batches))
    return [
        f"  {seconds / _HOSTS:6.2f} s a host, {count:3} times  {name}"
        for name, seconds, count in rows[:_BUSIEST]
    ]


def main() -> int:
    rounds = int(os.environ.get("ROUNDS", "5"))
    wanted = int(os.environ.get("REQUESTS", "500000"))
    hosts = int(os.environ.get("HOSTS", "64"))
    rate = float(os.environ.get("RATE", "3000"))
    figures = Figures()
    with world(_HOSTS, releases(5 * rounds + 2 * _MOST_ROLLOUTS)) as here:
        bench = Bench(here, figures)
        # Once without a look at the clock: Python's compiled files and the database's caches are then there.
        with here.load(_CALM_RATE):
            here.roll_out(bench.next_good()).must_succeed()
        last = [bench.round(number) for number in range(1, rounds + 1)][-1]
        bench.control(rate)
        bench.under_load(rate, wanted)
    busy = bench.busy
    figures.add("requests", busy.requests)
    figures.add("failed", busy.failed)
    figures.add("bad_release_responses", busy.bad_responses)
    figures.add("post_share", busy.posts / max(1, busy.requests))
    figures.add("requests_per_s", busy.requests / max(1.0, busy.seconds))
    if hosts > _HOSTS:
        grown(hosts, figures)
    print("\nWhere the last round went:", *busiest(last), "", sep="\n")
    print("\n".join(figures.table(TARGETS)))
    print(figures.as_json())
    return 1 if busy.failed else 0


if __name__ == "__main__":
    sys.exit(main())
