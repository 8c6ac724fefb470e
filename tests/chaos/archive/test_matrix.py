# SPDX-License-Identifier: GPL-3.0-or-later
"""What a database may hold, from which major to which: each is proven by a restore, or refused."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pyrage
import pytest

from ansible_collections.emailai.migration.plugins.module_utils._archive import content
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target
from integration.archive_world import World, connection_options, execute, fill, made
from integration.test_pg_restore import read_content

# Beyond what the world of the module's own tests has.
MORE = """
CREATE TABLE parent (id int PRIMARY KEY, note text NOT NULL DEFAULT '');
CREATE TABLE child (more numeric(9, 3)) INHERITS (parent);
INSERT INTO parent SELECT i, 'p' || i FROM generate_series(1, 50) i;
INSERT INTO child SELECT i, 'c' || i, i / 7.0 FROM generate_series(1, 50) i;
ALTER TABLE parent ENABLE ROW LEVEL SECURITY;
ALTER TABLE parent FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON parent USING (note = current_user) WITH CHECK (id > 0);
CREATE UNLOGGED TABLE scratch AS SELECT generate_series(1, 20) AS i;
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN small AS positive CHECK (VALUE < 100) DEFAULT 1;
CREATE TYPE span AS RANGE (subtype = numeric);
CREATE TABLE counted (id int GENERATED ALWAYS AS IDENTITY (START 7 INCREMENT 3), n small, s span,
    doubled int GENERATED ALWAYS AS (n * 2) STORED, EXCLUDE USING gist (s WITH &&));
INSERT INTO counted (n, s) SELECT i, span(i, i + 1) FROM generate_series(1, 30) i;
CREATE SEQUENCE down INCREMENT -5 MINVALUE -1000 CYCLE;
SELECT nextval('down'), nextval('down');
CREATE MATERIALIZED VIEW later AS SELECT count(*) FROM child WITH NO DATA;
CREATE STATISTICS pairs ON id, note FROM parent;
CREATE RULE quiet AS ON DELETE TO scratch DO INSTEAD NOTHING;
CREATE AGGREGATE product (numeric) (SFUNC = numeric_mul, STYPE = numeric, INITCOND = '1');
CREATE FUNCTION note_it() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE LOG 'seen'; END $$;
CREATE EVENT TRIGGER notes ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION note_it();
SELECT lo_from_bytea(0, decode(repeat('cd', 3000), 'hex')) FROM generate_series(1, 3);
DO $$ BEGIN EXECUTE 'CREATE TABLE wide (' || (SELECT string_agg(format('c%s int', i), ', ')
    FROM generate_series(1, 1000) i) || '); INSERT INTO wide (c1, c1000) VALUES (1, 2), (3, NULL)'; END $$;
DO $$ BEGIN EXECUTE 'CREATE TABLE broad (' || (SELECT string_agg(format('c%s text', i), ', ')
    FROM generate_series(1, 200) i) || '); INSERT INTO broad (c1, c200) VALUES (1, 2), (3, NULL)'; END $$;
