# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two questions a play has about batches: how many at a time, and who together."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.emailai.migration.plugins.module_utils._platform import batches


def _answered(read: t.Callable[[t.Sequence[t.Any], t.Sequence[int]], list[t.Any]]) -> t.Callable[..., t.Any]:
    def ask(servers: t.Sequence[t.Any], percents: t.Sequence[int]) -> list[t.Any]:
        try:
            return read(list(servers), [int(percent) for percent in percents])
        except ValueError as exc:
            raise AnsibleFilterError(f"Cannot cut the fleet into batches: {exc}.") from exc

    return ask


class FilterModule:
    """Filters of a rollout."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {
            "rollout_serial": _answered(lambda servers, percents: batches.counts(len(servers), percents)),
            "rollout_batches": _answered(batches.cut),
        }
