# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The application as a project of Vercel."""

from __future__ import annotations
