# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""S3 and what speaks like it. The multipart calls are made one by one: only so can a stream whose
checksum and size are unknown at its start be checked whole by the store at its end."""

from __future__ import annotations

import contextlib
import functools
import shlex
import typing as t
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    _FAILURES: tuple[type[Exception], ...] = (BotoCoreError, ClientError)
    DRIVER_ERROR = ""
except ImportError as exc:
    _FAILURES = ()
    DRIVER_ERROR = str(exc)

from ansible_collections.emailai.migration.plugins.module_utils._archive import parts
from ansible_collections.emailai.migration.plugins.module_utils._archive.stored import (
    Entry,
    Pending,
    Stored,
    as_base64,
    from_base64,
)
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

_CHUNK: t.Final = 1024 * 1024
_READ_ATTEMPTS: t.Final = 5

# What a second attempt is told when only the answer to the first one was lost.
_DONE_ALREADY: t.Final = ("PreconditionFailed", "NoSuchUpload")

_KEYS = "Check store.access_key and store.secret_key and what they are allowed to do"
_SENTENCES: t.Final[dict[str, tuple[str, str]]] = {
    "NoSuchBucket": ("the bucket does not exist", "Make it, or check store.bucket"),
    "NotFound": ("the bucket does not exist", "Make it, or check store.bucket"),
    "404": ("the bucket does not exist", "Make it, or check store.bucket"),
    "InvalidAccessKeyId": ("the store does not know the access key", _KEYS),
    "SignatureDoesNotMatch": ("the store refuses the secret key", _KEYS),
    "AccessDenied": ("the keys are not allowed to do this", _KEYS),
    "403": ("the keys are refused or not allowed to do this", _KEYS),
    "BadDigest": ("the store received other bytes than were sent", "Run it again"),
    "PreconditionFailed": ("an object of this name is already there", ""),
    "NoSuchKey": ("the object does not exist", ""),
    **dict.fromkeys(("InternalError", "500"), ("the store failed, five times", "Run it again later")),
    **dict.fromkeys(
        ("SlowDown", "ServiceUnavailable", "503"), ("the store is too busy, five times", "Run it again later")
    ),
}


@functools.lru_cache(maxsize=1)
def _session() -> t.Any:
    """One for the process: it keeps the description of S3, which takes longer to read than a small backup."""
    return boto3.session.Session()


@dataclass(frozen=True)
class Access:
    endpoint_url: str = ""
    region: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    ca_cert: str = ""
    checksum: str = "crc32"
    encryption: str = "bucket"
    kms_key: str = ""

    @classmethod
    def from_options(cls, options: t.Mapping[str, t.Any]) -> Access:
        return cls(**{name: options[name] for name in cls.__dataclass_fields__ if options.get(name)})

    def client(self) -> t.Any:
        settings: dict[str, t.Any] = {
            "s3": {"addressing_style": "path" if self.endpoint_url else "auto"},
            "retries": {"mode": "standard", "max_attempts": 5},
            "connect_timeout": 10,
            "read_timeout": 120,
            "max_pool_connections": 32,
        }
        try:
            # Other stores than Amazon's refuse the checksum that newer clients add by themselves.
            config = Config(
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                **settings,
            )
        except TypeError:
            config = Config(**settings)
        return _session().client(
            "s3",
            endpoint_url=self.endpoint_url or None,
            region_name=self.region or "us-east-1",
            aws_access_key_id=self.access_key or None,
            aws_secret_access_key=self.secret_key or None,
            verify=self.ca_cert or None,
            config=config,
        )

    def encryption_arguments(self) -> dict[str, str]:
        if self.encryption == "bucket":
            return {}
        arguments = {"ServerSideEncryption": self.encryption}
        return dict(arguments, SSEKMSKeyId=self.kms_key) if self.kms_key else arguments


class S3Store:
    def __init__(self, access: Access, bucket: str, prefix: str) -> None:
        if DRIVER_ERROR:
            raise MigrationError(
                "use",
                "the store",
                f"boto3 cannot be imported ({DRIVER_ERROR})",
                "Install boto3",
                kind="storage",
            )
        self.access = access
        self.bucket = bucket
        self.prefix = prefix
        self.label = f"s3://{bucket}/{prefix}"
        self.checksum = access.checksum
        self.client = access.client()

    def check(self) -> None:
        with self._act("use", ""):
            self.client.head_bucket(Bucket=self.bucket)
            self.client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1)

    def probe_write(self) -> None:
        key = f"{self.prefix}.probe"
        with self._act("write to", ""):
            upload = self.client.create_multipart_upload(Bucket=self.bucket, Key=key)["UploadId"]
            self.client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload)

    def entries(self, prefix: str) -> list[Entry]:
        entries = []
        with self._act("list", ""):
            for page in self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=prefix
            ):
                entries += [Entry(o["Key"], o["Size"], o["LastModified"]) for o in page.get("Contents", [])]
        return entries

    def head(self, key: str) -> Entry | None:
        with self._act("look at", key):
            try:
                found = self.client.head_object(Bucket=self.bucket, Key=key, ChecksumMode="ENABLED")
            except _FAILURES as exc:
                if _code(exc) in ("404", "NoSuchKey", "NotFound"):
                    return None
                raise
            crc32 = from_base64(found["ChecksumCRC32"]) if found.get("ChecksumCRC32") else -1
            return Entry(key, found["ContentLength"], found["LastModified"], crc32)

    def read(self, key: str) -> t.Iterator[bytes]:
        """The object from its beginning; a connection that breaks is taken up again where it broke."""
        position, attempts = 0, 0
        while True:
            try:
                answer = self.client.get_object(Bucket=self.bucket, Key=key, Range=f"bytes={position}-")
                for chunk in answer["Body"].iter_chunks(_CHUNK):
                    position += len(chunk)
                    yield chunk
                return
            except _FAILURES as exc:
                if _code(exc) == "InvalidRange":
                    return
                attempts += 1
                if _code(exc) or attempts == _READ_ATTEMPTS:
                    raise self._failure("read", key, exc) from None

    def holds(self, key: str, size: int, crc32: int) -> bool:
        """Whether the object is this one, by the store's checksum or, where it keeps none, by its bytes."""
        entry = self.head(key)
        if entry is None or entry.size != size:
            return False
        if entry.crc32 != -1:
            return entry.crc32 == crc32
        return functools.reduce(lambda value, chunk: zlib.crc32(chunk, value), self.read(key), 0) == crc32

    def put(self, key: str, body: bytes) -> Stored:
        writer = self.writer(key, 1)
        try:
            return writer.finish_as_one(body)
        except MigrationError:
            with contextlib.suppress(MigrationError):
                writer.abort()
            raise

    def writer(self, key: str, streams: int) -> Upload:
        return Upload(self, key, streams)

    def delete(self, keys: t.Sequence[str]) -> None:
        for key in keys:
            with self._act("delete", key):
                self.client.delete_object(Bucket=self.bucket, Key=key)

    def pending(self) -> list[Pending]:
        found = []
        with self._act("list the pending uploads of", ""):
            pages = self.client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.bucket, Prefix=self.prefix
            )
            for page in pages:
                found += [Pending(u["Key"], u["UploadId"], u["Initiated"]) for u in page.get("Uploads", [])]
        return [upload for upload in found if upload.key.startswith(self.prefix)]

    def drop_pending(self, pending: Pending) -> None:
        try:
            self.client.abort_multipart_upload(Bucket=self.bucket, Key=pending.key, UploadId=pending.token)
        except _FAILURES as exc:
            if _code(exc) != "NoSuchUpload":
                raise self._failure("give up the upload of", pending.key, exc) from None

    def fetch_commands(self, prefix: str) -> list[str]:
        endpoint = (
            f"--endpoint-url {shlex.quote(self.access.endpoint_url)} " if self.access.endpoint_url else ""
        )
        return [f"aws s3 cp {endpoint}--recursive {shlex.quote(f's3://{self.bucket}/{prefix}')} ."]

    def _read_back(self, key: str, size: int, crc32: int, version: str) -> Stored:
        """What the store says about an object that was just written; it must be what was sent."""
        entry = self.head(key)
        cause = ""
        if entry is None:
            cause = "it is not there a moment later"
        elif entry.size != size:
            cause = f"the store keeps {entry.size} bytes of {size}"
        elif self.checksum == "crc32" and entry.crc32 not in (crc32, -1):
            cause = "the store keeps another checksum"
        if cause or entry is None:
            raise MigrationError("write", f"{key} to {self.label}", cause, "Run it again", kind="storage")
        if self.checksum != "crc32":
            return Stored(key, size, crc32, "size", version)
        return Stored(key, size, crc32, "store and read back" if entry.crc32 == crc32 else "store", version)

    @contextlib.contextmanager
    def _act(self, act: str, key: str) -> t.Iterator[None]:
        try:
            yield
        except _FAILURES as exc:
            raise self._failure(act, key, exc) from None
        except KeyError as exc:
            cause = f"its answer says nothing of {exc}"
            raise MigrationError(act, self._thing(key), cause, "Run it again", kind="storage") from None

    def _failure(self, act: str, key: str, exc: Exception) -> MigrationError:
        code = _code(exc)
        cause, cure = _SENTENCES.get(code, ("", ""))
        if not cause and not code:
            cure = "Check store.endpoint_url and the network"
        cause = cause or " ".join(str(exc).split())
        return MigrationError(act, self._thing(key), cause, cure, kind="storage", store_code=code)

    def _thing(self, key: str) -> str:
        return f"{key} in {self.label}" if key else self.label


