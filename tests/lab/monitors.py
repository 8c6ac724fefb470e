# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for Sentry, Datadog, Prometheus and a page of figures: their shapes, and faults to switch on.

Each answers from the same ``figures``, measure by measure, by server. A request is of the measure whose
name its query holds. The shapes are those of the vendors' documentation:

Sentry      GET /api/0/organizations/{org}/events/?dataset&field&query&start&end
            {"data": [{"count()": 12, "failure_rate()": 0.01, "p95(span.duration)": 41.0}], "meta": {...}};
            no rows: {"data": [], "meta": {}}, or [] for a token that may see no project;
            refused: {"detail": "..."}; X-Sentry-Rate-Limit-Reset is a time.
Datadog     POST /api/v2/query/scalar
            {"data": {"type": "scalar_response", "attributes": {"columns": [
            {"name": "requests", "type": "number", "values": [12.0], "meta": {"unit": null}}]}}};
            by a tag: a column of type "group" with values [["app-1"], ["app-2"]], in any place;
            no data: a value of null; refused: {"errors": ["Forbidden"]}; X-RateLimit-Reset is in seconds.
Prometheus  GET /api/v1/query?query&time
            {"status": "success", "data": {"resultType": "vector", "result":
            [{"metric": {}, "value": [1700000000.0, "12"]}]}}; values are strings, "NaN" among them;
            no series: an empty result; refused: {"status": "error", "errorType": "bad_data", "error": "..."}.
