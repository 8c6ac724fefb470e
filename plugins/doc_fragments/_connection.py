# Copyright (c) emailai.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options with which a module reaches a database, described once."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  login_host:
    description:
      - Host name, address or socket folder of the server.
      - Not set means what O(login_url) says, and without one libpq's own default.
    type: str
  login_port:
    description: TCP port of the server. Not set means what O(login_url) says, or 5432.
    type: int
  login_user:
    description: Role to log in as.
    type: str
  login_password:
    description:
      - Password of the role.
      - Without one libpq looks into its own password file. It never appears in a command line,
        an environment, a log or a result.
    type: str
  login_db:
    description: Database to work on. Wins over the one in O(login_url).
    type: str
  login_url:
    description:
      - The database as the application writes it, C(postgresql://user:password@host:port/database).
      - Prisma's own parameters such as C(schema) or C(connection_limit) are understood or ignored.
      - Single options win over what it says.
    type: str
  ssl_mode:
    description: TLS mode as libpq knows it. Not set means what O(login_url) says, or libpq's default.
    type: str
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
  ca_cert:
    description: Path of a file with the certificate authorities to trust, on the host the module runs on.
    type: path
requirements:
  - psycopg2 >= 2.8
"""
