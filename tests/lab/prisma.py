# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Prisma without its downloaded engine, and an application's folder for it to work in.

Prisma 6.19 works through the driver of node-postgres if its configuration gives it one. The programs of
its engine are then never run, but it wants to find files where it would look for them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

VERSION = "6.19.0"
_PACKAGES = (f"prisma@{VERSION}", f"@prisma/adapter-pg@{VERSION}")
_CACHE = Path(__file__).parents[2] / ".cache" / f"prisma-{VERSION}"
# Read by Prisma's own process; any existing file will do.
ENVIRONMENT = {"PRISMA_QUERY_ENGINE_LIBRARY": "/bin/true", "PRISMA_SCHEMA_ENGINE_BINARY": "/bin/true"}
_INSTALL_SECONDS = 300

# The adapter knows no type "name", which the catalog is full of; to everybody else it is a text.
_CONFIGURATION = """\
import { defineConfig } from 'prisma/config'
import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'

const query = (pg as any).Query.prototype
if (!query.relabelled) {
  const described = query.handleRowDescription
  query.relabelled = true
  query.handleRowDescription = function (message: any) {
    for (const field of message.fields) if (field.dataTypeID === 19) field.dataTypeID = 25
    return described.call(this, message)
  }
}

export default defineConfig({
  experimental: { adapter: true },
  engine: 'js',
  schema: 'prisma/schema.prisma',
  adapter: async () => new PrismaPg({ connectionString: process.env.DATABASE_URL }),
})
"""


def modules() -> Path:
    """The packages, installed once; FileNotFoundError names what is missing."""
    for program, package in (("node", "nodejs"), ("npm", "npm")):
        if shutil.which(program) is None:
            raise FileNotFoundError(f"{program} is not installed: install Node.js 20 or newer ({package})")
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (_CACHE / "complete").exists():
            _install()
            (_CACHE / "complete").touch()
    return _CACHE / "node_modules"


def _install() -> None:
    (_CACHE / "package.json").write_text('{"private": true}')
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--save-exact", *_PACKAGES]
    done = subprocess.run(
        command,
        cwd=_CACHE,
        capture_output=True,
        text=True,
        timeout=_INSTALL_SECONDS,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        raise FileNotFoundError(f"npm cannot install {_PACKAGES[0]}: {' '.join(done.stderr.split())[-300:]}")


class Project:
    """The folder of an application that uses Prisma."""

    def __init__(self, folder: Path, schema: str) -> None:
        self.folder = folder
        self.migrations = folder / "prisma" / "migrations"
        self.migrations.mkdir(parents=True)
        (folder / "node_modules").symlink_to(modules())
        (folder / "prisma.config.ts").write_text(_CONFIGURATION)
        (folder / "prisma" / "schema.prisma").write_text(schema)
        (self.migrations / "migration_lock.toml").write_text('provider = "postgresql"\n')
        self.command = ["node", str(folder / "node_modules" / "prisma" / "build" / "index.js")]

    def add(self, name: str, text: str) -> None:
        folder = self.migrations / name
        folder.mkdir()
        (folder / "migration.sql").write_text(text)

    def run(self, url: str, *words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Prisma as a person would run it."""
        return subprocess.run(
            [*self.command, *words],
            cwd=self.folder,
            env={**os.environ, **ENVIRONMENT, "DATABASE_URL": url, "CHECKPOINT_DISABLE": "1"},
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def described(self, url: str) -> str:
        """The SQL of an empty database that becomes what the Prisma schema says; changes nothing."""
        words = ("--from-empty", "--to-schema-datamodel", "prisma/schema.prisma", "--script")
        done = self.run(url, "migrate", "diff", *words)
        if done.returncode != 0:
            raise RuntimeError(done.stdout + done.stderr)
        return done.stdout
