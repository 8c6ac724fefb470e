# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The texts of the data step: what would be done, and what was; nothing of the world."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._postgres.signals import COMPANY_SHARE
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import estimate

if t.TYPE_CHECKING:
    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.counts import Counts, LinkCounts
    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.judge import Verdict

_LABELS: t.Final = {"accounts": "Email accounts", "premiums": "Premium subscriptions"}


def label(name: str) -> str:
    return _LABELS.get(name, name[:1].upper() + name[1:])


def duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes}m {rest}s"
    return f"{minutes}m {rest}s" if minutes else f"{rest}s"


def share(done: int, total: int) -> str:
    percent = 100 if total == 0 else 100 * done // total
    return f"{done:,} / {total:,} ({percent}%)"


def summary(counts: Counts, verdicts: t.Sequence[Verdict], seconds: float) -> str:
    """The block that ends the data step."""
    users = counts.users
    made = "Organizations created" if users.joining is None else "Users in an organization"
    lines = ["Migration progress:", f"  {made}: {share(users.done, users.total)}"]
    lines += [
        f"  {label(name)} linked: {share(link.done, link.total)}" for name, link in counts.links.items()
    ]
    lines += ["", "Verification:", *(f"  {verdict.line()}" for verdict in verdicts), ""]
    is_good = all(verdict.result in ("ok", "pending", "finding") for verdict in verdicts)
    words = "completed successfully" if is_good else "ended with faults"
    return "\n".join([*lines, f"Migration {words} in {duration(seconds)}"])


def expected(counts: Counts, costs: t.Mapping[str, float]) -> float | None:
    """Seconds, if each row takes what it took in the rehearsal; None unless all of it was measured."""
    rows = {"users": counts.users.total, **{name: link.total for name, link in counts.links.items()}}
    if not all(name in costs or not number for name, number in rows.items()):
        return None
    return sum(number * costs.get(name, 0.0) / 1000 for name, number in rows.items())


def span(seconds: tuple[float, float]) -> str:
    low, high = seconds
    return duration(high) if duration(low) == duration(high) else f"{duration(low)} to {duration(high)}"


def dry_run(
    counts: Counts,
    costs: t.Mapping[str, float],
    shared: t.Sequence[str] = (),
    blockers: t.Sequence[str] = (),
    samples: t.Mapping[str, estimate.Sample] | None = None,
) -> tuple[str, tuple[float, float]]:
    """The plan as a table of three phases (one more per resource), and the whole time as an interval.

    ``shared`` are lines about premiums that several users have, ``blockers`` about sessions; ``samples`` are
    pages that were read, by phase.
    """
    users = counts.users
    read = samples or {}
    slower = estimate.slowness(costs, read)
    total = estimate.interval(users.total, estimate.cost_of(costs, "users"), read.get("users"), slower)
    lines = [
        "=== Organizations: dry run ===",
        "",
        "Phase 1: organizations",
        f"  - Users found: {users.total:,}",
        f"  - Organizations to create: {users.due - (users.joining or 0):,}",
        *_detail("users who join the team that shares their premium", users.joining or 0),
        *_detail("already in an organization", users.done),
        *_detail("signed up a moment ago, left to the triggers and the sweep", users.pending),
        f"  - Estimated time: {span(total)}",
    ]
    for number, (name, link) in enumerate(counts.links.items(), 2):
        time = estimate.interval(link.total, estimate.cost_of(costs, name), read.get(name), slower)
        total = (total[0] + time[0], total[1] + time[1])
        lines += [
            "",
            f"Phase {number}: {label(name).lower()}",
            *_phase(name, link),
            f"  - Estimated time: {span(time)}",
        ]
    if shared:
        lines += ["", "Premiums that several users share", *(f"  - {line}" for line in shared)]
    if blockers:
        lines += ["", "In the way now", *(f"  - {line}" for line in blockers)]
    lines += ["", f"Total estimated time: {span(total)}", f"({_found(costs, read)})"]
    lines += [f"(at full speed; beside others who are at work, up to {1 / COMPANY_SHARE:.0f} times as long)"]
    lines += ["", "DRY RUN COMPLETE: nothing was changed"]
    return "\n".join(lines), total


def _found(costs: t.Mapping[str, float], samples: t.Mapping[str, estimate.Sample]) -> str:
    """How the time was found."""
    if not costs:
        return "not measured yet on this data; a rehearsal narrows it"
    used = [sample for name, sample in samples.items() if name in costs and sample.is_enough]
    if not used:
        return "from what the rehearsal took for as many rows; too few pages could be read here"
    rows, pages = sum(sample.rows for sample in used), sum(len(sample.pages) for sample in used)
    words = f"from {rows:,} rows in {pages} pages read here, and what such rows took in the rehearsal"
    slower = estimate.slowness(costs, samples)
    return words if slower is None else f"{words}; reading takes {slower:.1f} times as long here"


def _phase(name: str, link: LinkCounts) -> list[str]:
    return [
        f"  - {label(name)} found: {link.total:,}",
        f"  - To link: {link.due:,}",
        *_detail("already linked", link.done),
        *_detail("without owner, cannot be linked: a finding", link.ownerless),
        *_detail("whose owner does not exist: orphans", link.orphans),
        *_detail("whose owner signed up a moment ago", link.pending),
        *_detail("shared by several users, linked to nobody's organization: a finding", _of(link, "shared")),
        *_detail("whose organization has another: a finding", _of(link, "taken")),
    ]


def _of(link: LinkCounts, kind: str) -> int:
    return int(getattr(link, kind, 0))


def _detail(text: str, number: int) -> list[str]:
    return [f"  - {number:,} {text}"] if number else []
