# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for Vercel on loopback, and the platform vercel against it."""

from __future__ import annotations
