# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Kubernetes control plane on loopback, with nodes and kubelets played by kwok."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import ssl
import tempfile
import typing as t
import urllib.error
import urllib.request
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from lab import cluster_programs
from lab.ground import free_port, is_listening, short_root, wait_until
from lab.process import Process, wait_for_answer

CONTEXT: t.Final = "lab"


class Cluster:
    """One control plane in a folder of its own; ``with Cluster() as cluster`` ends all of it."""

    def __init__(self) -> None:
        lacking = cluster_programs.missing()
        if lacking:
            raise FileNotFoundError(
                f"{', '.join(lacking)} are not built: run python -m lab.cluster_programs, which needs Go"
            )
        self.folder = Path(tempfile.mkdtemp(prefix="emailai-k8s-", dir=short_root()))
        self.token = secrets.token_hex(16)
        self.port, self._store_port, self._peer_port = free_port(), free_port(), free_port()
        self.kubeconfig = self.folder / "kubeconfig"
        self.server = self._process("kube-apiserver")
        self._others: list[Process] = []

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def __enter__(self) -> Cluster:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Whoever uses the server first, the store last."""
        for process in (*reversed(self._others[1:]), self.server, *self._others[:1]):
            # Of what they would still write down nobody needs anything.
            process.send(signal.SIGKILL)
            process.end(5)
        shutil.rmtree(self.folder, ignore_errors=True)

    def restart_server(self) -> None:
        """The API server dies and comes back; controllers connect again by themselves, as kubelets would."""
        self.server.kill()
        for attempt in range(5):
            try:
                self.start_server()
                break
            except RuntimeError:
                # A client that connects again and again may have been given the very port for its own end.
                if attempt == 4:
                    raise
        # What plays them may be left without a watch.
        player = self._others[-1]
        player.kill()
        self._run(player, self._clients()[player.name], lambda: True, 5)

    def start_server(self) -> None:
        keys = self.folder / "accounts.key"
        self._run(
            self.server,
            [
                f"--etcd-servers=http://127.0.0.1:{self._store_port}",
                f"--secure-port={self.port}",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                f"--cert-dir={self.folder / 'certificates'}",
                f"--token-auth-file={self.folder / 'tokens.csv'}",
                "--authorization-mode=RBAC",
                f"--service-account-key-file={keys}",
                f"--service-account-signing-key-file={keys}",
                "--service-account-issuer=https://kubernetes.default.svc",
                "--service-cluster-ip-range=10.0.0.0/24",
                "--endpoint-reconciler-type=none",
                "--shutdown-delay-duration=0s",
                "--feature-gates=WatchList=false",
            ],
            lambda: self._answers("/readyz"),
            60,
        )

    def add_nodes(self, number: int, cpu: str = "8", memory: str = "16Gi", pods: int = 110) -> None:
        """Nodes that kwok keeps ready."""
        for index in range(number):
            name = f"node-{index + 1}"
            room = {"cpu": cpu, "memory": memory, "pods": str(pods)}
            node = {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "type": "kwok"}},
                "status": {"allocatable": room, "capacity": room},
            }
            self.call("POST", "/api/v1/nodes", node)
        wait_until(lambda: self._ready_nodes() == number, 60, f"{number} ready nodes")

    def call(self, method: str, path: str, body: t.Any = None, kind: str = "application/json") -> t.Any:
        """One request as the cluster's administrator; urllib's HTTPError for a refusal."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": kind},
        )
        with urllib.request.urlopen(request, timeout=20, context=self._trust()) as answer:
            content = answer.read()
        return json.loads(content) if content[:1] in (b"{", b"[") else content.decode()

    # -- its parts --------------------------------------------------------------

    def _start(self) -> None:
        self._write_keys()
        store = self._process("etcd")
        self._others.append(store)
        url, peer = f"http://127.0.0.1:{self._store_port}", f"http://127.0.0.1:{self._peer_port}"
        self._run(
            store,
            [
                f"--data-dir={self.folder / 'store'}",
                f"--listen-client-urls={url}",
                f"--advertise-client-urls={url}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                "--unsafe-no-fsync",
            ],
            lambda: is_listening(self._store_port),
            30,
        )
        self.start_server()
        self._write_kubeconfig()
        for name, options in self._clients().items():
            process = self._process(name)
            self._others.append(process)
            self._run(process, options, lambda: True, 5)
        # Without it no pod is admitted.
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        wait_until(lambda: self._answers(account), 60, "the account of the first namespace")

    def _clients(self) -> dict[str, list[str]]:
        config = f"--kubeconfig={self.kubeconfig}"
        return {
            "kube-controller-manager": [
                config,
                "--leader-elect=false",
                # A node on a machine that is busy is late with its word, and not gone.
                "--node-monitor-grace-period=10m",
                f"--secure-port={free_port()}",
                "--bind-address=127.0.0.1",
                f"--cert-dir={self.folder / 'manager'}",
                f"--service-account-private-key-file={self.folder / 'accounts.key'}",
            ],
            "kube-scheduler": [
                config,
                "--leader-elect=false",
                f"--secure-port={free_port()}",
                "--bind-address=127.0.0.1",
                f"--cert-dir={self.folder / 'scheduler'}",
            ],
            "kwok": [config, "--manage-all-nodes=true", f"--server-address=127.0.0.1:{free_port()}"],
        }

    def _process(self, name: str) -> Process:
        return Process(self.folder / "pids", name)

    def _run(
        self, process: Process, options: t.Sequence[str], question: t.Callable[[], bool], seconds: float
    ) -> None:
        log = self.folder / f"{process.name}.log"
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder)}
        # This etcd cannot serve lists as streams; whoever asks for one all the same learns it after seconds.
        environment["KUBE_FEATURE_WatchListClient"] = "false"
        argv = [cluster_programs.program(process.name), *options]
        process.start(argv, log, cwd=self.folder, env=environment)
        wait_for_answer(process, question, seconds, log)

    def _write_keys(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL)
        path = self.folder / "accounts.key"
        path.write_bytes(key.private_bytes(*form, serialization.NoEncryption()))
        tokens = self.folder / "tokens.csv"
        tokens.write_text(f"{self.token},admin,1,system:masters\n")
        for secret in (path, tokens):
            secret.chmod(0o600)

    def _write_kubeconfig(self) -> None:
        """JSON is YAML too."""
        authority = str(self.folder / "certificates" / "apiserver.crt")
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": CONTEXT, "cluster": {"server": self.url, "certificate-authority": authority}}
            ],
            "users": [{"name": CONTEXT, "user": {"token": self.token}}],
            "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT}}],
            "current-context": CONTEXT,
        }
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(json.dumps(content))

    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.folder / "certificates" / "apiserver.crt"))

    def _answers(self, path: str) -> bool:
        try:
            self.call("GET", path)
        except (urllib.error.URLError, OSError):
            return False
        return True

    def _ready_nodes(self) -> int:
        nodes = self.call("GET", "/api/v1/nodes")["items"]
        conditions = [node["status"].get("conditions", []) for node in nodes]
        return sum(any(c["type"] == "Ready" and c["status"] == "True" for c in one) for one in conditions)
