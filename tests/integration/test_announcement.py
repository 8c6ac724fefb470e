# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages against a real mail server, a real HTTP server and a real journal: each goes out once."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import tables
from ansible_collections.emailai.migration.plugins.module_utils._message.channel import CHANNEL_OPTIONS
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target, session
from ansible_collections.emailai.migration.plugins.modules.announcement import run
from check.export import ROOT
from lab.ground import free_port

RUN = "v1.9.0..v2.0.0-orgs#1"
TEXT = "Subject: It is done\n\nThank you.\n"

Result = dict[str, t.Any]
Announce = t.Callable[..., Result]


class Mailbox:
    """What a mail server was given; refuses addresses at refused.example."""

    def __init__(self) -> None:
        self.mails: list[t.Any] = []
        self.delay_seconds = 0.0
        self.is_down = False

    async def handle_RCPT(
        self, server: t.Any, session: t.Any, envelope: t.Any, address: str, options: t.Any
    ) -> str:
        if address.endswith("@refused.example"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: t.Any, session: t.Any, envelope: t.Any) -> str:
        if self.is_down:
            return "451 try again later"
        time.sleep(self.delay_seconds)
        self.mails.append(envelope)
        return "250 OK"


@pytest.fixture(scope="module")
def mail_server() -> t.Iterator[tuple[Mailbox, int]]:
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield mailbox, controller.port
    finally:
        controller.stop()


@pytest.fixture
def mailbox(mail_server: tuple[Mailbox, int]) -> Mailbox:
    mailbox, _port = mail_server
    mailbox.mails.clear()
    mailbox.delay_seconds, mailbox.is_down = 0.0, False
    return mailbox


