# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The triggers that keep the new columns true while the old release writes.

A trigger creates only for the user that its own transaction inserted; for any
other it only looks up. Triggers that create for others deadlock the
application. None waits, none deletes, none catches exceptions.
"""

from __future__ import annotations

import hashlib
import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._postgres import ddl
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    join,
    raw,
    rows,
    text_of,
    value,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import (
    following,
    mailboxes,
    premiums,
    reverse,
    sql,
    teams,
)

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.sql import Composable

    from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target
    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Link, Model

USERS: t.Final = "emailai_migration_users"
INSERTED: t.Final = "emailai_migration_inserted"
MOVED: t.Final = "emailai_migration_moved"
PREMIUMS: t.Final = "emailai_migration_premiums"
FOLLOWED: t.Final = "emailai_migration_followed"
OWNED: t.Final = "emailai_migration_owned"
REOWNED: t.Final = "emailai_migration_reowned"
HANDED: t.Final = "emailai_migration_handed"
BILLED: t.Final = "emailai_migration_billed"
REBILLED: t.Final = "emailai_migration_rebilled"

# Rows inserted before their user has an organization are remembered by their
# key in a setting of their table that ends with the transaction. So the
# sign-up finds them without an index on the owner. A bulk load beyond this
# many characters is left to the sweep: remembering it would cost more than
# the load.
_MEMORY: t.Final = 8000


@dataclass(frozen=True)
class Trigger:
    name: str
    table: str
    function: str
    body: str
    create: Composable


def triggers(connection: Connection, model: Model) -> list[Trigger]:
    """What must be there, composed with this connection's spelling of literals."""
    found = [_users(connection, model)]
    if model.has_member_accounts:
        found += _accounts(connection, model)
    for number, link in enumerate(model.links):
        found += _links(connection, model, link, number)
        if model.children(link):
            found.append(_followed(connection, model, link, number))
    if model.sharing:
        found.append(_premiums(connection, model))
    return found + _reverse(connection, model)


def _users(connection: Connection, model: Model) -> Trigger:
    person = sql.people(
        model,
        compose(
            "u.{id} = NEW.{id} AND NOT {has_membership}",
            id=model.users.id,
            has_membership=sql.has_membership(model, compose("NEW.{id}", id=model.users.id)),
        ),
    )
    # Small statements cost a sign-up less than one that does it all. Of a name that a table has too the
    # column is meant: so the pieces of SQL mean the same here as anywhere else.
    body = compose(
        """
        #variable_conflict use_column
        <<sync>>
        DECLARE
            p record;
            remembered text;
        BEGIN
            IF starts_with(current_setting('application_name', true), {mark}) THEN
                RETURN NULL;
            END IF;
            {placed} INTO p;
            IF FOUND THEN
                {create}
            END IF;
            {catch_up}{give}
            RETURN NULL;
        END
        """,
        mark=value(model.release_mark),
        placed=teams.placed_at_once(model, person),
        create=sql.create_one(model),
        catch_up=join(
            [_late_link(connection, model, link, number) for number, link in enumerate(model.links)], "\n"
        ),
        give=premiums.give(model) if model.sharing else raw(""),
    )
    table = model.at(model.users.table)
    return Trigger(
        USERS,
        model.users.table,
        "sync_users",
        text_of(connection, body),
        compose(
            "CREATE CONSTRAINT TRIGGER {name} AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION emailai_migration.sync_users()",
            name=USERS,
            table=table,
        ),
    )


