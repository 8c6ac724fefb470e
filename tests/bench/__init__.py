# SPDX-License-Identifier: GPL-3.0-or-later
"""Benchmarks: each prints ratios against a floor and a control of the same run, and one JSON line."""
