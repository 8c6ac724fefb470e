# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services that hold monitors and call people, a file each."""

from __future__ import annotations