def _late_link(connection: Connection, model: Model, link: Link, number: int) -> Composable:
    """Link the new user's own rows that this transaction inserted before, if there are any."""
    key = compose("sync.remembered::{kind}", kind=raw(key_type(connection, model, link)))
    look = raw("")
    if link.owner_in:
        late = following.catch_up(model, link, key)
    else:
        home = sql.home_of(model, compose("NEW.{user}", user=model.users.id))
        if not model.has_member_accounts:
            # Who has just become a member somewhere belongs there.
            look, home = compose("IF p.home IS NULL THEN p.home := {home}; END IF;", home=home), raw("p.home")
        late = compose(
            "UPDATE {table} t SET {link} = {home} WHERE t.{id} = {key}"
            " AND t.{owner} = NEW.{user} AND t.{link} IS NULL;",
            table=model.at(link.table),
            link=link.organization,
            home=home,
            id=link.id,
            key=key,
            owner=link.owner,
            user=model.users.id,
        )
    # One by one, each by its key: the plan for an array expects ten rows.
    return compose(
        """
            IF current_setting({memory}, true) <> '' THEN
                {look}
                FOREACH remembered IN ARRAY current_setting({memory}, true)::text[] LOOP
                    {late}
                END LOOP;
            END IF;""",
        memory=_memory(number),
        look=look,
        late=late,
    )


def _memory(number: int) -> Composable:
    """The name of the setting that remembers rows of a link."""
    return value(f"emailai_migration.waiting_{number}")


def _links(connection: Connection, model: Model, link: Link, number: int) -> list[Trigger]:
    function = f"sync_link_{number}"
    body = compose(
        """
        DECLARE
            waiting text;
        BEGIN
            NEW.{link} := {home};
            IF NEW.{link} IS NULL AND coalesce(length(current_setting({memory}, true)), 0) < {most} THEN
                waiting := set_config({memory}, array_append(
                    nullif(current_setting({memory}, true), '')::text[], NEW.{id}::text)::text, true);
            END IF;
            RETURN NEW;
        END
        """,
        link=link.organization,
        home=sql.home_for(model, link, compose("NEW.{owner}", owner=link.owner)),
        memory=_memory(number),
        most=value(_MEMORY),
        id=link.id,
    )
    text = text_of(connection, body)
    parts: dict[str, t.Any] = {
        "table": model.at(link.table),
        "owner": link.owner,
        "link": link.organization,
        "function": ("emailai_migration", function),
    }
    inserted = compose(
        "CREATE TRIGGER {name} BEFORE INSERT ON {table} FOR EACH ROW"
        " WHEN (NEW.{link} IS NULL AND NEW.{owner} IS NOT NULL) EXECUTE FUNCTION {function}()",
        name=INSERTED,
        **parts,
    )
    # A row that loses its owner keeps its organization: there it may have other members.
    moved = compose(
        "CREATE TRIGGER {name} BEFORE UPDATE OF {owner} ON {table} FOR EACH ROW"
        " WHEN (NEW.{owner} IS NOT NULL AND NEW.{owner} IS DISTINCT FROM OLD.{owner}"
        " AND NEW.{link} IS NOT DISTINCT FROM OLD.{link}) EXECUTE FUNCTION {function}()",
        name=MOVED,
        **parts,
    )
    return [
        Trigger(INSERTED, link.table, function, text, inserted),
        Trigger(MOVED, link.table, function, text, moved),
    ]


def _followed(connection: Connection, model: Model, link: Link, number: int) -> Trigger:
    """What hangs on a row goes where that goes. That it gets a first organization is the pass's work."""
    body = compose(
        "BEGIN {follow} RETURN NULL; END",
        follow=following.follow(
            model,
            link,
            lambda organization: compose("{one} = OLD.{link}", one=organization, link=link.organization),
            compose("NEW.{link}", link=link.organization),
        ),
    )
    create = compose(
        "CREATE TRIGGER {name} AFTER UPDATE ON {table} FOR EACH ROW"
        " WHEN (OLD.{link} IS NOT NULL AND NEW.{link} IS DISTINCT FROM OLD.{link})"
        " EXECUTE FUNCTION {function}()",
        name=FOLLOWED,
        table=model.at(link.table),
        link=link.organization,
        function=("emailai_migration", f"sync_follow_{number}"),
    )
    return Trigger(FOLLOWED, link.table, f"sync_follow_{number}", text_of(connection, body), create)


