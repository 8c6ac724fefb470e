# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a run as ARCHITECTURE.md shows it, made from the table the code decides by.

``python -m check.states`` prints it.
"""

from __future__ import annotations

import itertools
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._journal import states


def render_states() -> list[str]:
    """One row a state."""
    return [
        "| state | what is true |",
        "|---|---|",
        *(f"| `{name}` | {meaning} |" for name, meaning in states.STATES.items()),
    ]


def render_arrows() -> list[str]:
    """One row a reason; states that share it stand together."""
    groups: dict[str, list[states.Arrow]] = {}
    for arrow in states.ARROWS.values():
        groups.setdefault(arrow.why, []).append(arrow)
    rows = [f"| {_from(arrows)} | {_to(arrows)} | {why} |" for why, arrows in groups.items()]
    return ["| from | to | why |", "|---|---|---|", *rows]


def _from(arrows: t.Sequence[states.Arrow]) -> str:
    return _name({arrow.before for arrow in arrows})


def _to(arrows: t.Sequence[states.Arrow]) -> str:
    pairs = {(arrow.before, arrow.after) for arrow in arrows}
    before, after = ({pair[side] for pair in pairs} for side in (0, 1))
    if pairs == set(itertools.product(before, after)):
        return _name(after)
    if all(states.WORKING.index(one) < states.WORKING.index(other) for one, other in pairs):
        return "any later phase"
    raise ValueError(f"These arrows share a reason but no shape: {sorted(pairs)}")


def _name(names: set[str]) -> str:
    words = [f"`{name}`" for name in states.STATES if name in names and name not in states.WORKING]
    phases = [name for name in states.WORKING if name in names]
    if len(phases) >= len(states.WORKING) - 1:
        return ", ".join(["any phase", *words])
    return ", ".join([*(f"`{name}`" for name in phases), *words])


if __name__ == "__main__":
    print("\n".join([*render_states(), "", *render_arrows()]))
