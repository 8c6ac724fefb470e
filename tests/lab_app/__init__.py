# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's application: a small mail service in two releases from one code base."""
