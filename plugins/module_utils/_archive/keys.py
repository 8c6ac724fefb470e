# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys that close and open backups: age's own, read from the options, called by a fingerprint.

A key lives in memory only. What names it, in a manifest or in a sentence, is made from its public half.
"""

from __future__ import annotations

import hashlib
import hmac
import typing as t
from dataclasses import dataclass, field

try:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
except ImportError:
    X25519PrivateKey = None  # type: ignore[assignment,misc]

from ansible_collections.emailai.migration.plugins.module_utils._archive import manifest as manifests
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

Options = t.Mapping[str, t.Any]

KEY_OPTIONS: t.Final[dict[str, t.Any]] = {
    "age_keys": {"type": "list", "elements": "str", "no_log": True},
    "age_key_file": {"type": "path", "no_log": False},
}

_SECRET: t.Final = "age-secret-key-"
_PUBLIC: t.Final = "age"
_LETTERS: t.Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR: t.Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECK_LETTERS: t.Final = 6


@dataclass(frozen=True)
class Key:
    secret: bytes = field(repr=False)
    public: bytes

    @property
    def id(self) -> str:
        """What ``age-keygen -y FILE | tr -d '\\n' | sha256sum`` begins with."""
        return hashlib.sha256(encode(_PUBLIC, self.public).encode()).hexdigest()[:16]

    def sign(self, text: bytes) -> str:
        """Who has not got the key cannot make this, whatever he may write into the store."""
        purpose = hmac.new(self.secret, b"emailai.migration manifest", hashlib.sha256).digest()
        return hmac.new(purpose, text, hashlib.sha256).hexdigest()


def are_given(options: Options) -> bool:
    return bool(options.get("age_keys") or options.get("age_key_file"))


def keyring(options: Options) -> list[Key]:
    """Every key that is given; the first one closes, each of them opens."""
    if not are_given(options):
        return []
    if X25519PrivateKey is None:
        raise MigrationError(
            "use",
            "the keys of backups",
            "the Python library cryptography is missing on this host",
            "Install cryptography",
        )
    listed = [(f"key {n} of age_keys", text) for n, text in enumerate(options.get("age_keys") or [], 1)]
    return [_key(name, text.strip()) for name, text in [*listed, *_in_file(options.get("age_key_file"))]]


def first(options: Options) -> Key | None:
    """The key that closes new backups; none if they are to be open."""
    return next(iter(keyring(options)), None)


def for_backup(manifest: manifests.Manifest, options: Options) -> Key | None:
    """The key that opens this backup, none if it is open; raises before anything is made from it."""
    wanted, name = manifests.key_id(manifest), manifest["id"]
    if not wanted:
        return None
    given = keyring(options)
    key = next((key for key in given if key.id == wanted), None)
    if key is None:
        others = f"only {', '.join(key.id for key in given)}" if given else "none"
        raise MigrationError(
            "open",
            f"backup {name}",
            f"it is encrypted with key {wanted}, and {others} is given",
            "Add that key to age_keys or age_key_file of the store; without it nobody can read this backup",
        )
    if not manifests.is_signed(manifest, key.sign):
        raise MigrationError(
            "open",
            f"backup {name}",
            f"its manifest is not as the owner of key {wanted} wrote it",
            "Use another backup",
            kind="storage",
        )
    return key


def _in_file(path: str | None) -> list[tuple[str, str]]:
    if not path:
        return []
    cause = "it holds no key"
    lines: list[str] = []
    try:
        with open(path, encoding="utf-8") as handle:
            lines = [line.strip() for line in handle]
    except OSError as exc:
        cause = (exc.strerror or "it cannot be read").lower()
    except ValueError:
        cause = "it is not text"
    found = [(f"line {n} of {path}", line) for n, line in enumerate(lines, 1) if line and line[0] != "#"]
    if not found:
        raise MigrationError("use", f"key file {path}", cause, "Make one with age-keygen, or name another")
    return found


def _key(name: str, text: str) -> Key:
    """Errors name the place of a key, never a letter of it."""
    try:
        kind, secret = decode(text)
    except ValueError as exc:
        kind, secret, cause = "", b"", str(exc)
    else:
        cause = "it is the public half" if kind == _PUBLIC else "it is no key of age"
    if kind != _SECRET or len(secret) != 32:
        raise MigrationError(
            "use", name, cause, "Give the line of age-keygen that begins with AGE-SECRET-KEY-1"
        )
    public = X25519PrivateKey.from_private_bytes(secret).public_key()
    return Key(secret, public.public_bytes(Encoding.Raw, PublicFormat.Raw))


def decode(text: str) -> tuple[str, bytes]:
    """The kind and the bytes of a key's text (bech32); ``ValueError`` says what is wrong with it."""
    kind, separator, letters = text.lower().rpartition("1")
    if not separator or text not in (text.lower(), text.upper()) or set(letters) - set(_LETTERS):
        raise ValueError("it is no key of age")
    numbers = [_LETTERS.index(letter) for letter in letters]
    if len(numbers) < _CHECK_LETTERS or _remainder(kind, numbers) != 1:
        raise ValueError("a letter of it is wrong or missing")
    return kind, _regrouped(numbers[:-_CHECK_LETTERS], 5, 8)


def encode(kind: str, data: bytes) -> str:
    numbers = list(_regrouped(data, 8, 5))
    rest = _remainder(kind, [*numbers, *[0] * _CHECK_LETTERS]) ^ 1
    numbers += [rest >> 5 * (_CHECK_LETTERS - 1 - place) & 31 for place in range(_CHECK_LETTERS)]
    return f"{kind}1{''.join(_LETTERS[number] for number in numbers)}"


def _remainder(kind: str, numbers: t.Sequence[int]) -> int:
    letters = kind.encode()
    rest = 1
    for number in [*(letter >> 5 for letter in letters), 0, *(letter & 31 for letter in letters), *numbers]:
        top = rest >> 25
        rest = (rest & 0x1FFFFFF) << 5 ^ number
        for place, term in enumerate(_GENERATOR):
            rest ^= term if top >> place & 1 else 0
    return rest


def _regrouped(numbers: t.Iterable[int], width: int, wanted: int) -> bytes:
    """The same bits in numbers of another width; bits that are left over going up are filled with 0."""
    bits = "".join(f"{number:0{width}b}" for number in numbers)
    if wanted < width:
        bits += "0" * (-len(bits) % wanted)
    whole = len(bits) - len(bits) % wanted
    return bytes(int(bits[at : at + wanted], 2) for at in range(0, whole, wanted))
