# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Balancers: who gets traffic, who may be taken out, and the safe ways out and back in."""

from __future__ import annotations
