# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The smoke suite: whether the application does what users live by, tried as one of them."""
