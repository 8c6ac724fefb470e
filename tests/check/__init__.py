# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs behind the Makefile: what is too long for a recipe of two lines."""
