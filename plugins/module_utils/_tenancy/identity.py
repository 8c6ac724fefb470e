# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one rule that names an organization: a pure function of its user or its team; nothing of the world.

It has two bodies, one in Python and one in SQL; a test holds them equal. The
id proves itself: its last eight characters are a digest of those before, so
an organization that we made is known even when its user is gone.
"""

from __future__ import annotations

import hashlib
import re
import typing as t

ORGANIZATION: t.Final = "org_"
# Of the users who share one premium, named after that; a prefix of its own, of the same length.
TEAM: t.Final = "team"
MEMBER: t.Final = "mem_"
SLUG_SIZE: t.Final = 50
SUFFIX: t.Final = 10
LONG_SUFFIX: t.Final = 24
NAME_SIZE: t.Final = 80
NAMELESS: t.Final = "My organization"

_SEED: t.Final = "emailai.migration"
# Latin letters with a mark, and what is left of them in a slug.
_MARKED: t.Final = "àáâãäåçèéêëìíîïñòóôõöùúûüýÿÀÁÂÃÄÅÇÈÉÊËÌÍÎÏÑÒÓÔÕÖÙÚÛÜÝ"
_PLAIN: t.Final = "aaaaaaceeeeiiiinooooouuuuyyAAAAAACEEEEIIIINOOOOOUUUUY"


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _proven(user_id: str) -> str:
    digest = _md5(user_id)[:24]
    return digest + _md5(_SEED + digest)[:8]


def organization_id(user_id: str) -> str:
    return ORGANIZATION + _proven(user_id)


def team_id(premium_id: str) -> str:
    return TEAM + _proven(premium_id)


def member_id(user_id: str) -> str:
    return MEMBER + _proven(user_id)


def is_ours(identifier: str) -> bool:
    """Whether an organization's id was made by the rule."""
    digest, check = identifier[4:28], identifier[28:]
    has_prefix = identifier.startswith((ORGANIZATION, TEAM))
    return has_prefix and len(digest) == 24 and check == _md5(_SEED + digest)[:8]


def slug(user_id: str, name: str | None, email: str | None, suffix: int = SUFFIX) -> str:
    """Readable part, hyphen, digest of the user's id: distinct without looking, and never a reserved word."""
    readable = name if name and name.strip(" ") else (email or "").split("@")[0]
    plain = readable.translate(str.maketrans(_MARKED, _PLAIN))
    words = re.sub(r"[^a-zA-Z0-9]+", "-", plain).lower().strip("-")
    stem = words[: SLUG_SIZE - suffix - 1].strip("-") or "organization"
    return f"{stem}-{_md5(user_id)[:suffix]}"


def organization_name(name: str | None, email: str | None) -> str:
    readable = (name or "").strip(" ") or (email or "").split("@")[0]
    return f"{readable[:NAME_SIZE]}'s organization" if readable else NAMELESS


def _proven_sql(user: str) -> str:
    digest = f"substr(md5(({user})::text), 1, 24)"
    return f"{digest} || substr(md5('{_SEED}' || {digest}), 1, 8)"


def organization_id_sql(user: str) -> str:
    """``user`` is SQL for the user's id; so are the arguments of the functions below."""
    return f"('{ORGANIZATION}' || {_proven_sql(user)})"


def team_id_sql(premium: str) -> str:
    return f"('{TEAM}' || {_proven_sql(premium)})"


def member_id_sql(user: str) -> str:
    return f"('{MEMBER}' || {_proven_sql(user)})"


def is_ours_sql(identifier: str) -> str:
    return (
        f"(length({identifier}) = 36 AND left({identifier}, 4) IN ('{ORGANIZATION}', '{TEAM}')"
        f" AND right({identifier}, 8) = substr(md5('{_SEED}' || substr({identifier}, 5, 24)), 1, 8))"
    )


def slug_sql(user: str, name: str, email: str, suffix: int = SUFFIX) -> str:
    readable = f"coalesce(nullif(btrim({name}), ''), split_part({email}, '@', 1), '')"
    # Letters with a mark take more than one byte; to look for them costs more than all the rest.
    marked = f"translate({readable}, '{_MARKED}', '{_PLAIN}')"
    plain = f"CASE WHEN octet_length({readable}) = length({readable}) THEN {readable} ELSE {marked} END"
    words = f"""btrim(lower(regexp_replace({plain}, '[^a-zA-Z0-9]+', '-', 'g') COLLATE "C"), '-')"""
    stem = f"coalesce(nullif(btrim(left({words}, {SLUG_SIZE - suffix - 1}), '-'), ''), 'organization')"
    return f"({stem} || '-' || substr(md5(({user})::text), 1, {suffix}))"


def organization_name_sql(name: str, email: str) -> str:
    readable = f"coalesce(nullif(btrim({name}), ''), split_part({email}, '@', 1), '')"
    titled = f"left({readable}, {NAME_SIZE}) || '''s organization'"
    return f"(CASE WHEN {readable} = '' THEN '{NAMELESS}' ELSE {titled} END)"
