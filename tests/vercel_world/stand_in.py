# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for Vercel's API, one project with its users' addresses, and faults to switch on.

What takes time there takes time here: builds and alias jobs go on between requests. The shapes are those of
Vercel's reference and of its own command:

POST  /v13/deployments                         the deployment, QUEUED; later BUILDING, then its outcome
GET   /v13/deployments/{id}                    id, url, readyState, target, meta, checksState, aliasError
GET   /v6/deployments?projectId&meta-KEY=VALUE {"deployments": [{"uid", "state"}], "pagination": {"next"}}
PATCH /v12/deployments/{id}/cancel             400 for one that is not being built
GET   /v9/projects/{p}?rollbackInfo=true       with lastAliasRequest, which is not told without the word
GET   /v9/projects/{p}/domains                 {"domains": [{"name", "redirect", "gitBranch", "verified"}]}
GET   /v4/aliases/{name}                       {"deploymentId"}
POST  /v10/projects/{p}/promote/{id}           201 and no words; 409 while another job is at work
POST  /v1/projects/{p}/rollback/{id}           201; 402 for a plan that goes back one step only; 422
GET   /v9/projects/{p}/promote|rollback/aliases?failedOnly
GET, POST /v1/projects/{p}/rolling-release[/start|/approve-stage|/complete]
GET   /v1/projects/{p}/deployments/{id}/runtime-logs      lines of JSON, without an end
GET   /api/health                              what users get from production
GET   /figures                                 what a page of the application tells of a stretch of time

