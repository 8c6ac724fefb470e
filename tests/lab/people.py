# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab's users do next: each crowd owns its users, so that no two crowds contradict each other."""

from __future__ import annotations

import random
import typing as t
from dataclasses import dataclass, field

from lab.expectation import State

_SEEDED_DELETES = 2
_SLOW_MS = 800
_TIERS = ("BASIC_MONTHLY", "PRO_MONTHLY", "BUSINESS_MONTHLY")

# What is asked, per 1,000 requests; the first block is the 80 % that only read.
_MIX = {
    "user_page": 344,
    "account_list": 240,
    "account_page": 160,
    "rule_list": 54,
    # Few, for one among twenty makes the 95th percentile of a short window.
    "slow": 2,
    "signup": 50,
    "account_add": 60,
    "account_relink": 30,
    "account_delete": 16,
    "user_delete": 14,
    "premium_buy": 12,
    "rule_add": 8,
    "login": 10,
}
_WRITES = (
    "signup",
    "account_add",
    "account_relink",
    "account_delete",
    "user_delete",
    "premium_buy",
    "rule_add",
)


@dataclass
class Deed:
    """One request to make. ``ids`` is what it is about."""

    op: str
    method: str
    path: str
    body: t.Optional[dict[str, t.Any]] = None
    expected: tuple[int, ...] = (200,)
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def is_write(self) -> bool:
        return self.op in _WRITES


