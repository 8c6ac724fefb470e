# SPDX-License-Identifier: GPL-3.0-or-later
"""How a part is dealt out in stripes: every row once, neighbours apart, the cursor behind the work."""

from __future__ import annotations

import typing as t

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._tenancy import pages

STRIPES = 16


class Table:
    """Rows by their keys, as a walk reads them."""

    def __init__(self, rows: int) -> None:
        self.keys = [f"{number:06}" for number in range(rows)]

    def window(self, _connection: t.Any, part: pages.Part, last: str | None, size: int) -> list[str]:
        return [
            key
            for key in self.keys
            if (last is None or key > last) and (part.until is None or key <= part.until)
        ][:size]

    def page(self, *_asked: t.Any) -> pages.Page | None:
        raise AssertionError("a range of keys was asked for in stripes")


def dealt(table: Table, part: pages.Part, sizes: t.Sequence[int], stripes: int = STRIPES) -> list[pages.Page]:
    """The pages as the engine asks for them, with a pace that changes."""
    dealer, last, found = pages.Dealer(table, part, stripes), None, []
    while page := dealer.next(None, last, sizes[len(found) % len(sizes)]):
        found.append(page)
        last = page.end
    return found


@given(st.integers(0, 500), st.lists(st.integers(1, 40), min_size=1, max_size=9), st.integers(0, 500))
def test_every_row_is_dealt_once_and_counted_once(rows: int, sizes: list[int], until: int) -> None:
    table, part = Table(rows), pages.Part(f"{until:06}")
    wanted = [key for key in table.keys if key <= part.until]
    found = dealt(table, part, sizes)
    assert sorted(key for page in found for key in page.keys) == wanted
    assert sum(page.size for page in found) == sum(page.passed for page in found) == len(wanted)


@given(st.integers(1, 500), st.lists(st.integers(1, 40), min_size=1, max_size=9))
def test_the_cursor_passes_nothing_that_is_not_done(rows: int, sizes: list[int]) -> None:
    done: set[str] = set()
    table = Table(rows)
    for page in dealt(table, pages.WHOLE, sizes):
        done.update(page.keys)
        if page.end is not None:
            assert done.issuperset(key for key in table.keys if key <= page.end)
        if page.passed:
            assert max(done) == page.end


def test_neighbours_are_rewritten_in_batches_of_their_own() -> None:
    table = Table(STRIPES * 50 * 2)
    for sizes in ([50], [50, 400]):
        batch_of = {
            key: number for number, page in enumerate(dealt(table, pages.WHOLE, sizes)) for key in page.keys
        }
        for first in range(0, STRIPES * 50, STRIPES):
            assert len({batch_of[key] for key in table.keys[first : first + STRIPES]}) == STRIPES


def test_a_single_stripe_is_a_range_of_keys() -> None:
    class Ranges(Table):
        def page(self, *_asked: t.Any) -> pages.Page | None:
            return pages.Page(3, None, "000002", passed=3)

    page = pages.Dealer(Ranges(3), pages.WHOLE, 1).next(None, None, 10)
    assert page == pages.Page(3, None, "000002", passed=3)
