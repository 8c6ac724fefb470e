# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platforms an application runs on: how a release gets there, and how one sees that it serves."""

from __future__ import annotations
