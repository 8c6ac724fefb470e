# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the lab's mails and webhooks end: ``python -m lab.sinks smtp|webhook PORT PLACE``."""

from __future__ import annotations

import itertools
import json
import signal
import sys
import threading
import time
import typing as t
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class MailFolder:
    """aiosmtpd's handler: one file a message, the envelope in two header lines before it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self._numbers = itertools.count(1)

    async def handle_DATA(self, _server: t.Any, _session: t.Any, envelope: t.Any) -> str:
        name = f"{time.time_ns() // 1_000_000}-{next(self._numbers):06}.eml"
        head = f"X-Envelope-From: {envelope.mail_from}\r\nX-Envelope-To: {', '.join(envelope.rcpt_tos)}\r\n"
        draft = self.folder / f".{name}"
        draft.write_bytes(head.encode() + envelope.original_content)
        draft.rename(self.folder / name)
        return "250 OK"


def run_smtp(port: int, folder: Path) -> None:
    from aiosmtpd.controller import Controller

    controller = Controller(MailFolder(folder), hostname="127.0.0.1", port=port, ready_timeout=20)
    controller.start()
    _until_told()
    controller.stop()


class WebhookHandler(BaseHTTPRequestHandler):
    """Writes each call as a JSON line; answers as a chat does, or as a status page's API does."""

    protocol_version = "HTTP/1.1"
    place: Path
    lock = threading.Lock()
    numbers = itertools.count(1)

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(length).decode("utf-8", "replace")
        try:
            body: t.Any = json.loads(text) if text else None
        except ValueError:
            body = text
        # What opens doors is not written down.
        headers = {name: value for name, value in self.headers.items() if name.lower() != "authorization"}
        entry = {
            "at": time.time(),
            "method": self.command,
            "path": self.path,
            "headers": headers,
            "body": body,
        }
        with self.lock, self.place.open("a") as stream:
            stream.write(json.dumps(entry) + "\n")
        status, kind, content = self._reply(body)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _reply(self, body: t.Any) -> tuple[int, str, bytes]:
        parts = self.path.strip("/").split("/")
        if "incidents" not in parts:
            return 200, "text/plain", b"ok"
        known = parts[parts.index("incidents") + 1 :]
        key = known[0] if known else f"incident-{next(self.numbers)}"
        content = dict((body or {}).get("incident") or {}, id=key) if isinstance(body, dict) else {"id": key}
        return (201 if self.command == "POST" else 200), "application/json", json.dumps(content).encode()

    def log_message(self, *_arguments: t.Any) -> None:
        """The lines in the file are the log."""


def run_webhook(port: int, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    WebhookHandler.place = place
    server = ThreadingHTTPServer(("127.0.0.1", port), WebhookHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _until_told()
    server.shutdown()


def _until_told() -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_ignored: stop.set())
    stop.wait()


if __name__ == "__main__":
    {"smtp": run_smtp, "webhook": run_webhook}[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