class Sink(http.server.ThreadingHTTPServer):
    """Answers like a chat's webhook and like a status page, and keeps what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.seen: list[tuple[str, str, dict[str, t.Any], str]] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answers(http.server.BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.command, self.path, body, self.headers.get("Authorization", "")))
        answer = b"ok" if "/hook/" in self.path else json.dumps({"id": "inc-7"}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_PATCH = do_POST

    def log_message(self, format: str, *args: t.Any) -> None:
        pass


@pytest.fixture
def sink() -> t.Iterator[Sink]:
    server = Sink()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


def url_of(target: Target) -> str:
    password = f":{target.password}" if target.password else ""
    return f"postgresql://{target.user}{password}@{target.host}:{target.port}/{target.dbname}"


@pytest.fixture
def database(postgres: t.Any) -> Target:
    target: Target = postgres.new_database()
    with session(target, "test") as connection:
        tables.ensure(connection)
    return target


@pytest.fixture
def announce(mail_server: tuple[Mailbox, int], mailbox: Mailbox, sink: Sink, tmp_path: Path) -> Announce:
    def call(check_mode: bool = False, target: Target | None = None, **options: t.Any) -> Result:
        params: dict[str, t.Any] = {name: option.get("default") for name, option in CHANNEL_OPTIONS.items()}
        params |= dict.fromkeys(
            [
                "login_url",
                "login_db",
                "login_host",
                "login_port",
                "login_user",
                "login_password",
                "ssl_mode",
                "ca_cert",
            ]
        )
        params |= {
            "run_id": RUN,
            "name": "complete",
            "occasion": "",
            "text": TEXT,
            "channel": "mail",
            "is_rehearsal": False,
        }
        params |= {"smtp_host": "127.0.0.1", "smtp_port": mail_server[1], "smtp_tls": "none"}
        params |= {"sender": "EmailAI <notices@example.com>", "recipients": ["users@lists.example.com"]}
        params |= {"chat_url": f"{sink.url}/hook/T0K3N", "folder": str(tmp_path / "outbox")}
        params |= {"status_page_url": sink.url, "status_page_id": "page", "status_page_key": "K3Y"}
        if target is not None:
            params["login_url"] = url_of(target)
        return run(params | options, check_mode)

    return call


def rows(target: Target) -> list[tuple[str, str]]:
    with session(target, "test") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT name, channel FROM emailai_migration.message ORDER BY sent_at")
        return cursor.fetchall()


def test_a_mail_goes_out_once_in_check_mode_for_real_and_again(
    announce: Announce, mailbox: Mailbox, database: Target
) -> None:
    predicted = announce(check_mode=True, target=database)
    assert (predicted["changed"], predicted["state"], mailbox.mails, rows(database)) == (
        True,
        "would_be_sent",
        [],
        [],
    )
    assert predicted["text"] == "It is done\n\nThank you.\n"

    sent = announce(target=database)
    assert (sent["changed"], sent["state"], sent["is_noted"]) == (True, "sent", True)
    assert len(mailbox.mails) == 1
    assert mailbox.mails[0].mail_from == "notices@example.com"
    assert mailbox.mails[0].rcpt_tos == ["users@lists.example.com"]
    assert b"Subject: It is done" in mailbox.mails[0].content

    again_in_check_mode = announce(check_mode=True, target=database)
    again = announce(target=database)
    assert [found["state"] for found in (again_in_check_mode, again)] == ["known", "known"]
    assert not again["changed"]
    assert again["sent_at"].endswith("UTC")
    assert len(mailbox.mails) == 1
    assert rows(database) == [("complete", "mail")]


def test_two_operators_at_the_same_moment_send_one_mail(
    announce: Announce, mailbox: Mailbox, database: Target
) -> None:
    mailbox.delay_seconds = 0.3
    found: list[Result] = []
    threads = [threading.Thread(target=lambda: found.append(announce(target=database))) for _n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(result["state"] for result in found) == ["known", "known", "known", "sent"]
    assert len(mailbox.mails) == 1


def test_a_mail_that_failed_goes_out_later(announce: Announce, mailbox: Mailbox, database: Target) -> None:
    mailbox.is_down = True
    with pytest.raises(MigrationError, match="Cannot send message 'complete' by mail"):
        announce(target=database)
    assert rows(database) == []
    mailbox.is_down = False
    assert announce(target=database)["state"] == "sent"


def test_another_run_channel_or_occasion_is_another_message(
    announce: Announce, mailbox: Mailbox, sink: Sink, database: Target
) -> None:
    announce(target=database)
    announce(target=database, run_id="v1.9.0..v2.0.0-orgs#2")
    announce(target=database, occasion="half way")
    announce(target=database, channel="chat")
    assert (len(mailbox.mails), len(sink.seen)) == (3, 1)
    assert ("complete:half way", "mail") in rows(database)


def test_without_a_database_it_sends_each_time_and_says_so(announce: Announce, mailbox: Mailbox) -> None:
    assert not announce()["is_noted"]
    assert "nothing keeps it from being sent again" in announce()["msg"]
    assert len(mailbox.mails) == 2


def test_a_database_without_a_journal_is_refused_before_anything_is_sent(
    announce: Announce, mailbox: Mailbox, postgres: t.Any
) -> None:
    empty = postgres.new_database()
    with pytest.raises(MigrationError, match="has no journal in which it would be noted"):
        announce(target=empty)
    assert announce(check_mode=True, target=empty)["state"] == "would_be_sent"
    assert mailbox.mails == []


def test_a_rehearsal_sends_nothing(
    announce: Announce, mailbox: Mailbox, sink: Sink, database: Target, tmp_path: Path
) -> None:
    for channel in ("mail", "chat", "file", "status_page"):
        held = announce(target=database, channel=channel, is_rehearsal=True, status_page_step="opened")
        assert (held["state"], held["changed"]) == ("held", False)
    assert (mailbox.mails, sink.seen, rows(database)) == ([], [], [])
    assert not (tmp_path / "outbox").exists()


def test_an_unset_placeholder_is_refused_before_anything_is_sent(
    announce: Announce, mailbox: Mailbox, database: Target
) -> None:
    for check_mode in (True, False):
        with pytest.raises(MigrationError, match="contact is not set"):
            announce(check_mode, database, text="Subject: x\n\n⟦contact⟧\n")
    assert (mailbox.mails, rows(database)) == ([], [])


def test_several_recipients_get_one_mail_and_those_refused_are_counted(
    announce: Announce, mailbox: Mailbox, database: Target
) -> None:
    sent = announce(target=database, recipients=["a@example.com", "b@refused.example", "c@example.com"])
    assert sent["detail"] == {"recipients": 2, "refused": 1}
    assert "refused 1 of its recipients" in sent["msg"]
    assert [mail.rcpt_tos for mail in mailbox.mails] == [["a@example.com", "c@example.com"]]


def test_if_all_are_refused_nothing_was_sent(announce: Announce, database: Target) -> None:
    with pytest.raises(MigrationError, match=r"accepts no recipient \(550 no such user\)"):
        announce(target=database, recipients=["b@refused.example"])
    assert rows(database) == []


def test_a_server_without_tls_is_refused_unless_told(announce: Announce, mailbox: Mailbox) -> None:
    with pytest.raises(MigrationError, match="STARTTLS"):
        announce(smtp_tls="starttls")
    assert mailbox.mails == []


def test_no_mail_server_is_a_sentence(announce: Announce) -> None:
    with pytest.raises(
        MigrationError, match=r"Cannot send message 'complete' by mail: 127\.0\.0\.1:\d+: .*refused"
    ):
        announce(smtp_port=free_port())


def test_the_chat_gets_the_text_once(announce: Announce, sink: Sink, database: Target) -> None:
    for _ignored in range(2):
        announce(target=database, channel="chat")
    assert [(path, body) for _method, path, body, _key in sink.seen] == [
        ("/hook/T0K3N", {"text": "*It is done*\nThank you."})
    ]


def test_a_chat_that_refuses_is_named_without_its_secret(
    announce: Announce, sink: Sink, database: Target
) -> None:
    sink.status = 404
    with pytest.raises(MigrationError) as caught:
        announce(target=database, channel="chat")
    assert "127.0.0.1 answers 404" in str(caught.value)
    assert "T0K3N" not in str(caught.value)
    assert rows(database) == []


def test_the_outbox_gets_a_file(announce: Announce, database: Target, tmp_path: Path) -> None:
    sent = announce(target=database, channel="file")
    path = Path(sent["detail"]["path"])
    assert path.parent == tmp_path / "outbox"
    assert path.read_text("utf-8") == "It is done\n\nThank you.\n"
    assert list(path.parent.iterdir()) == [path]


def test_one_incident_is_opened_updated_and_resolved(
    announce: Announce, sink: Sink, database: Target
) -> None:
    for name, step in (("started", "opened"), ("updated", "updated"), ("complete", "resolved")):
        for _ignored in range(2):
            announce(target=database, channel="status_page", name=name, status_page_step=step)
    assert [(method, path, body["incident"]["status"]) for method, path, body, _key in sink.seen] == [
        ("POST", "/pages/page/incidents", "identified"),
        ("PATCH", "/pages/page/incidents/inc-7", "monitoring"),
        ("PATCH", "/pages/page/incidents/inc-7", "resolved"),
    ]
    assert all(key == "OAuth K3Y" for *_rest, key in sink.seen)
    assert not any(body["incident"]["deliver_notifications"] for _method, _path, body, _key in sink.seen)


@pytest.mark.parametrize("channel", ["mail", "chat", "file", "status_page"])
def test_a_channel_without_its_options_says_which(announce: Announce, channel: str) -> None:
    nothing = {"sender": None, "chat_url": None, "folder": None, "status_page_key": None}
    with pytest.raises(MigrationError, match=r"(is|are) not set"):
        announce(channel=channel, **nothing)


PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: emailai.migration.announcement
        tasks_from: announce
"""