class Crowd:
    """The users of one connection: some of the seed's, and those it signs up itself."""

    def __init__(self, number: int, count: int, state: State, addresses: dict[str, str], token: str) -> None:
        self.dice = random.Random(f"{token} {number}")
        self.name = f"{token}-{number}"
        self.users = sorted(state.users)[number::count]
        mine = set(self.users)
        self.accounts = {key: owner for key, owner in state.accounts.items() if owner in mine}
        self.made_accounts: list[str] = []
        # May be deleted: nobody's host or guest, and no subscription hangs on them.
        self.expendable: list[str] = []
        payers = set(state.premiums.values())
        self.seeded_spare = [key for key in self.users if key not in payers][:_SEEDED_DELETES]
        self.buyers: list[str] = []
        self.organizations: list[str] = []
        self.addresses = addresses
        self._count = 0

    def next(self) -> Deed:
        """A request that the present state allows."""
        while True:
            op = self.dice.choices(list(_MIX), list(_MIX.values()))[0]
            deed: t.Optional[Deed] = getattr(self, f"_{op}")()
            if deed is not None:
                return deed

    # -- what they ask ------------------------------------------------------

    def _user_page(self) -> Deed:
        return Deed("user_page", "GET", f"/api/users/{self._user()}")

    def _account_list(self) -> Deed:
        return Deed("account_list", "GET", f"/api/accounts?userId={self._user()}")

    def _account_page(self) -> t.Optional[Deed]:
        return (self.accounts and Deed("account_page", "GET", f"/api/accounts/{self._account()}")) or None

    def _rule_list(self) -> t.Optional[Deed]:
        return (
            self.accounts and Deed("rule_list", "GET", f"/api/rules?emailAccountId={self._account()}")
        ) or None

    def _slow(self) -> Deed:
        return Deed("slow", "GET", f"/api/slow?ms={_SLOW_MS}")

    def _login(self) -> t.Optional[Deed]:
        known = self.addresses.get(self._user())
        return Deed("login", "POST", "/api/login", {"email": known}) if known else None

    def _signup(self) -> Deed:
        address = self._new_address("user")
        body: dict[str, t.Any] = {"email": address, "name": f"Load {self.name} {self._count}"}
        # The old release ignores the mode; the new one signs up in three ways.
        mode = self.dice.choices(["single", "two_transactions", "invitation"], [7, 2, 1])[0]
        if mode == "invitation" and self.organizations:
            body.update(mode=mode, organizationId=self.dice.choice(self.organizations))
        elif mode == "two_transactions":
            body.update(mode=mode)
        return Deed("signup", "POST", "/api/signup", body, (201,), {"email": address})

    def _account_add(self) -> Deed:
        body = {"userId": self._user(), "email": self._new_address("box")}
        return Deed("account_add", "POST", "/api/accounts", body, (201,), {"userId": body["userId"]})

    def _account_relink(self) -> t.Optional[Deed]:
        if not self.accounts:
            return None
        body = {"id": self._account(), "userId": self._user()}
        return Deed("account_relink", "POST", "/api/accounts/relink", body, (200,), dict(body))

    def _account_delete(self) -> t.Optional[Deed]:
        if not self.made_accounts:
            return None
        key = self.dice.choice(self.made_accounts)
        return Deed("account_delete", "DELETE", f"/api/accounts/{key}", None, (200,), {"id": key})

    def _user_delete(self) -> t.Optional[Deed]:
        choice = self.expendable + self.seeded_spare
        if not choice:
            return None
        key = self.dice.choice(choice)
        return Deed("user_delete", "DELETE", f"/api/users/{key}", None, (200,), {"id": key})

    def _premium_buy(self) -> t.Optional[Deed]:
        if not self.buyers:
            return None
        body = {"userId": self.dice.choice(self.buyers), "tier": self.dice.choice(_TIERS)}
        return Deed("premium_buy", "POST", "/api/premium", body, (201,), {"userId": body["userId"]})

    def _rule_add(self) -> t.Optional[Deed]:
        if not self.accounts:
            return None
        self._count += 1
        body = {
            "emailAccountId": self._account(),
            "name": f"Load {self.name} {self._count}",
            "instructions": "Archive when the subject contains 'receipt'",
        }
        return Deed(
            "rule_add", "POST", "/api/rules", body, (201,), {"emailAccountId": body["emailAccountId"]}
        )

    # -- what they learn from the answer -------------------------------------

    def learn(self, deed: Deed, content: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """Remember an acknowledged write; returns its line for the log."""
        event: dict[str, t.Any] = {"op": deed.op, **deed.ids}
        if "id" in content:
            event["id"] = content["id"]
        getattr(self, f"_learn_{deed.op}", lambda *_: None)(event, deed, content)
        return event

    def _learn_signup(self, event: dict[str, t.Any], deed: Deed, content: t.Mapping[str, t.Any]) -> None:
        key, organization = event["id"], content.get("organizationId")
        self.users.append(key)
        self.addresses[key] = event["email"]
        was_invited = bool(deed.body and "organizationId" in deed.body)
        # Each made user plays one part for good: guest, host, buyer, or one who may go.
        if was_invited:
            return
        part = self.dice.random()
        if organization and part < 0.1:
            self.organizations.append(organization)
        elif part < 0.4:
            self.buyers.append(key)
        elif part >= 0.5:
            self.expendable.append(key)

    def _learn_account_add(self, event: dict[str, t.Any], *_rest: t.Any) -> None:
        self.accounts[event["id"]] = event["userId"]
        self.made_accounts.append(event["id"])

    def _learn_account_relink(self, event: dict[str, t.Any], *_rest: t.Any) -> None:
        self.accounts[event["id"]] = event["userId"]

    def _learn_account_delete(self, event: dict[str, t.Any], *_rest: t.Any) -> None:
        self.forget({event["id"]})

    def _learn_user_delete(self, event: dict[str, t.Any], *_rest: t.Any) -> None:
        self.forget({event["id"]})

    def _learn_premium_buy(self, event: dict[str, t.Any], *_rest: t.Any) -> None:
        self.buyers.remove(event["userId"])

    def forget(self, keys: t.Collection[str]) -> None:
        """Leave these alone from now on: they are gone, or nobody knows what became of them."""
        for group in (self.users, self.expendable, self.seeded_spare, self.buyers, self.made_accounts):
            group[:] = [key for key in group if key not in keys]
        lost = [key for key, owner in self.accounts.items() if key in keys or owner in keys]
        for key in lost:
            del self.accounts[key]
        self.made_accounts[:] = [key for key in self.made_accounts if key not in lost]

    # -- chance --------------------------------------------------------------

    def _user(self) -> str:
        return self.dice.choice(self.users)

    def _account(self) -> str:
        return self.dice.choice(list(self.accounts))

    def _new_address(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self.name}-{self._count}@load.example.com"
