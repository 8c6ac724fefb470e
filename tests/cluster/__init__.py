# SPDX-License-Identifier: GPL-3.0-or-later
"""The platform kubernetes against a real control plane."""