"""
# Words of 18 that 15 does not know.
NEW = "CREATE TABLE computed (a int, b int GENERATED ALWAYS AS (a + 1)); INSERT INTO computed VALUES (1)"
MANY: t.Final = 5000


def world_on(postgres: t.Any, folder: Path) -> World:
    folder.mkdir(exist_ok=True)
    world = made(postgres, {"kind": "folder", "path": str(folder / "store")}, folder)
    fill(world.target, MORE)
    return world


def login(target: Target) -> dict[str, t.Any]:
    return {name: value for name, value in connection_options(target).items() if name != "login_db"}


@pytest.mark.parametrize("name", ["15 to 15", "15 to 18", "18 to 18", "15 to 18, encrypted"])
def test_everything_comes_back(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> None:
    servers = {"15": "postgres_15", "18": "postgres"}
    source, destination = (request.getfixturevalue(servers[major]) for major in name[:8].split(" to "))
    world = world_on(source, tmp_path)
    if name == "18 to 18":
        execute(world.target, NEW)
    if name.endswith("encrypted"):
        world.store["age_keys"] = [str(pyrage.x25519.Identity.generate())]
    assert bool(world.backup()["backup"]["encryption"]) == name.endswith("encrypted")
    proof = world.restore(**login(destination.superuser), login_db=world.target.dbname)["proof"]
    assert (proof["passed"], proof["differences"]) == (True, [])
    assert proof["target_version"].startswith(name[6:8])


def test_what_is_no_table_is_compared_too(postgres: t.Any, tmp_path: Path) -> None:
    world = world_on(postgres, tmp_path)
    before = read_content(world, world.target.dbname)
    fill(
        world.target,
        "ALTER EVENT TRIGGER notes DISABLE; DROP RULE quiet ON scratch; DROP STATISTICS pairs;"
        "ALTER POLICY own ON parent USING (true); ALTER TABLE scratch SET LOGGED;"
        "ALTER TABLE child NO INHERIT parent; ALTER TABLE parent NO FORCE ROW LEVEL SECURITY",
    )
    after = read_content(world, world.target.dbname)
    assert content.compare(before, after, True, True) == [
        "event trigger notes differs",
        "policy public.parent.own differs",
        "relation public.child differs",
        "relation public.parent differs",
        "relation public.scratch differs",
        "rule public.scratch.quiet is missing",
        "statistics public.pairs is missing",
    ]


def test_an_older_server_takes_none(postgres: t.Any, postgres_15: t.Any, tmp_path: Path) -> None:
    world = world_on(postgres, tmp_path)
    world.backup()
    with pytest.raises(MigrationError, match="it comes from PostgreSQL 18 and this server is 15"):
        world.restore(**login(postgres_15.superuser), login_db=world.target.dbname)
    names = execute(postgres_15.superuser, "SELECT datname FROM pg_database")
    assert not [name for (name,) in names if "__" in name]


def test_names_that_need_quoting(postgres: t.Any, tmp_path: Path) -> None:
    """Of the database, of a role that owns and one that may read, and of what is in it."""
    world = world_on(postgres, tmp_path)
    owner, reader = (postgres.new_role(name) for name in ('Odd "owner%', "re'ader = x"))
    name = "Odd \"db'%s = x"
    postgres.server.new_database(name, owner.user)
    world.target = postgres.target(world.target.user, name)
    table = '"S %"."t "" = \'%s"'
    owns, reads = ('"' + role.user.replace('"', '""') + '"' for role in (owner, reader))
    fill(
        world.target,
        f'CREATE SCHEMA "S %" AUTHORIZATION {owns}; CREATE TABLE {table} ("c %" int);'
        f"ALTER TABLE {table} OWNER TO {owns}; GRANT SELECT ON {table} TO {reads};"
        f"INSERT INTO {table} VALUES (1), (2)",
    )
    world.backup()
    assert world.restore()["proof"]["terms"] == "owners and rights are kept"
    assert world.restore(state="swapped", confirmed_by="Ada")["changed"]
    assert execute(world.target, f"SELECT count(*) FROM {table}") == [(2,)]
    assert world.restore(state="swapped_back")["changed"]


def test_a_database_without_a_table(postgres: t.Any, tmp_path: Path) -> None:
    world = world_on(postgres, tmp_path)
    world.target = postgres.new_database()
    assert world.backup()["backup"]["tables"] == 0
    assert world.restore()["proof"]["passed"]


def test_very_many_tables(postgres: t.Any, tmp_path: Path) -> None:
    """More than the server has lock slots for one session alone, were each table held until the end."""
    world = world_on(postgres, tmp_path)
    world.target = postgres.new_database()
    fill(
        world.target,
        f"DO $$ BEGIN FOR i IN 1..{MANY} LOOP EXECUTE format('CREATE TABLE t%s AS SELECT %s AS i', i, i);"
        " IF i % 500 = 0 THEN COMMIT; END IF; END LOOP; END $$",
    )
    assert world.backup()["backup"]["tables"] == MANY
    assert world.restore()["proof"]["passed"]