def _accounts(connection: Connection, model: Model) -> list[Trigger]:
    """Accounts that are members: a new one joins at the commit, unless its transaction did it itself."""
    late = [
        _late_link(connection, model, link, number)
        for number, link in enumerate(model.links)
        if link.owner_in
    ]
    body = compose(
        """
        #variable_conflict use_column
        <<sync>>
        DECLARE
            remembered text;
        BEGIN
            IF TG_OP = 'UPDATE' THEN
                {follow}
                {take_along}
            ELSE
                {join}
                {late}
            END IF;
            RETURN NULL;
        END
        """,
        follow=mailboxes.follow(model),
        take_along=_take_along(model),
        join=mailboxes.join_at_once(model),
        late=join(late, "\n"),
    )
    text = text_of(connection, body)
    table = model.accounts.table
    parts: dict[str, t.Any] = {"table": model.at(table), "owner": model.accounts.owner}
    inserted = compose(
        "CREATE CONSTRAINT TRIGGER {name} AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW WHEN (NEW.{owner} IS NOT NULL) EXECUTE FUNCTION emailai_migration.sync_accounts()",
        name=INSERTED,
        **parts,
    )
    moved = compose(
        "CREATE TRIGGER {name} AFTER UPDATE OF {owner} ON {table} FOR EACH ROW"
        " WHEN (NEW.{owner} IS DISTINCT FROM OLD.{owner}) EXECUTE FUNCTION emailai_migration.sync_accounts()",
        name=MOVED,
        **parts,
    )
    return [
        Trigger(INSERTED, table, "sync_accounts", text, inserted),
        Trigger(MOVED, table, "sync_accounts", text, moved),
    ]


def _take_along(model: Model) -> Composable:
    """What hangs on account NEW goes with its membership."""
    return following.follow(
        model, model.accounts, _was_of_rule(model, model.accounts), sql.link_of(model, model.accounts, "NEW")
    )


def _was_of_rule(model: Model, link: Link) -> following.Choice:
    """Whether the rule put something there for the user that OLD, a row of ``link``, belonged to."""
    user = sql.user_of(model, link, compose("OLD.{owner}", owner=link.owner))
    return lambda organization: sql.is_of_rule(model, user, organization)


def _premiums(connection: Connection, model: Model) -> Trigger:
    """A user who changes his premium: what his organization got from him goes, and the new one comes.

    The new release bills organizations itself, and may empty the users' column as it takes them over.
    """
    sharing = premiums.sharing_of(model)
    table = model.at(model.users.table)
    body = compose(
        """
        BEGIN
            IF starts_with(current_setting('application_name', true), {mark}) THEN
                RETURN NULL;
            END IF;
            {take}
            {give}
            RETURN NULL;
        END
        """,
        mark=value(model.release_mark),
        take=premiums.take(model),
        give=premiums.give(model),
    )
    create = compose(
        "CREATE TRIGGER {name} AFTER UPDATE OF {has} ON {table} FOR EACH ROW"
        " WHEN (NEW.{has} IS DISTINCT FROM OLD.{has}) EXECUTE FUNCTION emailai_migration.sync_premiums()",
        name=PREMIUMS,
        has=sharing.user,
        table=table,
    )
    return Trigger(PREMIUMS, model.users.table, "sync_premiums", text_of(connection, body), create)


def _reverse(connection: Connection, model: Model) -> list[Trigger]:
    """What the new release writes, for the old one."""
    if not model.reverse:
        return []
    links = [link for link in model.links if link.name in model.reverse]
    found = []
    for link in links:
        found += _reversed(connection, model, link)
    if model.sharing and premiums.NAME in model.reverse:
        found += _billed(connection, model)
    member = model.members
    body = compose(
        "BEGIN {statements} RETURN NULL; END", statements=join(reverse.hand_over(model, links), "\n")
    )
    create = compose(
        "CREATE CONSTRAINT TRIGGER {name} AFTER UPDATE OF {role} ON {table} DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW WHEN (OLD.{role}::text = {owner} AND NEW.{role}::text <> {owner})"
        " EXECUTE FUNCTION emailai_migration.sync_handed()",
        name=HANDED,
        role=member.role,
        table=model.at(member.table),
        owner=value(model.roles.owner),
    )
    return [*found, Trigger(HANDED, member.table, "sync_handed", text_of(connection, body), create)]


