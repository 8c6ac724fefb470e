# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an image is named: repository, tag, digest. Only a digest lasts. Touches nothing."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

# Host and port, then folders in small letters. A tag or a digest behind it would be a second opinion.
_REPOSITORY: t.Final = re.compile(r"(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*", re.ASCII)
_TAG: t.Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_DIGEST: t.Final = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


def check(image: str, name: str, digest: str) -> None:
    """Refuse what the engine would understand otherwise, or as an option."""
    if not _REPOSITORY.fullmatch(image):
        raise MigrationError(
            "use", f"image {image!r}", "it is not a repository", "Name it without tag and digest"
        )
    if not _TAG.fullmatch(name):
        raise MigrationError("use", f"release {name!r}", "an image cannot have it as a tag")
    if digest and not _DIGEST.fullmatch(digest):
        raise MigrationError("use", f"digest {digest!r}", "it is not sha256: and 64 hexadecimal digits")


def tagged(image: str, tag: str) -> str:
    return f"{image}:{tag}"


def pinned(image: str, digest: str) -> str:
    return f"{image}@{digest}"


def digest_of(reference: str) -> str:
    """The digest of a reference, '' without one."""
    return reference.partition("@")[2]


def repository_of(reference: str) -> str:
    """What stands before the digest."""
    return reference.partition("@")[0]


def is_pinned(reference: str) -> bool:
    return bool(_DIGEST.fullmatch(digest_of(reference)))


def preferred(references: t.Iterable[str], image: str) -> str:
    """Of the digests an image is known by, the one of this repository; else the first; '' of none."""
    known = list(references)
    return next((each for each in known if repository_of(each) == image), known[0] if known else "")