class Upload:
    """One object on its way. What fits one part travels as a plain put, the rest as parts."""

    def __init__(self, store: S3Store, key: str, streams: int = 1) -> None:
        self._store = store
        self._key = key
        self._streams = streams
        self._buffer = bytearray()
        self._crc32 = 0
        self._size = 0
        self._token = ""
        self._waiting: deque[Future[dict[str, t.Any]]] = deque()
        self._sent: list[dict[str, t.Any]] = []
        self._pool: ThreadPoolExecutor | None = None
        self._sums: tuple[int, int] | None = None
        self._finished = False

    def write(self, data: bytes) -> None:
        self._crc32 = zlib.crc32(data, self._crc32)
        self._size += len(data)
        self._buffer += data
        while len(self._buffer) > self._next_bytes():
            self._send(self._next_bytes())

    def finish(self) -> Stored:
        if not self._token:
            return self.finish_as_one(bytes(self._buffer))
        if self._buffer:
            self._send(len(self._buffer))
        while self._waiting:
            self._sent.append(self._waiting.popleft().result())
        self._close_pool()
        arguments: dict[str, t.Any] = {}
        if self._store.checksum == "crc32":
            arguments = {"ChecksumCRC32": as_base64(self._crc32), "ChecksumType": "FULL_OBJECT"}
        arguments.update(
            UploadId=self._token, MultipartUpload={"Parts": self._sent}, MpuObjectSize=self._size
        )
        send = self._store.client.complete_multipart_upload
        return self._appear("complete", self._size, self._crc32, send, arguments)

    def finish_as_one(self, body: bytes) -> Stored:
        crc32 = zlib.crc32(body)
        arguments: dict[str, t.Any] = self._store.access.encryption_arguments()
        if self._store.checksum == "crc32":
            arguments["ChecksumCRC32"] = as_base64(crc32)
        arguments.update(Body=body)
        return self._appear("write", len(body), crc32, self._store.client.put_object, arguments)

    def _appear(
        self, act: str, size: int, crc32: int, send: t.Callable[..., t.Any], arguments: dict[str, t.Any]
    ) -> Stored:
        """Send the request after which the object is there; it may be done although its answer is lost."""
        self._sums = size, crc32
        answer: dict[str, t.Any] = {}
        try:
            with self._store._act(act, self._key):
                answer = send(Bucket=self._store.bucket, Key=self._key, IfNoneMatch="*", **arguments)
        except MigrationError as exc:
            code = exc.facts.get("store_code")
            if code not in _DONE_ALREADY or not self._store.holds(self._key, size, crc32):
                raise
        self._finished = True
        return self._store._read_back(self._key, size, crc32, answer.get("VersionId", ""))

    def abort(self) -> None:
        for future in self._waiting:
            future.cancel()
        self._close_pool()
        if self._finished or (self._sums and self._store.holds(self._key, *self._sums)):
            self._store.delete([self._key])
        elif self._token:
            self._store.drop_pending(Pending(self._key, self._token, None))  # type: ignore[arg-type]
        self._token = ""
        self._buffer.clear()

    def _next_bytes(self) -> int:
        return parts.part_bytes(len(self._sent) + len(self._waiting))

    def _send(self, size: int) -> None:
        body = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        if not self._token:
            self._begin()
        pool = self._pool or ThreadPoolExecutor(4, thread_name_prefix="upload")
        self._pool = pool
        number = len(self._sent) + len(self._waiting) + 1
        self._waiting.append(pool.submit(self._send_part, number, body))
        while len(self._waiting) >= parts.parts_in_flight(size, self._streams):
            self._sent.append(self._waiting.popleft().result())

    def _begin(self) -> None:
        arguments: dict[str, t.Any] = self._store.access.encryption_arguments()
        if self._store.checksum == "crc32":
            arguments.update(ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
        with self._store._act("begin to write", self._key):
            answer = self._store.client.create_multipart_upload(
                Bucket=self._store.bucket, Key=self._key, **arguments
            )
            self._token = answer["UploadId"]

    def _send_part(self, number: int, body: bytes) -> dict[str, t.Any]:
        checksum = {"ChecksumCRC32": as_base64(zlib.crc32(body))} if self._store.checksum == "crc32" else {}
        with self._store._act("write", self._key):
            answer = self._store.client.upload_part(
                Bucket=self._store.bucket,
                Key=self._key,
                UploadId=self._token,
                PartNumber=number,
                Body=body,
                **checksum,
            )
            return {"PartNumber": number, "ETag": answer["ETag"], **checksum}

    def _close_pool(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True)
            self._pool = None


def _code(exc: Exception) -> str:
    """The store's own word for a failure; empty when there was no answer at all."""
    answer: dict[str, t.Any] = getattr(exc, "response", None) or {}
    return str(answer.get("Error", {}).get("Code", ""))
