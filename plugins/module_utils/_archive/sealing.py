# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encrypts and decrypts a stream in the format of age, version 1, so that the program age opens it too.

A stream has a key of its own, which its head holds for the owner of the backup's key. The stream is cut
into chunks; each is authenticated together with its number and with whether it is the last one. What is
changed, cut off, repeated or put in another order is therefore found when it is read.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import typing as t

try:
    from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
except ImportError:
    # Without it there is no key either: _archive.keys says so before anybody comes here.
    pass

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

if t.TYPE_CHECKING:
    from ansible_collections.emailai.migration.plugins.module_utils._archive.keys import Key
    from ansible_collections.emailai.migration.plugins.module_utils._archive.packing import Codec

KIND: t.Final = "age"
SUFFIX: t.Final = ".age"

CHUNK: t.Final = 64 * 1024
_TAG: t.Final = 16
_NONCE: t.Final = 16
_VERSION: t.Final = b"age-encryption.org/v1"
_INTRODUCTION: t.Final = _VERSION + b"\n-> X25519 "
# One recipient, one line each for the share, the wrapped key and the head's own authentication.
_HEAD: t.Final = len(_INTRODUCTION) + 43 + 1 + 43 + 1 + 4 + 43 + 1


class Both:
    """Two codecs as one, the first one's output into the second."""

    def __init__(self, first: Codec, second: Codec) -> None:
        self._first, self._second = first, second

    def feed(self, data: bytes) -> bytes:
        between = self._first.feed(data)
        return self._second.feed(between) if between else b""

    def flush(self) -> bytes:
        between = self._first.flush()
        return (self._second.feed(between) if between else b"") + self._second.flush()


class Sealer:
    def __init__(self, key: Key) -> None:
        file_key = os.urandom(16)
        nonce = os.urandom(_NONCE)
        self._head = _sealed_head(key, file_key) + nonce
        self._waiting = bytearray()
        self._chunks = _Chunks(_derived(file_key, nonce, b"payload"))

    def feed(self, data: bytes) -> bytes:
        """A full chunk waits for the next byte: until then it may be the last."""
        self._waiting += data
        done, self._head = [self._head], b""
        while len(self._waiting) > CHUNK:
            done.append(self._chunks.seal(bytes(self._waiting[:CHUNK]), False))
            del self._waiting[:CHUNK]
        return b"".join(done)

    def flush(self) -> bytes:
        return self._head + self._chunks.seal(bytes(self._waiting), True)


class Opener:
    """Gives out nothing that is not authenticated; that all of it came is known when ``flush`` returns."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self._waiting = bytearray()
        self._chunks: _Chunks | None = None

    def feed(self, data: bytes) -> bytes:
        self._waiting += data
        if self._chunks is None and len(self._waiting) < _HEAD + _NONCE:
            return b""
        chunks = self._begun()
        done = []
        while len(self._waiting) > CHUNK + _TAG:
            done.append(chunks.open(bytes(self._waiting[: CHUNK + _TAG]), False))
            del self._waiting[: CHUNK + _TAG]
        return b"".join(done)

    def flush(self) -> bytes:
        return self._begun().open(bytes(self._waiting), True)

    def _begun(self) -> _Chunks:
        if self._chunks is None:
            head, nonce = bytes(self._waiting[:_HEAD]), bytes(self._waiting[_HEAD : _HEAD + _NONCE])
            file_key = _opened_head(self._key, head)
            del self._waiting[: _HEAD + _NONCE]
            self._chunks = _Chunks(_derived(file_key, nonce, b"payload"))
        return self._chunks


class _Chunks:
    """The chunks of one stream, in their order."""

    def __init__(self, key: bytes) -> None:
        self._cipher = _cipher(key)
        self._number = 0

    def seal(self, data: bytes, is_last: bool) -> bytes:
        sealed: bytes = self._cipher.encrypt(self._next(is_last), data, None)
        return sealed

    def open(self, data: bytes, is_last: bool) -> bytes:
        # An empty chunk is one only where the whole stream is empty.
        is_allowed = len(data) > _TAG or (len(data) == _TAG and not self._number)
        try:
            return self._decrypted(data, is_last) if is_allowed else _refuse("it ends before its end")
        except InvalidTag:
            return _refuse(f"its chunk {self._number} is not the one that was written")

    def _decrypted(self, data: bytes, is_last: bool) -> bytes:
        plain: bytes = self._cipher.decrypt(self._next(is_last), data, None)
        return plain

    def _next(self, is_last: bool) -> bytes:
        nonce = self._number.to_bytes(11, "big") + bytes([is_last])
        self._number += 1
        return nonce


def _sealed_head(key: Key, file_key: bytes) -> bytes:
    once = X25519PrivateKey.generate()
    share = once.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    shared = once.exchange(X25519PublicKey.from_public_bytes(key.public))
    wrapped = _cipher(_wrapping(shared, share, key)).encrypt(bytes(12), file_key, None)
    head = _INTRODUCTION + _text(share) + b"\n" + _text(wrapped) + b"\n---"
    return head + b" " + _text(_authentication(file_key, head)) + b"\n"


def _opened_head(key: Key, head: bytes) -> bytes:
    try:
        said, mark, authentication = head.rpartition(b"---")
        share, wrapped = (_bytes(line) for line in said[len(_INTRODUCTION) :].split())
        shared = X25519PrivateKey.from_private_bytes(key.secret).exchange(
            X25519PublicKey.from_public_bytes(share)
        )
        file_key = bytes(_cipher(_wrapping(shared, share, key)).decrypt(bytes(12), wrapped, None))
        expected = b" " + _text(_authentication(file_key, said + mark)) + b"\n"
    except (ValueError, InvalidTag):
        return _refuse(f"its head is not one for key {key.id}")
    if not hmac.compare_digest(expected, authentication) or not said.startswith(_INTRODUCTION):
        return _refuse("its head is not the one that was written")
    return file_key


def _wrapping(shared: bytes, share: bytes, key: Key) -> bytes:
    return _derived(shared, share + key.public, _VERSION + b"/X25519")


def _authentication(file_key: bytes, head: bytes) -> bytes:
    return hmac.new(_derived(file_key, b"", b"header"), head, hashlib.sha256).digest()


def _derived(secret: bytes, salt: bytes, purpose: bytes) -> bytes:
    derived: bytes = HKDF(algorithm=SHA256(), length=32, salt=salt, info=purpose).derive(secret)
    return derived


def _cipher(key: bytes) -> ChaCha20Poly1305:
    try:
        return ChaCha20Poly1305(key)
    except UnsupportedAlgorithm:
        raise MigrationError(
            "use", "ChaCha20-Poly1305", "this host's OpenSSL does not offer it", "Use a host that does"
        ) from None


def _text(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _bytes(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)


def _refuse(cause: str) -> t.NoReturn:
    raise MigrationError("unpack", "the stream", cause, kind="storage")
