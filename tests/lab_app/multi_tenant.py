# SPDX-License-Identifier: GPL-3.0-or-later
"""What the new release does besides: organizations, members, roles, seats."""

from __future__ import annotations

import re
import secrets
import time
import typing as t

import psycopg2.errors

from lab_app.database import new_id, now
from lab_app.http import Answer, Request, Response
from lab_app.single_tenant import SingleTenant, need, one

_MANAGERS = ("OWNER", "ADMIN")


class MultiTenant(SingleTenant):
    """Release v2: everything of v1, and it keeps the organization links itself."""

    # -- sign-up, in the three ways that real releases do it ------------------

    def signup(self, request: Request) -> Response:
        (address,) = need(request.body, "email")
        name, mode = request.body.get("name"), request.body.get("mode", "single")
        ways = {"single": self._in_one, "two_transactions": self._in_two, "invitation": self._by_invitation}
        if mode not in ways:
            raise Answer(400, "mode is single, two_transactions or invitation")
        key, organization = ways[mode](address, name, request.body)
        return Response(201, {"id": key, "email": address, "organizationId": organization})

    def _in_one(self, address: str, name: t.Optional[str], _body: dict[str, t.Any]) -> tuple[str, str]:
        with self.pool.transaction() as cursor:
            key = self.insert_user(cursor, address, name)
            return key, self._make_organization(cursor, key, name or address)

    def _in_two(self, address: str, name: t.Optional[str], body: dict[str, t.Any]) -> tuple[str, str]:
        with self.pool.transaction() as cursor:
            key = self.insert_user(cursor, address, name)
        time.sleep(min(int(body.get("delay_ms", 0)), 5000) / 1000)
        with self.pool.transaction() as cursor:
            return key, self._make_organization(cursor, key, name or address)

    def _by_invitation(self, address: str, name: t.Optional[str], body: dict[str, t.Any]) -> tuple[str, str]:
        (organization,) = need(body, "organizationId")
        with self.pool.transaction() as cursor:
            self._take_seat(cursor, organization)
            key = self.insert_user(cursor, address, name)
            self._add_member(cursor, key, organization, body.get("role", "MEMBER"))
            self._count_seats(cursor, organization)
        return key, organization

    def _make_organization(self, cursor: t.Any, user: str, name: str) -> str:
        key = new_id()
        slug = f"{re.sub('[^a-z0-9]+', '-', name.lower())[:40].strip('-') or 'team'}-{secrets.token_hex(4)}"
        cursor.execute(
            'INSERT INTO public."Organization" (id, name, slug, "updatedAt") VALUES (%s, %s, %s, %s)',
            (key, name[:200], slug, now()),
        )
        self._add_member(cursor, user, key, "OWNER")
        return key

    def _add_member(self, cursor: t.Any, user: str, organization: str, role: str) -> None:
        try:
            self.insert(
                cursor,
                'INSERT INTO public."OrganizationMember" (id, "userId", "organizationId", role, "updatedAt")'
                ' VALUES (%s, %s, %s, %s::public."OrganizationRole", %s)',
                (new_id(), user, organization, role, now()),
            )
        except psycopg2.errors.InvalidTextRepresentation:
            raise Answer(400, "no such role") from None

    # -- the functions of v1, with the link -----------------------------------

    def login(self, request: Request) -> Response:
        response = super().login(request)
        with self.pool.transaction() as cursor:
            organization = self._organization_of(cursor, response.content["userId"])
            response.content["organizationId"] = organization
            response.content["redirect"] = f"/organizations/{organization}"
            cursor.execute('SELECT name FROM public."Organization" WHERE id = %s', (organization,))
            row = cursor.fetchone()
            response.content["organizationName"] = row["name"] if row else None
        return response

    @staticmethod
    def _organization_of(cursor: t.Any, user: str) -> t.Optional[str]:
        """The organization a user works in: the one he joined first."""
        cursor.execute(
            'SELECT "organizationId" FROM public."OrganizationMember" WHERE "userId" = %s'
            ' ORDER BY "createdAt", id LIMIT 1',
            (user,),
        )
        row = cursor.fetchone()
        return row["organizationId"] if row else None

    def insert_account(self, cursor: t.Any, key: str, owner: str, address: str) -> None:
        self.insert(
            cursor,
            'INSERT INTO public."EmailAccount" (id, email, "userId", "organizationId", "updatedAt")'
            " VALUES (%s, %s, %s, %s, %s)",
            (key, address, owner, self._organization_of(cursor, owner), now()),
        )

    def move_account(self, cursor: t.Any, key: str, owner: str) -> None:
        query = (
            'UPDATE public."EmailAccount" SET "userId" = %s, "organizationId" = %s, "updatedAt" = %s'
            " WHERE id = %s RETURNING id"
        )
        try:
            one(cursor, query, (owner, self._organization_of(cursor, owner), now(), key), "account")
        except psycopg2.errors.ForeignKeyViolation:
            raise Answer(404, "no such owner") from None

    def upsert_premium(self, cursor: t.Any, owner: str, tier: str, seats: t.Optional[int]) -> tuple[str, int]:
        """The organization is what has the subscription; the old column is no longer written."""
        organization = self._organization_of(cursor, owner)
        if organization is None:
            return super().upsert_premium(cursor, owner, tier, seats)
        cursor.execute(
            'SELECT id FROM public."Premium" WHERE "organizationId" = %s ORDER BY id LIMIT 1', (organization,)
        )
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
            'INSERT INTO public."Premium" (id, "organizationId", tier, "usedSeats", "maxSeats", "updatedAt")'
            ' VALUES (%s, %s, %s::public."PremiumTier", 1, %s, %s)',
            (key, organization, tier, seats, now()),
        )
        self._count_seats(cursor, organization)
        return key, 201

    def subscription(self, request: Request, key: str) -> Response:
        with self.pool.transaction() as cursor:
            organization = self._organization_of(cursor, key)
            if organization is None:
                raise Answer(404, "no such subscription")
            return Response(200, self._premium(cursor, organization))

    def user_delete(self, request: Request, key: str) -> Response:
        with self.pool.transaction() as cursor:
            cursor.execute(
                'SELECT "organizationId" FROM public."OrganizationMember" WHERE "userId" = %s', (key,)
            )
            organizations = [row["organizationId"] for row in cursor.fetchall()]
            one(cursor, "DELETE FROM public.users WHERE id = %s RETURNING id", (key,), "user")
            for organization in organizations:
                self._count_seats(cursor, organization)
        return Response(200, {"id": key})

    # -- organizations --------------------------------------------------------

    def organization_page(self, request: Request, key: str) -> Response:
        self._role(request, key)
        with self.pool.transaction() as cursor:
            query = 'SELECT id, name, slug FROM public."Organization" WHERE id = %s'
            organization = one(cursor, query, (key,), "organization")
            if self.service.faults.is_wrong("organization_name"):
                organization["name"] = ""
            organization["members"] = self._members(cursor, key)
            cursor.execute(
                'SELECT id, email FROM public."EmailAccount" WHERE "organizationId" = %s ORDER BY id', (key,)
            )
            organization["accounts"] = [dict(row) for row in cursor.fetchall()]
        return Response(200, organization)

    def member_list(self, request: Request, key: str) -> Response:
        self._role(request, key)
        with self.pool.transaction() as cursor:
            return Response(200, {"members": self._members(cursor, key)})

    @staticmethod
    def _members(cursor: t.Any, organization: str) -> list[dict[str, t.Any]]:
        cursor.execute(
            'SELECT m."userId", u.email, m.role::text AS role FROM public."OrganizationMember" m'
            ' JOIN public.users u ON u.id = m."userId" WHERE m."organizationId" = %s'
            ' ORDER BY m."createdAt", m.id',
            (organization,),
        )
        return [dict(row) for row in cursor.fetchall()]

    def member_invite(self, request: Request, key: str) -> Response:
        """Make a user a member; a person without user gets one."""
        self._manage(request, key)
        (address,) = need(request.body, "email")
        role = request.body.get("role", "MEMBER")
        with self.pool.transaction() as cursor:
            self._take_seat(cursor, key)
            cursor.execute("SELECT id FROM public.users WHERE email = %s", (address,))
            row = cursor.fetchone()
            user = row["id"] if row else self.insert_user(cursor, address, request.body.get("name"))
            self._add_member(cursor, user, key, role)
            self._count_seats(cursor, key)
        return Response(201, {"userId": user, "organizationId": key, "role": role})

    def member_remove(self, request: Request, key: str, user: str) -> Response:
        self._manage(request, key)
        query = (
            'DELETE FROM public."OrganizationMember" WHERE "organizationId" = %s AND "userId" = %s'
            " AND role <> 'OWNER' RETURNING id"
        )
        with self.pool.transaction() as cursor:
            one(cursor, query, (key, user), "member")
            self._count_seats(cursor, key)
        return Response(200, {"userId": user})

    def account_transfer(self, request: Request) -> Response:
        """Hand an account of one's organization to another of its members."""
        account, user = need(request.body, "id", "userId")
        with self.pool.transaction() as cursor:
            query = 'SELECT "organizationId" FROM public."EmailAccount" WHERE id = %s'
            organization = one(cursor, query, (account,), "account")["organizationId"]
        self._manage(request, organization)
        with self.pool.transaction() as cursor:
            query = 'SELECT id FROM public."OrganizationMember" WHERE "organizationId" = %s AND "userId" = %s'
            one(cursor, query, (organization, user), "member")
            cursor.execute(
                'UPDATE public."EmailAccount" SET "userId" = %s, "organizationId" = %s, "updatedAt" = %s'
                " WHERE id = %s",
                (user, organization, now(), account),
            )
        return Response(200, {"id": account, "userId": user})

    def billing_view(self, request: Request, key: str) -> Response:
        """Tier and seats, for those who manage the organization."""
        self._manage(request, key)
        with self.pool.transaction() as cursor:
            return Response(200, self._premium(cursor, key))

    # -- roles and seats ------------------------------------------------------

    def _role(self, request: Request, organization: t.Optional[str]) -> str:
        user = self.acting_user(request)
        with self.pool.transaction() as cursor:
            cursor.execute(
                'SELECT role::text AS role FROM public."OrganizationMember"'
                ' WHERE "organizationId" = %s AND "userId" = %s',
                (organization, user),
            )
            row = cursor.fetchone()
        if row is None:
            raise Answer(403, "you are not a member")
        return str(row["role"])

    def _manage(self, request: Request, organization: t.Optional[str]) -> None:
        if self._role(request, organization) not in _MANAGERS and not self.service.faults.is_wrong("roles"):
            raise Answer(403, "your role does not allow this")

    @staticmethod
    def _premium(cursor: t.Any, organization: str) -> dict[str, t.Any]:
        query = (
            'SELECT p.id, p.tier::text AS tier, p."usedSeats", p."maxSeats", (SELECT count(*) FROM'
            ' public."OrganizationMember" m WHERE m."organizationId" = p."organizationId") AS members'
            ' FROM public."Premium" p WHERE p."organizationId" = %s ORDER BY p.id LIMIT 1'
        )
        return one(cursor, query, (organization,), "subscription")

    def _take_seat(self, cursor: t.Any, organization: str) -> None:
        """Lock the organization against a second invitation and refuse when it is full."""
        query = 'SELECT id FROM public."Organization" WHERE id = %s FOR NO KEY UPDATE'
        one(cursor, query, (organization,), "organization")
        cursor.execute(
            'SELECT min("maxSeats") AS seats FROM public."Premium" WHERE "organizationId" = %s',
            (organization,),
        )
        limit = cursor.fetchone()["seats"]
        members = len(self._members(cursor, organization))
        if limit is not None and members >= limit and not self.service.faults.is_wrong("seat_limit"):
            raise Answer(402, f"all {limit} seats are taken")

    def _count_seats(self, cursor: t.Any, organization: str) -> None:
        if self.service.faults.is_wrong("seat_count"):
            return
        cursor.execute(
            'UPDATE public."Premium" SET "updatedAt" = %s, "usedSeats" = (SELECT count(*) FROM'
            ' public."OrganizationMember" WHERE "organizationId" = %s) WHERE "organizationId" = %s',
            (now(), organization, organization),
        )
