# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Established connections of an address, as this host's kernel lists them."""

from __future__ import annotations

import ipaddress
import socket
import struct
import typing as t
from pathlib import Path

_ESTABLISHED: t.Final = "01"
_OPENING: t.Final = "02"
_TABLES: t.Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))

Address = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Endpoint = t.Tuple[Address, int]


def _endpoint(text: str) -> Endpoint:
    """``0100007F:1F90`` is 127.0.0.1:8080: words as the machine holds them, the port as people do."""
    words, port = text.split(":")
    packed = b"".join(struct.pack("=I", int(words[at : at + 8], 16)) for at in range(0, len(words), 8))
    address = ipaddress.ip_address(packed)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address, int(port, 16)


def established(table: str) -> t.Iterator[tuple[Endpoint, Endpoint]]:
    """Both ends of every established connection of one kernel table."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        if fields[3] == _ESTABLISHED:
            yield _endpoint(fields[1]), _endpoint(fields[2])


def count(tables: t.Iterable[str], endpoint: Endpoint, is_local: bool) -> int:
    """Connections that end at ``endpoint``; seen from its own host, or as the far end of ours.

    On its own host a connection from the same host shows both its ends; only one is counted.
    """
    side = 0 if is_local else 1
    return sum(ends[side] == endpoint for table in tables for ends in established(table))


def is_local(address: Address) -> bool:
    """An address that can be bound belongs to this host."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def read_tables() -> list[str]:
    """The kernel's tables; a host without IPv6 has one."""
    return [path.read_text("ascii") for path in _TABLES if path.exists()]


def open_ends(table: str) -> t.Iterator[tuple[Endpoint, str]]:
    """Far end and socket number of every connection that is open or being opened."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        if fields[3] in (_ESTABLISHED, _OPENING):
            yield _endpoint(fields[2]), fields[9]
