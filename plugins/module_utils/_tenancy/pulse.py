# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the application itself feels: the time its health page takes, as a signal beside the server's."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._platform import http
from ansible_collections.emailai.migration.plugins.module_utils._postgres.signals import Signal

_PATIENCE_SECONDS: t.Final = 2.0
LOWER_MS: t.Final = 250.0
UPPER_MS: t.Final = 1000.0


def read(url: str, clock: t.Callable[[], float] = time.monotonic) -> list[Signal]:
    """One question; nothing without a page. Who does not answer well counts as one who took too long."""
    if not url:
        return []
    begun = clock()
    fault = http.fault_of(url, _PATIENCE_SECONDS)
    milliseconds = max((clock() - begun) * 1000, _PATIENCE_SECONDS * 1000 if fault else 0.0)
    text = f"the application is not well: {fault}" if fault else "the application's health page takes {} ms"
    return [Signal("application", milliseconds, LOWER_MS, UPPER_MS, text)]
