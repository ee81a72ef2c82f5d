"""Mails, chat and pager through a real Alertmanager: told in full, and with secrets from files."""

import json
import ssl
import subprocess
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from conf.schema.alerts import Severity
from conf.schema.notify import Notify
from fleet.alerts.alertmanager import Alertmanager, command
from fleet.pki import Authority
from tests.fleet.alerts.test_alertmanager import alert, has_alertmanager
from tests.fleet.alerts.test_service import Hook
from tests.fleet.conftest import wait_for
from tests.fleet.ports import own_port

__all__ = ["has_alertmanager"]

PAGE = "https://fleet.example/"
SOON = {"group_wait_s": 1, "group_interval_s": 1}
PASSWORD, ROUTING_KEY = "a mail password", "a routing key"


class Post:
    """A mail server that takes mail over TLS only, and only from who knows the password."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder / "pki")
        authority.ensure()
        pair = authority.issue_enrolment_server()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pair.certificate, pair.key)
        self.ca = authority.ca
        self.mails: list[EmailMessage] = []
        self.taken_over_tls: list[bool] = []
        self.refused = 0
        self.port = own_port(39_625)
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            tls_context=context,
            require_starttls=True,
            auth_required=True,
            authenticator=self._knows,
            auth_exclude_mechanism=["LOGIN"],  # its prompts are of a kind that few clients know
        )
        self._controller.start()

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:
        self.taken_over_tls.append(session.ssl is not None)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 taken"

    def _knows(self, _server: Any, _session: Any, _envelope: Any, _kind: str, said: Any) -> Any:
        good = isinstance(said, LoginPassword) and said == LoginPassword(
            b"fleet", PASSWORD.encode()
        )
        self.refused += not good
        return AuthResult(success=good)

    def told(self, *words: str) -> list[EmailMessage]:
        """The mails that have every one of these words in their subject."""
        mails = list(self.mails)
        return [mail for mail in mails if all(word in str(mail["subject"]) for word in words)]

    def close(self) -> None:
        self._controller.stop()


class Site:
    def __init__(self, folder: Path) -> None:
        self.post, self.chat, self.pager = Post(folder), Hook(), Hook()
        self.folder = folder
        self.notify = Notify.model_validate_json(json.dumps(self._raw()))
        self.client = Alertmanager(self.notify, PAGE)
        with (folder / "alertmanager.log").open("ab") as log:
            self.process = subprocess.Popen(command(self.notify, folder, PAGE), stderr=log)
        wait_for(self.client.is_ready, 60)

    def _raw(self) -> dict[str, Any]:
        mail = {
            "kind": "email",
            "to": "oncall@example.org",
            "sender": "fleet@example.org",
            "smarthost": f"127.0.0.1:{self.post.port}",
            "user": "fleet",
            "ca_file": str(self.post.ca),
        }
        return {
            "alertmanager": True,
            "alertmanager_port": own_port(39_293),
            "receivers": {
                "mail": {**mail, "secret_file": self._secret("mail", PASSWORD)},
                "thief": {**mail, "secret_file": self._secret("other", "something else")},
                "chat": {
                    "kind": "chat",
                    "channel": "#robots",
                    "secret_file": self._secret("chat", self.chat.url),
                },
                "pager": {
                    "kind": "pager",
                    "url": self.pager.url,
                    "secret_file": self._secret("pager", ROUTING_KEY),
                },
            },
            "routes": {
                "mail": {"receiver": "mail", **SOON},
                "chat": {"receiver": "chat", **SOON},
                "wake": {"match": {"severity": ["critical"]}, "receiver": "pager", **SOON},
                "thief": {"match": {"subject": ["osaka-09"]}, "receiver": "thief", **SOON},
            },
        }

    def _secret(self, name: str, text: str) -> str:
        path = self.folder / f"{name}.secret"
        path.write_text(text)
        path.chmod(0o600)
        return str(path)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.client.close()
        self.post.close()
        for hook in (self.chat, self.pager):
            hook.close()


@pytest.fixture(scope="module")
def site(has_alertmanager: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("delivery"))
    yield made
    made.close()


def test_alert_and_its_end_are_mailed_over_tls_with_what_to_do(site: Site) -> None:
    hot = alert("osaka-01")
    site.client.send([hot], [], time.time_ns())
    wait_for(lambda: site.post.told("[FIRING:1]", "osaka-01") != [], 60)
    mail = site.post.told("[FIRING:1]", "osaka-01")[0]
    assert (mail["to"], mail["from"]) == ("oncall@example.org", "fleet@example.org")
    body = mail.get_body(("html", "plain"))
    assert body is not None
    text = body.get_content()
    assert "osaka-01 is hot: 75 °C" in text
    assert hot.runbook in text
    assert f"{PAGE}robots/osaka-01" in text
    assert "127.0.0.1" not in text
    site.client.send([], [(hot, time.time_ns())], time.time_ns())
    wait_for(lambda: site.post.told("[RESOLVED]", "osaka-01") != [], 60)
    assert all(site.post.taken_over_tls)


def test_chat_and_pager_are_told_at_the_address_and_with_the_key_from_their_files(
    site: Site,
) -> None:
    stop = alert("osaka-02", "stop_entered", severity=Severity.CRITICAL)
    site.client.send([stop], [], time.time_ns())
    wait_for(lambda: any("stop_entered" in json.dumps(one) for one in list(site.chat.taken)), 60)
    wait_for(lambda: site.pager.taken != [], 60)
    assert site.chat.taken[-1]["channel"] == "#robots"
    paged = site.pager.taken[0]
    assert (paged["routing_key"], paged["event_action"]) == (ROUTING_KEY, "trigger")
    assert not any("osaka-01" in json.dumps(one) for one in site.pager.taken)  # only a warning


def test_wrong_password_is_refused_and_holds_up_nobody_else(site: Site) -> None:
    site.client.send([alert("osaka-09", "disk")], [], time.time_ns())
    wait_for(lambda: site.post.refused > 0, 60)
    wait_for(lambda: site.post.told("test.disk") != [], 60)


def test_no_secret_is_written_into_its_configuration(site: Site) -> None:
    text = (site.folder / "alertmanager.yml").read_text()
    for secret in (PASSWORD, ROUTING_KEY, site.chat.url):
        assert secret not in text
