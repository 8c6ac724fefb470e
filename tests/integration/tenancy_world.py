# SPDX-License-Identifier: GPL-3.0-or-later
"""The world of the organization tests: the lab's schema, some people, and a module's call."""

from __future__ import annotations

import contextlib
import io
import json
import os
import typing as t
from pathlib import Path

import psycopg2
from ansible.module_utils import basic

from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target
from ansible_collections.emailai.migration.plugins.modules import (
    org_integrity,
    org_migration,
    org_repair,
    org_schema,
    prisma_migration,
)

_LAB = Path(__file__).parents[1] / "lab"
_MODULES = {
    "org_schema": org_schema,
    "org_migration": org_migration,
    "org_integrity": org_integrity,
    "org_repair": org_repair,
    "prisma_migration": prisma_migration,
}


class Database:
    """One database of the runbook's shape, with the calls that tests make on it."""

    def __init__(self, target: Target, folder: t.Optional[Path] = None) -> None:
        self.target = target
        self.folder = str(folder or f"/tmp/emailai-{target.dbname}-{os.getpid()}")

    def connect(self, application: str = "old app") -> t.Any:
        connection = psycopg2.connect(**self.target.dsn(), application_name=application)
        connection.autocommit = True
        return connection

    def rows(self, statement: str, values: t.Any = None) -> list[t.Any]:
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def one(self, statement: str, values: t.Any = None) -> t.Any:
        return self.rows(statement, values)[0][0]

    def build(self) -> None:
        self.rows((_LAB / "schema.sql").read_text())
        self.rows((_LAB / "keys.sql").read_text())

    def fill(self, users: int = 50, accounts: int = 120, premiums: int = 20, ownerless: int = 0) -> None:
        """People of a day ago; ids as an application makes them."""
        self.rows(
            """
            INSERT INTO users SELECT 'u' || md5('u' || n), 'person' || n || '@example.com',
                   CASE n % 5 WHEN 0 THEN NULL WHEN 1 THEN '  ' ELSE 'Person Number ' || n END,
                   timestamp '2025-06-01' + n * interval '1 second', timestamp '2025-06-01'
              FROM generate_series(1, %(users)s) n;
            INSERT INTO "EmailAccount" SELECT 'a' || md5('a' || n), 'box' || n || '@example.com',
                   'u' || md5('u' || 1 + (n - 1) %% %(users)s), timestamp '2025-06-01', timestamp '2025-06-01'
              FROM generate_series(1, %(accounts)s) n;
            INSERT INTO "Premium" SELECT 'p' || md5('p' || n), 'u' || md5('u' || n), 'PRO_MONTHLY', 1, NULL,
                   timestamp '2025-06-01', timestamp '2025-06-01' FROM generate_series(1, %(premiums)s) n;
            INSERT INTO "Premium" SELECT 'q' || md5('q' || n), NULL, 'PRO_MONTHLY', 1, NULL,
                   timestamp '2025-06-01', timestamp '2025-06-01' FROM generate_series(1, %(ownerless)s) n;
            ANALYZE
            """.replace("n % 5", "n %% 5"),
            {"users": users, "accounts": accounts, "premiums": premiums, "ownerless": ownerless},
        )

    def call(self, module: str, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        """Run a module in this process, as Ansible would, and give its answer."""
        if module == "org_migration":
            options = {"work_folder": self.folder, "wait_seconds": 30, **options}
        return call(module, self.target, check, **options)


def call(module: str, target: Target, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
    arguments = {
        "login_host": target.host,
        "login_port": target.port,
        "login_user": target.user,
        "login_password": target.password,
        "login_db": target.dbname,
        "_ansible_check_mode": check,
        "_ansible_remote_tmp": "/tmp",
        "_ansible_keep_remote_files": False,
        **options,
    }
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()
    basic._ANSIBLE_PROFILE = "legacy"
    output = io.StringIO()
    code = 0
    with contextlib.redirect_stdout(output):
        try:
            _MODULES[module].main()
        except SystemExit as exc:
            code = int(exc.code or 0)
    answer: dict[str, t.Any] = json.loads(output.getvalue().strip().splitlines()[-1])
    answer.setdefault("failed", code != 0)
    return answer