def _reversed(connection: Connection, model: Model, link: Link) -> list[Trigger]:
    text = text_of(connection, reverse.own(model, link))
    function = f"sync_owned_{link.name}"
    parts: dict[str, t.Any] = {
        "table": model.at(link.table),
        "owner": link.owner,
        "link": link.organization,
        "function": ("emailai_migration", function),
    }
    inserted = compose(
        "CREATE TRIGGER {name} BEFORE INSERT ON {table} FOR EACH ROW"
        " WHEN (NEW.{link} IS NOT NULL AND NEW.{owner} IS NULL) EXECUTE FUNCTION {function}()",
        name=OWNED,
        **parts,
    )
    # That a row gets its first organization is our pass, or the new release taking over what is owned.
    updated = compose(
        "CREATE TRIGGER {name} BEFORE UPDATE OF {link} ON {table} FOR EACH ROW"
        " WHEN (NEW.{link} IS NOT NULL AND NEW.{link} IS DISTINCT FROM OLD.{link}"
        " AND NEW.{owner} IS NOT DISTINCT FROM OLD.{owner}"
        " AND (NEW.{owner} IS NULL OR OLD.{link} IS NOT NULL)) EXECUTE FUNCTION {function}()",
        name=REOWNED,
        **parts,
    )
    return [
        Trigger(OWNED, link.table, function, text, inserted),
        Trigger(REOWNED, link.table, function, text, updated),
    ]


def _billed(connection: Connection, model: Model) -> list[Trigger]:
    text = text_of(connection, reverse.bill(model))
    table = model.organizations.table
    parts: dict[str, t.Any] = {
        "table": model.at(table),
        "gets": premiums.sharing_of(model).organization,
    }
    given = compose(
        "CREATE TRIGGER {name} AFTER INSERT ON {table} FOR EACH ROW WHEN (NEW.{gets} IS NOT NULL)"
        " EXECUTE FUNCTION emailai_migration.sync_billed()",
        name=BILLED,
        **parts,
    )
    changed = compose(
        "CREATE TRIGGER {name} AFTER UPDATE OF {gets} ON {table} FOR EACH ROW"
        " WHEN (NEW.{gets} IS DISTINCT FROM OLD.{gets}) EXECUTE FUNCTION emailai_migration.sync_billed()",
        name=REBILLED,
        **parts,
    )
    return [
        Trigger(BILLED, table, "sync_billed", text, given),
        Trigger(REBILLED, table, "sync_billed", text, changed),
    ]


def key_type(connection: Connection, model: Model, link: Link) -> str:
    found = rows(
        connection,
        compose(
            "SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a JOIN pg_class c ON"
            " c.oid = a.attrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = {schema} AND c.relname = {table} AND a.attname = {id}",
            schema=value(model.schema),
            table=value(link.table),
            id=value(link.id),
        ),
    )
    return str(found[0][0])


def state(connection: Connection, model: Model) -> dict[tuple[str, str], str]:
    """(table, trigger) → on, off, stale or absent. Reads only."""
    found = {
        (table, name): (enabled, body)
        for table, name, enabled, body in rows(
            connection,
            compose(
                "SELECT c.relname, t.tgname, t.tgenabled IN ('O', 'A'), p.prosrc FROM pg_trigger t"
                " JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
                " JOIN pg_proc p ON p.oid = t.tgfoid WHERE n.nspname = {schema} AND NOT t.tgisinternal"
                " AND starts_with(t.tgname, 'emailai_migration_')",
                schema=value(model.schema),
            ),
        )
    }
    return {
        (wanted.table, wanted.name): _state_of(wanted, found.get((wanted.table, wanted.name)))
        for wanted in triggers(connection, model)
    }