Figures     GET /figures: {"app": {"requests": 12, "errors": 0, "p95": 41}}
"""

from __future__ import annotations

import contextlib
import datetime
import http.server
import ipaddress
import json
import ssl
import threading
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from lab.alerts import Alerts

Answer = t.Union[t.Dict[str, t.Any], t.List[t.Any]]
KEYS = {"token": "tok-5ecret", "api_key": "api-5ecret", "application_key": "app-5ecret"}
_MEASURES = ("requests", "errors", "p95")
_PAGE = b"<!doctype html><title>Sign in</title>"
_NOTHING = {"null": None, "nan": "NaN"}


@dataclass
class Seen:
    path: str
    words: dict[str, list[str]]
    headers: dict[str, str]
    document: t.Any
    method: str = "GET"


@dataclass
class Monitors:
    """``fault`` names what is wrong; ``''`` nothing. ``after`` faulty answers it heals by itself."""

    figures: dict[str, dict[str, t.Any]] = field(default_factory=dict)
    fault: str = ""
    after: int = 10**9
    wait: str = "1"
    # How many errors were reported to Sentry, where that differs from how many requests failed.
    reported: int | None = None
    seen: list[Seen] = field(default_factory=list)
    alerts: Alerts = field(default_factory=Alerts)
    port: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def tell(self, requests: t.Any, errors: t.Any, p95: t.Any, server: str = "") -> None:
        for measure, value in zip(_MEASURES, (requests, errors, p95)):
            self.figures.setdefault(measure, {})[server] = value

    def next_fault(self) -> str:
        if self.fault and self.after <= 0:
            return ""
        self.after -= 1
        return self.fault

    def series(self, measure: str, fault: str) -> dict[str, t.Any]:
        told = self.figures.get(measure, {})
        if fault == "empty":
            return {}
        if fault in _NOTHING:
            return dict.fromkeys(told, _NOTHING[fault])
        if fault == "two_series":
            return {**told, "another": 1}
        return told


def _prometheus(monitors: Monitors, seen: Seen, fault: str) -> Answer:
    measure = _measure_in(seen.words["query"][0])
    # Twice the same labels: what a proxy over two replicas may answer.
    times = 2 if fault == "duplicate" else 1
    result = [
        {"metric": {"instance": server} if server else {}, "value": [time.time(), str(value)]}
        for server, value in monitors.series(measure, fault).items()
        if value is not None
    ]
    return {"status": "success", "data": {"resultType": "vector", "result": result * times}}


def _datadog(monitors: Monitors, seen: Seen, fault: str) -> Answer:
    attributes = seen.document["data"]["attributes"]
    columns: list[dict[str, t.Any]] = []
    for query in attributes["queries"]:
        series = monitors.series(_measure_in(query["query"]), fault)
        values = [None if value == "NaN" else value for value in series.values()]
        columns.append(
            {"name": query["name"], "type": "number", "values": values, "meta": {"unit": None}},
        )
        if any(series):
            group = {"name": "host", "type": "group", "values": [[server] for server in series]}
            columns = [c for c in columns if c["type"] != "group"] + [group]
    if fault == "duplicate":
        for column in columns:
            column["values"] = column["values"] * 2
    return {"data": {"type": "scalar_response", "attributes": {"columns": columns}}}


def _sentry(monitors: Monitors, seen: Seen, fault: str) -> Answer:
    if fault == "empty":
        return []
    rows: list[dict[str, t.Any]] = []
    told = {measure: monitors.series(measure, fault) for measure in _MEASURES}
    for server, requests in told["requests"].items():
        errors, p95 = told["errors"].get(server), told["p95"].get(server)
        is_number = all(isinstance(value, (int, float)) for value in (requests, errors))
        row = {
            "count()": requests,
            "failure_rate()": errors / requests if is_number and requests else None,
            "p95(span.duration)": p95,
            "p95(transaction.duration)": p95,
            "server_name": server,
        }
        if seen.words["dataset"] == ["errors"]:
            row["count()"] = errors if monitors.reported is None else monitors.reported
        rows.append({name: row[name] for name in seen.words["field"]})
    return {"data": rows * (2 if fault == "duplicate" else 1), "meta": {"fields": {}}}


def _page_of_figures(monitors: Monitors, seen: Seen, fault: str) -> Answer:
    told = {measure: monitors.series(measure, fault) for measure in _MEASURES}
    return {"app": {measure: series.get("") for measure, series in told.items()}}


def _measure_in(query: str) -> str:
    return next(measure for measure in _MEASURES if measure in query)


_REFUSALS: dict[str, tuple[int, Answer]] = {
    "unauthorized": (401, {"detail": "Invalid token", "errors": ["Unauthorized"], "error": "Unauthorized"}),
    "missing": (404, {"detail": "Not found", "errors": ["Not found"], "error": "Not found"}),
    "bad_query": (400, {"status": "error", "errorType": "bad_data", "error": "parse error at char 3"}),
    "too_many": (429, {"errors": ["Rate limit of 100 requests in 10 seconds reached"]}),
}


def _answer_to(monitors: Monitors, seen: Seen, fault: str) -> Answer:
    for beginning, kind in (
        ("/api/v1/query", _prometheus),
        ("/api/v2/query/scalar", _datadog),
        ("/api/0/organizations/", _sentry),
    ):
        if seen.path.startswith(beginning):
            return kind(monitors, seen, fault)
    return _page_of_figures(monitors, seen, fault)


class _Handler(http.server.BaseHTTPRequestHandler):
    monitors: Monitors

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        document = json.loads(self.rfile.read(length)) if length else None
        seen = Seen(parts.path, parse_qs(parts.query), dict(self.headers.items()), document, self.command)
        self.monitors.seen.append(seen)
        self._answer(seen, self.monitors.next_fault())

    do_POST = do_PUT = do_DELETE = do_GET

    def _answer(self, seen: Seen, fault: str) -> None:
        if fault in ("html", "html_500"):
            self._send(200 if fault == "html" else 500, _PAGE, {"Content-Type": "text/html"})
        elif fault == "echo":
            # Some servers repeat what they were sent.
            said = f"{self.headers.get('Authorization')} {self.headers.get('DD-API-KEY')} {self.path}"
            self._send(400, json.dumps({"error": said}).encode())
        elif fault == "redirect" and seen.path != "/elsewhere":
            self._send(302, b"", {"Location": f"{self.monitors.url}/elsewhere"})
        elif fault in _REFUSALS:
            status, answer = _REFUSALS[fault]
            extra = {"Retry-After": self.monitors.wait} if fault == "too_many" else {}
            self._send(status, json.dumps(answer).encode(), extra)
        elif not fault and (held := self._held(seen)):
            self._send(held[0], b"" if held[1] is None else json.dumps(held[1]).encode())
        else:
            self._send_slowly(json.dumps(_answer_to(self.monitors, seen, fault)).encode(), fault)

    def _held(self, seen: Seen) -> tuple[int, t.Any] | None:
        return self.monitors.alerts.answer(seen.method, seen.path, seen.words, seen.document)

    def _send_slowly(self, body: bytes, fault: str) -> None:
        if fault == "slow":
            time.sleep(1.5)
        if fault == "cut":
            self.close_connection = True
            self._send(200, body[: len(body) // 2], length=len(body))
        elif fault == "drip":
            self._send(200, b"", length=len(body))
            for number in range(len(body)):
                self.wfile.write(body[number : number + 1])
                self.wfile.flush()
                time.sleep(0.1)
        else:
            self._send(200, body)

    def _send(
        self, status: int, body: bytes, headers: t.Mapping[str, str] | None = None, length: int = -1
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length < 0 else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: t.Any) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """A client that has hung up is what some of the faults are for."""


@contextlib.contextmanager
def running(certificate: Path | None = None) -> t.Iterator[Monitors]:
    """With a file of key and certificate it speaks TLS."""
    monitors = Monitors(scheme="https" if certificate else "http")
    handler = type("Handler", (_Handler,), {"monitors": monitors})
    server = _Server(("127.0.0.1", 0), handler)
    monitors.port = server.server_address[1]
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield monitors
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def write_certificate(path: Path) -> None:
    """A key and a certificate for 127.0.0.1 that vouches for itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
