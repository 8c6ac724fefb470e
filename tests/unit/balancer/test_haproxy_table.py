# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's tables, read by their headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._balancer import haproxy_table
from ansible_collections.emailai.migration.plugins.module_utils._balancer.haproxy_table import TableError
from ansible_collections.emailai.migration.plugins.module_utils._balancer.member import Member

STATES = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_port
4 emailai 1 app-1 10.0.0.1 2 0 1 1 3000
4 emailai 2 app-2 10.0.0.2 0 8 1 1 3000

"""
HEADER = """
pxname svname qcur scur status check_rise check_fall check_health idle_conn_cur safe_conn_cur used_conn_cur
emailai app-1 1 2 UP 2 3 4 5 6 3
emailai app-2 0 0 DOWN 2 3 1 0 0 0
other app-1 9 9 UP 2 3 4 9 9 9
"""
COLUMNS, *LINES = [line.split() for line in HEADER.strip().splitlines()]
ROWS = [dict(zip(COLUMNS, line, strict=True)) for line in LINES]


def statistics(order: list[str], **changes: str) -> str:
    lines = [",".join(order)]
    for row in ROWS:
        changed = {**row, **changes} if row is ROWS[0] else row
        lines.append(",".join(changed[column] for column in order))
    return "# " + "\n".join(lines) + "\n\n"


def read(text: str, states: str = STATES) -> list[Member]:
    rows = haproxy_table.read_statistics(text)
    return haproxy_table.members("lb", "emailai", rows, haproxy_table.read_states(states))


@given(st.permutations(COLUMNS[1:]))
def test_columns_are_found_by_their_names(rest: list[str]) -> None:
    first, second = read(statistics(["pxname", *rest]))
    assert (first.name, first.queued, first.sessions, first.connections) == ("app-1", 1, 2, 3)
    assert (first.idle_connections, first.health, first.full_health) == (11, 4, 4)
    assert first.in_flight == 4
    assert first.is_serving
    assert (second.admission, second.is_fully_healthy, second.health) == ("drained", False, 1)


@pytest.mark.parametrize(
    "column", ["scur", "qcur", "used_conn_cur", "idle_conn_cur", "safe_conn_cur", "check_rise"]
)
@pytest.mark.parametrize("value", ["", "-", "many"])
def test_a_figure_that_cannot_be_read_is_never_zero(column: str, value: str) -> None:
    with pytest.raises(TableError, match=column):
        read(statistics(COLUMNS, **{column: value}))


def test_a_member_that_nobody_checks_is_not_healthy() -> None:
    first, _ignored = read(statistics(COLUMNS, check_health="", check_rise="", check_fall=""))
    assert not first.is_checked
    assert not first.is_fully_healthy


@pytest.mark.parametrize("health", ["0", "1", "2", "3"])
def test_half_way_up_is_not_up(health: str) -> None:
    first, _ignored = read(statistics(COLUMNS, check_health=health))
    assert not first.is_serving


@pytest.mark.parametrize(
    ("bits", "admission"),
    [
        ("0", "ready"),
        ("4", "ready"),
        ("1", "closed"),
        ("2", "closed"),
        ("5", "closed"),
        ("9", "closed"),
        ("32", "closed"),
        ("64", "closed"),
        ("8", "drained"),
        ("16", "drained"),
        ("12", "drained"),
    ],
)
def test_admission_is_read_from_the_bits(bits: str, admission: str) -> None:
    assert haproxy_table.admission(bits) == admission


@pytest.mark.parametrize(("bits", "under_way"), [("6", 0), ("7", 1), ("14", 0), ("15", 1)])
def test_a_check_under_way_is_read_from_the_bits(bits: str, under_way: int) -> None:
    lines = STATES.splitlines()
    told = "\n".join([lines[0], lines[1] + " srv_check_state", *(f"{line} {bits}" for line in lines[2:4])])
    assert [each.checks_under_way for each in read(statistics(COLUMNS), told)] == [under_way, under_way]


def test_what_old_workers_hold_is_added() -> None:
    rows = haproxy_table.read_statistics(statistics(COLUMNS))
    first, second = haproxy_table.members("lb", "emailai", rows, haproxy_table.read_states(STATES), rows)
    assert (first.sessions, first.connections, first.queued, first.idle_connections) == (4, 6, 2, 11)
    assert second.sessions == 0


@pytest.mark.parametrize("answer", ["", "Permission denied\n\n", "Can't find backend.\n\n"])
def test_an_answer_that_is_no_table_is_said_in_its_own_words(answer: str) -> None:
    for read_table in (haproxy_table.read_statistics, haproxy_table.read_states, haproxy_table.old_workers):
        with pytest.raises(TableError, match=answer.strip() or "an empty answer"):
            read_table(answer)


def test_a_member_without_statistics_is_an_error() -> None:
    with pytest.raises(TableError, match="emailai/app-3"):
        read(statistics(COLUMNS), STATES.replace("app-2", "app-3"))


def test_old_workers_are_those_of_the_reload() -> None:
    text = """#<PID>          <type>          <reloads>       <uptime>        <version>
10      master          1 [failed: 0]   0d00h00m02s     2.8.25
# workers
13      worker          0               0d00h00m01s     2.8.25
# old workers
11      worker          2               0d00h00m02s     2.8.25
12      worker          1               0d00h00m02s     2.8.25
# programs
14      program         0               0d00h00m02s     -

"""
    assert haproxy_table.old_workers(text) == [11, 12]
    assert haproxy_table.old_workers(text.partition("# old workers")[0]) == []


def test_map_entries_keep_their_spaces() -> None:
    text = "0x29a567d0 state shown\n0x29a56860 page <h1>Back  at 5</h1>\n0x29a56861 empty\n\n"
    assert haproxy_table.read_map(text) == {"state": "shown", "page": "<h1>Back  at 5</h1>", "empty": ""}
    with pytest.raises(TableError, match="Unknown map"):
        haproxy_table.read_map("Unknown map identifier. Please use #<id> or <file>.\n")


@pytest.mark.parametrize(
    ("reply", "cure"),
    [
        ("Permission denied\n\n", "level admin"),
        ("No such server.\n\n", "Name the member"),
        ("\n", ""),
        ("New", ""),
    ],
)
def test_a_refusal_comes_with_its_cure(reply: str, cure: str) -> None:
    assert haproxy_table.refusal(reply) == reply.strip()
    assert cure in haproxy_table.cure_for(reply)