def _state_of(wanted: Trigger, found: tuple[bool, str] | None) -> str:
    if found is None:
        return "absent"
    is_enabled, body = found
    if not is_enabled:
        return "off"
    return "on" if _digest(body) == _digest(wanted.body) else "stale"


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def install(
    connection: Connection, target: Target, model: Model, patience: ddl.Patience, fence: t.Callable[[], None]
) -> list[str]:
    """Make what is absent, refresh what is stale, enable what is off; gives what was done.

    ``fence`` runs in the transaction of each change and fails if the work was taken over.
    """
    done = []
    standing = state(connection, model)
    functions: set[str] = set()
    connection.rollback()
    for trigger in triggers(connection, model):
        now = standing[trigger.table, trigger.name]
        if now == "on":
            continue
        statements = []
        if trigger.function not in functions:
            statements.append(_function(trigger.function, trigger.body))
            functions.add(trigger.function)
        if now == "absent":
            statements.append(trigger.create)
        elif now == "off":
            statements.append(_enable(model, trigger))
        ddl.change(
            connection, target, f"trigger {trigger.name} on {trigger.table}", statements, patience, fence
        )
        done.append(f"trigger {trigger.name} on {trigger.table}")
    return done


def _function(name: str, body: str) -> Composable:
    # SECURITY DEFINER: the application's role needs no right on the new tables
    # for its sign-ups to go on working. All look-ups are by key, so one plan
    # serves them; left to itself the server makes a new one for each sign-up.
    return compose(
        "CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
        " SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS {body}",
        name=("emailai_migration", name),
        body=value(body),
    )


def _enable(model: Model, trigger: Trigger) -> Composable:
    return compose(
        "ALTER TABLE {table} ENABLE TRIGGER {name}", table=model.at(trigger.table), name=trigger.name
    )


def release(connection: Connection, target: Target, model: Model, patience: ddl.Patience) -> None:
    """Let the standing triggers create and link nothing more, and free a row whose owner changes.

    Were they simply dropped, a row that changes hands before it is unlinked would keep the
    organization of its former owner, and nobody could tell that link from a deliberate one.
    Replacing a function locks no table.
    """
    standing = state(connection, model)
    connection.rollback()
    bodies = {"sync_users": "BEGIN RETURN NULL; END"}
    for number, link in enumerate(model.links):
        body = compose(
            """
            BEGIN
                IF TG_OP = 'UPDATE' THEN
                    IF {is_of_rule} THEN
                        NEW.{link} := NULL;
                    END IF;
                    {take_along}
                END IF;
                RETURN NEW;
            END
            """,
            link=link.organization,
            is_of_rule=_was_of_rule(model, link)(compose("NEW.{link}", link=link.organization)),
            # What was held when its turn came, while this row is free already.
            take_along=following.follow(model, link, _was_of_rule(model, link), raw("NULL")),
        )
        bodies[f"sync_link_{number}"] = text_of(connection, body)
    if model.has_member_accounts:
        body = compose(
            "BEGIN IF TG_OP = 'UPDATE' THEN {leave} {take_along} END IF; RETURN NULL; END",
            leave=mailboxes.leave(model),
            take_along=_take_along(model),
        )
        bodies["sync_accounts"] = text_of(connection, body)
    if model.sharing:
        body = compose("BEGIN {release} RETURN NULL; END", release=premiums.release(model))
        bodies["sync_premiums"] = text_of(connection, body)
    standing_functions = {
        trigger.function
        for trigger in triggers(connection, model)
        if standing[trigger.table, trigger.name] != "absent" and trigger.function in bodies
    }
    connection.rollback()
    for function in sorted(standing_functions):
        ddl.change(
            connection, target, f"function {function}", [_function(function, bodies[function])], patience
        )


def remove(connection: Connection, target: Target, model: Model, patience: ddl.Patience) -> list[str]:
    """Drop triggers and functions; gives what was dropped."""
    done = []
    standing = state(connection, model)
    connection.rollback()
    for trigger in triggers(connection, model):
        if standing[trigger.table, trigger.name] == "absent":
            continue
        drop = compose(
            "DROP TRIGGER IF EXISTS {name} ON {table}", name=trigger.name, table=model.at(trigger.table)
        )
        ddl.change(connection, target, f"trigger {trigger.name} on {trigger.table}", [drop], patience)
        done.append(f"trigger {trigger.name} on {trigger.table}")
    for function in sorted({trigger.function for trigger in triggers(connection, model)}):
        connection.rollback()
        drop = compose("DROP FUNCTION IF EXISTS {name}()", name=("emailai_migration", function))
        ddl.change(connection, target, f"function {function}", [drop], patience)
    return done
