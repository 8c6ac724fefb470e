# SPDX-License-Identifier: GPL-3.0-or-later
"""The platform compose on a real Docker Engine with a real registry and, under load, the lab."""
