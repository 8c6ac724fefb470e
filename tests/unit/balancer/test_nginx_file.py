# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of ``server`` lines, read and changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._balancer import nginx_file

TEXT = """\
# who serves
server 10.0.0.11:3000 max_fails=0 weight=3; # app-1
  server 10.0.0.12:3000 down; # app-2
server 10.0.0.13:3000 down; # app-3 drained
server 10.0.0.14:3000;
#server 10.0.0.15:3000; # app-5
keepalive 8;
"""


def test_each_line_is_a_server_with_a_name_and_an_admission() -> None:
    found = nginx_file.servers(TEXT)
    assert [(each.name, each.admission, each.weight) for each in found] == [
        ("app-1", "ready", 3),
        ("app-2", "closed", 1),
        ("app-3", "drained", 1),
        ("10.0.0.14:3000", "ready", 1),
    ]


def test_one_line_is_changed_and_no_other() -> None:
    out = nginx_file.changed(TEXT, "app-1", "drained")
    assert out == TEXT.replace("weight=3; # app-1", "weight=3 down; # app-1 drained")
    assert nginx_file.changed(out, "app-1", "ready") == TEXT


@given(st.sampled_from(["app-1", "app-2", "app-3"]), st.sampled_from(["ready", "drained", "closed"]))
def test_what_is_written_is_what_is_read(name: str, admission: str) -> None:
    out = nginx_file.changed(TEXT, name, admission)
    assert {each.name: each.admission for each in nginx_file.servers(out)}[name] == admission
    assert nginx_file.changed(out, name, admission) == out
    assert len(out.splitlines()) == len(TEXT.splitlines())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no line like"),
        ("upstream x { }\n", "no line like"),
        ("server a:1; # x\nserver b:1; # x\n", "names x twice"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(text: str, words: str) -> None:
    with pytest.raises(nginx_file.FileError, match=words):
        nginx_file.servers(text)


def test_a_name_that_is_not_there_is_refused() -> None:
    with pytest.raises(nginx_file.FileError, match="does not name app-9"):
        nginx_file.changed(TEXT, "app-9", "ready")


@pytest.mark.parametrize(
    ("address", "end"),
    [
        ("10.0.0.1:3000", ("10.0.0.1", 3000)),
        ("10.0.0.1", ("10.0.0.1", 80)),
        ("[fe80::1]:3000", ("fe80::1", 3000)),
        ("[fe80::1]", ("fe80::1", 80)),
    ],
)
def test_an_address_without_a_port_means_80(address: str, end: tuple[str, int]) -> None:
    assert nginx_file.endpoint(address) == end
