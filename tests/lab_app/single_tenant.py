# SPDX-License-Identifier: GPL-3.0-or-later
"""What the old release does: users, accounts, premiums, mail, rules. It knows no organizations."""

from __future__ import annotations

import secrets
import time
import typing as t
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote

import psycopg2.errors

from lab_app import mailbox
from lab_app.database import new_id, now
from lab_app.http import Answer, Request, Response

if t.TYPE_CHECKING:
    from lab_app.service import Service

_SESSION_DAYS = 30


def need(body: t.Mapping[str, t.Any], *names: str) -> list[t.Any]:
    """The named fields, or an answer 400 that names the missing one."""
    for name in names:
        if body.get(name) in (None, ""):
            raise Answer(400, f"{name} is missing")
    return [body[name] for name in names]


def one(cursor: t.Any, query: str, values: t.Sequence[t.Any], what: str) -> dict[str, t.Any]:
    """The one row of a query, or an answer 404."""
    cursor.execute(query, values)
    row = cursor.fetchone()
    if row is None:
        raise Answer(404, f"no such {what}")
    return dict(row)


class SingleTenant:
    """The functions of release v1; each is named in the routes and can be broken by that name."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.pool = service.pool

    # -- users --------------------------------------------------------------

    def signup(self, request: Request) -> Response:
        address, name = need(request.body, "email")[0], request.body.get("name")
        with self.pool.transaction() as cursor:
            key = self.insert_user(cursor, address, name)
        return Response(201, {"id": key, "email": address})

    @staticmethod
    def insert_user(cursor: t.Any, address: str, name: t.Optional[str]) -> str:
        key = new_id()
        try:
            cursor.execute(
                'INSERT INTO public.users (id, email, name, "updatedAt") VALUES (%s, %s, %s, %s)',
                (key, address, name, now()),
            )
        except psycopg2.errors.UniqueViolation:
            raise Answer(409, "this address is taken") from None
        return key

    def login(self, request: Request) -> Response:
        (address,) = need(request.body, "email")
        with self.pool.transaction() as cursor:
            cursor.execute("SELECT id, email, name FROM public.users WHERE email = %s", (address,))
            user = cursor.fetchone()
            if user is None:
                self.service.note_failed_login()
                raise Answer(401, "unknown address")
            token = secrets.token_urlsafe(24)
            cursor.execute(
                'INSERT INTO public."Session" (id, "sessionToken", "userId", expires, "updatedAt")'
                " VALUES (%s, %s, %s, %s, %s)",
                (new_id(), token, user["id"], now() + timedelta(days=_SESSION_DAYS), now()),
            )
        return Response(200, {"token": token, "userId": user["id"], "redirect": "/mail"})

    def logout(self, request: Request) -> Response:
        self.acting_user(request)
        token = request.headers["authorization"].partition(" ")[2]
        with self.pool.transaction() as cursor:
            cursor.execute('DELETE FROM public."Session" WHERE "sessionToken" = %s', (token,))
        return Response(200)

    def user_page(self, request: Request, key: str) -> Response:
        with self.pool.transaction() as cursor:
            user = one(cursor, "SELECT id, email, name FROM public.users WHERE id = %s", (key,), "user")
            cursor.execute(
                'SELECT id, email FROM public."EmailAccount" WHERE "userId" = %s ORDER BY id', (key,)
            )
            user["accounts"] = [dict(row) for row in cursor.fetchall()]
        return Response(200, user)

    def user_delete(self, request: Request, key: str) -> Response:
        with self.pool.transaction() as cursor:
            one(cursor, "DELETE FROM public.users WHERE id = %s RETURNING id", (key,), "user")
        return Response(200, {"id": key})

    # -- accounts -----------------------------------------------------------

    def account_add(self, request: Request) -> Response:
        owner, address = need(request.body, "userId", "email")
        key = new_id()
        with self.pool.transaction() as cursor:
            self.insert_account(cursor, key, owner, address)
        return Response(201, {"id": key, "userId": owner})

    def insert_account(self, cursor: t.Any, key: str, owner: str, address: str) -> None:
        self.insert(
            cursor,
            'INSERT INTO public."EmailAccount" (id, email, "userId", "updatedAt") VALUES (%s, %s, %s, %s)',
            (key, address, owner, now()),
        )

    @staticmethod
    def insert(cursor: t.Any, query: str, values: t.Sequence[t.Any]) -> None:
        """INSERT with the two refusals a client can cause."""
        try:
            cursor.execute(query, values)
        except psycopg2.errors.ForeignKeyViolation:
            raise Answer(404, "no such owner") from None
        except psycopg2.errors.UniqueViolation:
            raise Answer(409, "exists already") from None

    def account_page(self, request: Request, key: str) -> Response:
        with self.pool.transaction() as cursor:
            query = 'SELECT id, email, "userId" FROM public."EmailAccount" WHERE id = %s'
            return Response(200, one(cursor, query, (key,), "account"))

    def account_list(self, request: Request) -> Response:
        (owner,) = need(request.query, "userId")
        with self.pool.transaction() as cursor:
            cursor.execute(
                'SELECT id, email FROM public."EmailAccount" WHERE "userId" = %s ORDER BY id', (owner,)
            )
            return Response(200, {"accounts": [dict(row) for row in cursor.fetchall()]})

    def account_switch(self, request: Request) -> Response:
        """Make another of one's accounts the active one."""
        user = self.acting_user(request)
        (key,) = need(request.body, "id")
        with self.pool.transaction() as cursor:
            query = 'SELECT id, email FROM public."EmailAccount" WHERE id = %s AND "userId" = %s'
            return Response(200, {"active": one(cursor, query, (key, user), "account of yours")})

    def account_relink(self, request: Request) -> Response:
        """Move an account to another user."""
        key, owner = need(request.body, "id", "userId")
        with self.pool.transaction() as cursor:
            self.move_account(cursor, key, owner)
        return Response(200, {"id": key, "userId": owner})

    def move_account(self, cursor: t.Any, key: str, owner: str) -> None:
        query = 'UPDATE public."EmailAccount" SET "userId" = %s, "updatedAt" = %s WHERE id = %s RETURNING id'
        try:
            one(cursor, query, (owner, now(), key), "account")
        except psycopg2.errors.ForeignKeyViolation:
            raise Answer(404, "no such owner") from None

    def account_delete(self, request: Request, key: str) -> Response:
        with self.pool.transaction() as cursor:
            one(cursor, 'DELETE FROM public."EmailAccount" WHERE id = %s RETURNING id', (key,), "account")
        return Response(200, {"id": key})

    # -- billing ------------------------------------------------------------

    def premium_buy(self, request: Request) -> Response:
        """Buy a subscription, or change the tier of the one there is."""
        owner, tier = need(request.body, "userId", "tier")
        with self.pool.transaction() as cursor:
            one(cursor, "SELECT id FROM public.users WHERE id = %s FOR KEY SHARE", (owner,), "user")
            key, status = self.upsert_premium(cursor, owner, tier, request.body.get("maxSeats", 5))
        return Response(status, {"id": key, "userId": owner, "tier": tier})

    def upsert_premium(self, cursor: t.Any, owner: str, tier: str, seats: t.Optional[int]) -> tuple[str, int]:
        cursor.execute('SELECT id FROM public."Premium" WHERE "userId" = %s ORDER BY id LIMIT 1', (owner,))
        row = cursor.fetchone()
        if row is not None:
            query = (
                'UPDATE public."Premium" SET tier = %s::public."PremiumTier", "updatedAt" = %s WHERE id = %s'
            )
            cursor.execute(query, (tier, now(), row["id"]))
            return str(row["id"]), 200
        key = new_id()
        self.insert(
            cursor,
            'INSERT INTO public."Premium" (id, "userId", tier, "usedSeats", "maxSeats", "updatedAt")'
            ' VALUES (%s, %s, %s::public."PremiumTier", 1, %s, %s)',
            (key, owner, tier, seats, now()),
        )
        return key, 201

    def subscription(self, request: Request, key: str) -> Response:
        """A user's subscription: tier and seats."""
        with self.pool.transaction() as cursor:
            query = (
                'SELECT id, tier::text AS tier, "usedSeats", "maxSeats" FROM public."Premium"'
                ' WHERE "userId" = %s ORDER BY id LIMIT 1'
            )
            return Response(200, one(cursor, query, (key,), "subscription"))

    # -- mail ---------------------------------------------------------------

    def mail_send(self, request: Request) -> Response:
        account, to, subject = need(request.body, "accountId", "to", "subject")
        sender = self._address(account)
        host, port = self.service.settings["MAIL_HOST"], int(self.service.settings["MAIL_PORT"])
        key = mailbox.send(host, port, sender, to, subject, request.body.get("text", ""))
        return Response(201, {"messageId": key})

    def mail_read(self, request: Request) -> Response:
        (account,) = need(request.query, "accountId")
        folder = Path(self.service.settings["MAIL_FOLDER"])
        return Response(200, {"messages": mailbox.read(folder, self._address(account))})

    def mail_delete(self, request: Request, key: str) -> Response:
        self.acting_user(request)
        if not mailbox.delete(Path(self.service.settings["MAIL_FOLDER"]), unquote(key)):
            raise Answer(404, "no such message")
        return Response(200, {"messageId": unquote(key)})

    def _address(self, account: str) -> str:
        with self.pool.transaction() as cursor:
            query = 'SELECT email FROM public."EmailAccount" WHERE id = %s'
            return str(one(cursor, query, (account,), "account")["email"])

    # -- rules --------------------------------------------------------------

    def rule_list(self, request: Request) -> Response:
        (account,) = need(request.query, "emailAccountId")
        return Response(200, {"rules": self._rules(account)})

    def _rules(self, account: str) -> list[dict[str, t.Any]]:
        with self.pool.transaction() as cursor:
            cursor.execute(
                'SELECT id, name, instructions, enabled FROM public."Rule"'
                ' WHERE "emailAccountId" = %s ORDER BY id',
                (account,),
            )
            return [dict(row) for row in cursor.fetchall()]

    def rule_add(self, request: Request) -> Response:
        account, name, text = need(request.body, "emailAccountId", "name", "instructions")
        key = new_id()
        with self.pool.transaction() as cursor:
            self.insert(
                cursor,
                'INSERT INTO public."Rule" (id, name, instructions, "emailAccountId", "updatedAt")'
                " VALUES (%s, %s, %s, %s, %s)",
                (key, name, text, account, now()),
            )
        return Response(201, {"id": key})

    def rule_delete(self, request: Request, key: str) -> Response:
        with self.pool.transaction() as cursor:
            one(cursor, 'DELETE FROM public."Rule" WHERE id = %s RETURNING id', (key,), "rule")
        return Response(200, {"id": key})

    def rule_execute(self, request: Request) -> Response:
        """Apply an account's enabled rules to a subject: a rule matches by its word in quotes."""
        account, subject = need(request.body, "emailAccountId", "subject")
        rules = [] if self.service.faults.is_wrong("rules") else self._rules(account)
        matched = [
            rule["name"] for rule in rules if rule["enabled"] and _matches(rule["instructions"], subject)
        ]
        return Response(200, {"matched": matched})

    # -- the service itself -------------------------------------------------

    def acting_user(self, request: Request) -> str:
        """Who is asking: the owner of the session whose token came along."""
        scheme, _space, token = request.headers.get("authorization", "").partition(" ")
        with self.pool.transaction() as cursor:
            cursor.execute('SELECT "userId" FROM public."Session" WHERE "sessionToken" = %s', (token,))
            row = cursor.fetchone()
        if scheme != "Bearer" or row is None:
            raise Answer(401, "log in first")
        return str(row["userId"])

    def slow(self, request: Request) -> Response:
        """An honest slow request, such as a report: at most ten seconds."""
        milliseconds = min(int(request.query.get("ms", "800")), 10_000)
        time.sleep(milliseconds / 1000)
        return Response(200, {"slept_ms": milliseconds})

    def metrics(self, request: Request) -> Response:
        return Response(200, self.service.metrics())

    def health(self, request: Request) -> Response:
        if self.service.is_cold():
            raise Answer(503, "starting")
        with self.pool.transaction() as cursor:
            cursor.execute("SELECT 1 AS one")
        version = "unknown" if self.service.faults.is_wrong("version") else self.service.version
        return Response(200, {"status": "ok", "version": version})


def _matches(instructions: str, subject: str) -> bool:
    parts = instructions.split("'")
    return len(parts) >= 3 and parts[1].lower() in subject.lower()