Refused: {"error": {"code", "message"}}.
"""

from __future__ import annotations

import contextlib
import http.server
import itertools
import json
import socket
import struct
import threading
import time
import typing as t
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

Document = dict[str, t.Any]
Answer = tuple[int, t.Any]
TOKEN = "vcp-5ecret-token"
TEAM = "team_emailai"
PROJECT = "prj_emailai"
OLD = "dpl_old"
# How long things take, in seconds.
_QUEUED, _BUILDING = 0.1, 0.3


class Refusal(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass
class Fault:
    """What happens to the requests that contain the word: told, or cut off before or after it was done."""

    kind: str
    method: str
    word: str
    times: int = 1
    status: int = 500
    code: str = "internal_server_error"
    message: str = "An unexpected internal error occurred."
    headers: dict[str, str] = field(default_factory=dict)
    # Only once a request with this word was sent.
    after: str = ""
    # What happens just before.
    first: t.Callable[[], t.Any] = lambda: None


@dataclass
class StandIn:
    port: int = 0
    domains: list[Document] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    deployments: dict[str, Document] = field(default_factory=dict)
    project: Document = field(default_factory=dict)
    job: Document | None = None
    rolling: Document | None = None
    faults: list[Fault] = field(default_factory=list)
    # What becomes of the next builds and jobs; nothing means that all goes well.
    builds: list[Document] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    job_seconds: float = 0.3
    is_hobby: bool = False
    # Releases whose health is bad.
    sick: set[str] = field(default_factory=set)
    logs: list[Document] = field(default_factory=list)
    # Where it is set, users come without an end, and each gets this status.
    traffic: int = 0
    seen: list[tuple[str, str, t.Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.numbers = itertools.count(1)
        self.over = threading.Event()
        link = {"type": "github", "repoId": 4711, "productionBranch": "main"}
        self.project = {
            "id": PROJECT, "name": "emailai", "accountId": TEAM, "link": link,
            "autoAssignCustomDomains": True, "targets": {"production": {"id": OLD}}, "rollingRelease": None,
        }  # fmt: skip
        self.domains = [
            {"name": "app.example.com", "redirect": None, "gitBranch": None, "verified": True},
            {"name": "emailai.vercel.app", "redirect": None, "gitBranch": None, "verified": True},
            {"name": "www.example.com", "redirect": "app.example.com", "gitBranch": None, "verified": True},
            {"name": "next.example.com", "redirect": None, "gitBranch": "next", "verified": True},
        ]
        self.add(OLD, "v1.9.0")
        self._lead_to(OLD)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def production(self) -> str:
        return self.aliases["app.example.com"]

    def add(self, name: str, version: str, **more: t.Any) -> Document:
        """A deployment that was there before: built, and with users if it is of production."""
        one: Document = {
            "id": name, "url": f"{name}.vercel.app", "readyState": "READY", "target": "production",
            "meta": {}, "createdAt": time.time() * 1000, "version": version, "had_users": True, **more,
        }  # fmt: skip
        self.deployments[name] = one
        return one

    def is_asked_again(self, number: int) -> bool:
        """Whether more than so many requests have come."""
        return len(self.seen) > number

    def made(self) -> list[Document]:
        """What was created through the API."""
        return [one for one in self.deployments.values() if "began" in one]

    def sent(self, word: str, method: str = "POST") -> list[t.Any]:
        return [body for verb, path, body in self.seen if verb == method and word in path]

    def break_(self, kind: str, method: str, word: str, **more: t.Any) -> None:
        self.faults.append(Fault(kind, method, word, **more))

    # Time

    def tick(self) -> None:
        now = time.monotonic()
        for one in self.deployments.values():
            if one["readyState"] in ("QUEUED", "BUILDING", "INITIALIZING"):
                self._build(one, now - one["began"])
            elif one.get("checks_until", now) < now:
                one["checksState"] = "completed"
        if self.job is not None and self.job["jobStatus"] in ("pending", "in-progress"):
            self._work(self.job, now - self.job["began"])

    def _build(self, one: Document, age: float) -> None:
        outcome = one["outcome"]
        if age > _QUEUED:
            one["readyState"] = "BUILDING"
        if age > _BUILDING and not outcome.get("stuck"):
            one.update({"readyState": "READY", **outcome})
            if one["readyState"] == "READY" and one["autoAssign"] and self.project["autoAssignCustomDomains"]:
                self._lead_to(one["id"])

    def _work(self, job: Document, age: float) -> None:
        job["jobStatus"] = "in-progress"
        if age < self.job_seconds or job["outcome"] == "stuck":
            return
        job["jobStatus"] = "succeeded" if job["outcome"] == "liar" else job["outcome"]
        if job["outcome"] == "succeeded":
            self._lead_to(job["toDeploymentId"])
            self.project["autoAssignCustomDomains"] = job["type"] == "promote"

    def _lead_to(self, name: str) -> None:
        self.deployments[name]["had_users"] = True
        self.project["targets"] = {"production": {"id": name}}
        for domain in self.domains:
            if not (domain["redirect"] or domain["gitBranch"]):
                self.aliases[domain["name"]] = name

    # Requests

    def answer(self, method: str, path: str, words: dict[str, str], body: t.Any) -> Answer:
        self.tick()
        if words.get("teamId", words.get("slug")) not in (TEAM, "emailai"):
            raise Refusal(404, "not_found", "Project not found")
        steps = [unquote(step) for step in path.strip("/").split("/")]
        if steps[1] == "projects":
            if steps[2] not in (PROJECT, "emailai"):
                raise Refusal(404, "not_found", "Project not found")
            return self._of_project(method, steps[3:], words, body)
        if steps[1] == "aliases":
            if steps[2] not in self.aliases:
                raise Refusal(404, "not_found", "The alias was not found")
            return 200, {"alias": steps[2], "deploymentId": self.aliases[steps[2]]}
        return self._of_deployments(method, steps[2:], words, body)

    def _of_deployments(self, method: str, steps: list[str], words: dict[str, str], body: t.Any) -> Answer:
        if not steps:
            return (200, self._create(body)) if method == "POST" else (200, self._list(words))
        one = self._one(steps[0])
        if steps[1:] == ["cancel"]:
            if one["readyState"] not in ("QUEUED", "BUILDING", "INITIALIZING"):
                raise Refusal(400, "bad_request", "The deployment is not being built")
            one["readyState"] = "CANCELED"
        return 200, self._told(one)

    def _one(self, name: str) -> Document:
        if name not in self.deployments:
            raise Refusal(404, "not_found", f'Can\'t find the deployment "{name}"')
        return self.deployments[name]

    def _told(self, one: Document) -> Document:
        inner = ("outcome", "began", "autoAssign", "version", "had_users", "checks_until")
        return {name: value for name, value in one.items() if name not in inner}

    def _create(self, body: Document) -> Document:
        if ("gitSource" in body) == ("deploymentId" in body):
            raise Refusal(400, "bad_request", "Exactly one source is needed")
        if not all(isinstance(value, str) for value in body["meta"].values()):
            raise Refusal(400, "bad_request", "meta holds strings")
        if "gitSource" in body:
            if body["gitSource"]["repoId"] != 4711:
                raise Refusal(400, "incorrect_git_source_info", "The repository is not known")
            version = body["gitSource"]["ref"]
        else:
            version = self._one(body["deploymentId"])["version"]
        name = f"dpl_{next(self.numbers)}"
        one = self.add(
            name,
            version,
            readyState="QUEUED",
            target=body.get("target"),
            meta=body["meta"],
            began=time.monotonic(),
            outcome=self.builds.pop(0) if self.builds else {},
            autoAssign=body.get("autoAssignCustomDomains", True),
            had_users=False,
        )
        if one["outcome"].get("checksState") == "running":
            one["checks_until"] = time.monotonic() + 1
        return self._told(one)

    def _list(self, words: dict[str, str]) -> Document:
        wanted = {name[5:]: value for name, value in words.items() if name.startswith("meta-")}
        rows = [one for one in self.deployments.values() if wanted.items() <= one["meta"].items()]
        rows.sort(key=lambda one: -float(one["createdAt"]))
        rows = [one for one in rows if one["createdAt"] < float(words.get("until", "inf"))]
        limit = 2  # so that there are pages
        told = []
        for one in rows[:limit]:
            row = self._told(one)
            told.append(
                {**row, "uid": row.pop("id"), "state": row.pop("readyState"), "created": row.pop("createdAt")}
            )
        following = told[-1]["created"] if len(rows) > limit else None
        return {"deployments": told, "pagination": {"count": len(told), "next": following}}

    def _of_project(self, method: str, steps: list[str], words: dict[str, str], body: t.Any) -> Answer:
        if not steps:
            job = {
                name: value for name, value in (self.job or {}).items() if name not in ("began", "outcome")
            }
            info = {"lastAliasRequest": job or None} if words.get("rollbackInfo") == "true" else {}
            return 200, {**self.project, **info}
        if steps == ["domains"]:
            return 200, {"domains": self.domains, "pagination": {"next": None}}
        if steps[1:] == ["aliases"]:
            row = {"alias": {"alias": "app.example.com", "deploymentId": OLD}, "status": "failed"}
            return 200, {"aliases": [row], "pagination": {"next": None}}
        if steps[0] == "rolling-release":
            return self._roll(method, steps[1:], body)
        return self._move(steps[0], self._one(steps[1]))

    def _move(self, kind: str, one: Document) -> Answer:
        if self.job is not None and self.job["jobStatus"] in ("pending", "in-progress"):
            raise Refusal(409, "conflict", "Another alias request is in progress")
        if one["readyState"] != "READY" or one["target"] != "production":
            raise Refusal(400, "bad_request", "The deployment cannot have production")
        if one.get("checksState") == "running":
            raise Refusal(400, "bad_request", "The checks are not over")
        if kind == "rollback":
            if not one["had_users"]:
                raise Refusal(422, "unprocessable_entity", "The deployment has never been in production")
            if self.is_hobby and one["id"] != OLD:
                raise Refusal(402, "payment_required", "Upgrade to Pro to roll back further")
            if self.rolling is not None and self.rolling["state"] == "ACTIVE":
                self.rolling = {**self.rolling, "state": "ABORTED", "activeStage": None}
                return 201, None
        self.begin(kind, one["id"])
        return 201, None

    def begin(self, kind: str, name: str) -> None:
        self.job = {
            "type": kind, "jobStatus": "pending", "requestedAt": int(time.time() * 1000),
            "fromDeploymentId": self.production, "toDeploymentId": name, "began": time.monotonic(),
            "outcome": self.jobs.pop(0) if self.jobs else "succeeded",
        }  # fmt: skip

    # Rolling releases

    def configure_rolling(self, *percents: int, kind: str = "manual-approval") -> None:
        stages = [{"targetPercentage": percent} for percent in percents]
        self.project["rollingRelease"] = {"target": "production", "stages": stages, "advancementType": kind}

    def _roll(self, method: str, steps: list[str], body: t.Any) -> Answer:
        config = self.project["rollingRelease"]
        if config is None:
            raise Refusal(403, "forbidden", "Rolling releases are not part of this plan")
        if method == "POST":
            verb = {"start": self._start, "approve-stage": self._approve, "complete": self._complete}[
                steps[0]
            ]
            verb(body)
        return 200, {"rollingRelease": self.rolling}

    def _start(self, body: Document) -> None:
        canary = body["canaryDeploymentId"]
        if self.rolling and self.rolling["state"] == "ACTIVE":
            if self.rolling["canaryDeployment"]["id"] != canary:
                raise Refusal(409, "conflict", "Another rolling release is under way")
            return
        stages = [
            {
                "index": index,
                "isFinalStage": stage["targetPercentage"] == 100,
                "requireApproval": True,
                **stage,
            }
            for index, stage in enumerate(self.project["rollingRelease"]["stages"])
        ]
        self.rolling = {
            "state": "ACTIVE", "currentDeployment": {"id": self.production},
            "canaryDeployment": {"id": canary},
            "advancementType": "manual-approval", "stages": stages, "activeStage": stages[0],
        }  # fmt: skip
        self.deployments[canary]["had_users"] = True

    def _approve(self, body: Document) -> None:
        rolling = self._active(body)
        index = rolling["activeStage"]["index"]
        if body["nextStageIndex"] != index + 1:
            raise Refusal(400, "bad_request", f"The active stage is {index}")
        rolling["activeStage"] = rolling["stages"][index + 1]
        if rolling["activeStage"]["isFinalStage"]:
            self._complete(body)

    def _complete(self, body: Document) -> None:
        rolling = self._active(body)
        self.rolling = {**rolling, "state": "COMPLETE"}
        self._lead_to(rolling["canaryDeployment"]["id"])

    def _active(self, body: Document) -> Document:
        if not self.rolling or self.rolling["state"] != "ACTIVE":
            raise Refusal(400, "bad_request", "No rolling release is under way")
        if self.rolling["canaryDeployment"]["id"] != body["canaryDeploymentId"]:
            raise Refusal(400, "bad_request", "The canary is another deployment")
        return self.rolling


class _Handler(http.server.BaseHTTPRequestHandler):
    stand: StandIn

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        words = {name: values[0] for name, values in parse_qs(parts.query).items()}
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        if parts.path == "/api/health":
            self._health()
            return
        if parts.path == "/figures":
            self._send(200, b'{"requests": 50, "p95": 40}')
            return
        with self.stand.lock:
            self.stand.seen.append((self.command, parts.path, body))
            fault = self._fault(parts.path)
        if parts.path.endswith("/runtime-logs") and fault is None and self._is_known():
            self._stream()
            return
        self._under(fault, parts.path, words, body)

    do_POST = do_PATCH = do_GET

    def _fault(self, path: str) -> Fault | None:
        for fault in self.stand.faults:
            is_due = not fault.after or self.stand.sent(fault.after)
            if is_due and fault.times > 0 and fault.method == self.command and fault.word in path:
                fault.times -= 1
                fault.first()
                return fault
        return None

    def _is_known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _under(self, fault: Fault | None, path: str, words: dict[str, str], body: t.Any) -> None:
        kind = fault.kind if fault else ""
        if fault and kind == "refuse":
            said = fault.message.replace("$token", str(self.headers.get("Authorization")))
            self._send(fault.status, _error(fault.code, said), fault.headers)
        elif kind == "page":
            self._send(200, b"<!doctype html><title>Sign in</title>")
        elif kind == "cut":
            self._cut()
        else:
            status, answer = self._answer(path, words, body)
            if kind == "lose":  # done, and nobody is told
                self._cut()
            else:
                self._send(status, b"" if answer is None else json.dumps(answer).encode())

    def _answer(self, path: str, words: dict[str, str], body: t.Any) -> Answer:
        try:
            with self.stand.lock:
                if not self._is_known():
                    raise Refusal(403, "forbidden", "Not authorized")
                return self.stand.answer(self.command, path, words, body)
        except Refusal as exc:
            return exc.status, json.loads(_error(exc.code, exc.message))

    def _cut(self) -> None:
        self.close_connection = True
        # Without a farewell, as a line that breaks.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _health(self) -> None:
        with self.stand.lock:
            self.stand.tick()
            version = self.stand.deployments[self.stand.production]["version"]
            is_sick = version in self.stand.sick
        body = json.dumps({"status": "sick" if is_sick else "ok", "version": version}).encode()
        self._send(503 if is_sick else 200, body)

    def _stream(self) -> None:
        """What is in the log, each line once for each listener, and then nothing until somebody hangs up."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "application/stream+json")
        self.end_headers()
        told = 0
        while not self.stand.over.wait(0.02):
            with self.stand.lock:
                if self.stand.traffic:
                    self.stand.logs.append(self._visit())
                lines = self.stand.logs[told:]
            told += len(lines)
            for line in lines:
                text = line["raw"] if "raw" in line else json.dumps(line)
                self.wfile.write(text.encode() + b"\n")
            self.wfile.write(b"")
            self.wfile.flush()
            if any("end" in line for line in lines):
                return

    def _visit(self) -> Document:
        return {
            "rowId": f"visit-{len(self.stand.logs)}", "timestampInMs": int(time.time() * 1000),
            "source": "request", "responseStatusCode": self.stand.traffic,
        }  # fmt: skip

    def _send(self, status: int, body: bytes, headers: t.Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: t.Any) -> None:
        pass


def _error(code: str, message: str) -> bytes:
    return json.dumps({"error": {"code": code, "message": message}}).encode()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """A client that has hung up is what some of the faults are for."""


@contextlib.contextmanager
def running() -> t.Iterator[StandIn]:
    stand = StandIn()
    handler = type("Handler", (_Handler,), {"stand": stand})
    server = _Server(("127.0.0.1", 0), handler)
    stand.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield stand
    finally:
        stand.over.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
