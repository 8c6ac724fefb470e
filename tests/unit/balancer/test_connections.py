# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's table of connections."""

from __future__ import annotations

import ipaddress
import socket
import sys

from unit.balancer.world import member

from ansible_collections.emailai.migration.plugins.module_utils._balancer import connections, strangers

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
REST = " 00000000:00000000 00:00000000 00000000     0        0 1\n"


def word(*octets: int) -> str:
    """Four octets as the kernel of this machine writes them."""
    return f"{int.from_bytes(bytes(octets), sys.byteorder):08X}"


HERE = word(127, 0, 0, 1)
MAPPED_HERE = word(0, 0, 0, 0) * 2 + word(0, 0, 255, 255) + HERE
TABLE = (
    HEAD
    + f"   0: {HERE}:0BB8 00000000:0000 0A{REST}"
    + f"   1: {HERE}:0BB8 {HERE}:C350 01{REST}"
    + f"   2: {HERE}:C350 {HERE}:0BB8 01{REST}"
    + f"   3: {HERE}:0BB8 {HERE}:C351 06{REST}"
)
MAPPED = HEAD + f"   0: {MAPPED_HERE}:0BB8 {MAPPED_HERE}:C352 01{REST}"
APP = (ipaddress.ip_address("127.0.0.1"), 3000)


def test_established_connections_are_counted_once_and_listeners_never() -> None:
    assert connections.count([TABLE, MAPPED], APP, is_local=True) == 2
    assert connections.count([TABLE], APP, is_local=False) == 1
    assert connections.count([TABLE], (APP[0], 3001), is_local=True) == 0


def test_an_address_of_this_host_is_local() -> None:
    assert connections.is_local(ipaddress.ip_address("127.0.0.1"))
    assert not connections.is_local(ipaddress.ip_address("192.0.2.1"))


def test_a_connection_of_this_process_is_seen() -> None:
    with socket.socket() as server, socket.socket() as client:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        members = [member("app-1", address="127.0.0.1", port=port)]
        assert strangers.count("", members) == 0
        client.connect(("127.0.0.1", port))
        assert strangers.count("", members) == 1
        assert strangers.count(f"127.0.0.1:{port}", members) == 1
        # An idle connection that the balancer keeps for later carries nothing.
        assert strangers.count("", [member("app-1", address="127.0.0.1", port=port, idle_connections=1)]) == 0
        # Neither does the balancer's own question.
        assert strangers.count("", [member("app-1", address="127.0.0.1", port=port, checks_under_way=1)]) == 0


def test_what_has_no_port_is_not_watched() -> None:
    assert strangers.count("", [member("app-1", address="/run/app.sock")]) is None
