# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded lab: real servers on loopback, from wheels, without root."""
