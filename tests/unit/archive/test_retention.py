# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups may go: the last good one never does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._archive.retention import Kept, decide

BACKUPS = st.lists(
    st.tuples(st.integers(0, 99), st.booleans()), unique_by=lambda pair: pair[0], max_size=40
).map(lambda pairs: [Kept(f"z{99 - day}", f"2026-{day:04}", proven) for day, proven in pairs])


@given(BACKUPS, st.integers(1, 10), st.data())
def test_proven_backups_stay(backups: list[Kept], keep: int, data: st.DataObject) -> None:
    own = data.draw(st.sampled_from(backups)).id if backups else ""
    decision = decide(backups, keep, own)
    left = [backup for backup in backups if backup.id not in decision.remove]
    proven_before = sum(backup.is_proven for backup in backups)
    assert sum(backup.is_proven for backup in left) >= min(keep, proven_before)
    assert own in {backup.id for backup in left} or not own
    newest = sorted((b for b in backups if b.is_proven), key=lambda b: b.created_at, reverse=True)[:keep]
    assert set(newest) <= set(left)


def test_nothing_goes_in_a_run_whose_own_backup_is_not_proven() -> None:
    backups = [Kept(str(day), f"2026-{day:02}", day < 20) for day in range(21)]
    decision = decide(backups, 7, "20")
    assert decision.remove == ()
    assert "not proven" in decision.reason


def test_names_do_not_decide() -> None:
    backups = [Kept(f"{9 - day}", f"2026-{day:02}", True) for day in range(9)]
    assert set(decide(backups, 7, "1").remove) == {"9", "8"}


def test_sixty_days_with_a_bad_week() -> None:
    """Seven bad days in a row push out a good backup where files are counted; here they do not."""
    store: list[Kept] = []
    for day in range(60):
        is_proven = not 30 <= day < 37
        store.append(Kept(f"b{day}", f"2026-{day:03}", is_proven))
        decision = decide(store, 7, f"b{day}")
        store = [backup for backup in store if backup.id not in decision.remove]
        assert sum(backup.is_proven for backup in store) >= min(
            7, sum(not 30 <= d < 37 for d in range(day + 1))
        )
    assert len(store) == 7