def play(tmp_path: Path, *words: str, **variables: t.Any) -> subprocess.CompletedProcess[str]:
    """The role as an operator calls it."""
    (tmp_path / "play.yml").write_text(PLAY, "utf-8")
    (tmp_path / "vars.json").write_text(json.dumps(variables), "utf-8")
    (tmp_path / "ansible.cfg").write_text("[defaults]\n", "utf-8")
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_HOME": str(tmp_path / "home"),
    }  # fmt: skip
    playbook = Path(sys.executable).with_name("ansible-playbook")
    return subprocess.run(
        [playbook, "-i", "localhost,", tmp_path / "play.yml", "-e", f"@{tmp_path / 'vars.json'}", *words],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_role_shows_and_sends_only_what_is_proven(
    mail_server: tuple[Mailbox, int], mailbox: Mailbox, database: Target, tmp_path: Path
) -> None:
    with session(database, "test") as connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO emailai_migration.run"
            " (id, number, release_before, release_after, map_digest, state, owner, host)"
            " VALUES (%s, 1, 'v1.9.0', 'v2.0.0-orgs', '', 'rolling_back', 'ada', 'laptop')",
            (RUN,),
        )
        cursor.execute(
            "INSERT INTO emailai_migration.event (run_id, kind, message, detail)"
            " VALUES (%s, 'event', 'no data lost', '{\"proves\": \"no_data_loss\"}')",
            (RUN,),
        )
        connection.commit()
    variables: dict[str, t.Any] = {
        "announcement_name": "paused",
        "announcement_channels": ["mail", "file"],
        "announcement_url": url_of(database),
        "announcement_folder": str(tmp_path / "outbox"),
        "announcement_smtp_host": "127.0.0.1",
        "announcement_smtp_port": mail_server[1],
        "announcement_smtp_tls": "none",
        "announcement_sender": "notices@example.com",
        "announcement_recipients": ["users@lists.example.com"],
        "announcement_proven": {"services_operational": True},
        "ansible_python_interpreter": sys.executable,
    }
    checked = play(tmp_path, "--check", **variables)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "No data was lost" in checked.stdout
    assert mailbox.mails == []

    sent = play(tmp_path, **variables)
    assert sent.returncode == 0, sent.stdout + sent.stderr
    assert len(mailbox.mails) == 1
    text = (tmp_path / "outbox" / "v1.9.0..v2.0.0-orgs-1-paused.txt").read_text("utf-8")
    assert "✓ All services are running" in text
    assert "✓ No data was lost" in text
    assert "works again" not in text
