"""One approval, two servers: an enrolled robot is let in by the Mender server with its own key."""

import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from typer.testing import CliRunner

from conf.load import compose
from fleet.clock import SystemClock
from fleet.enrolment import FILE, EnrolmentRefusedError, Enrolments, invitation
from fleet.enrolment_api import EnrolmentSite, enrolment_server
from fleet.enrolment_cli import app as cli
from fleet.pki import Authority
from fleet.prepare import LocalRobot, make_settings
from fleet.settings import FleetSettings, write_settings
from ota.mender import Credentials, write_credentials
from runtime.enrol import (
    UPDATE_KEY,
    Invitation,
    ask_fleet,
    enrol,
    ensure_key,
    request_for,
    update_key,
)
from runtime.paths import Paths
from tests.ota.mender_api.rig import Console, Device, connect
from tests.ota.mender_double.serve import Served, serve

NAME = "osaka-02"
NOW_S = int(time.time())


@dataclass
class Site:
    settings: FleetSettings
    enrolments: Enrolments
    url: str
    served: Served

    def invite(self) -> Invitation:
        now_s = int(time.time())
        token = self.enrolments.invite(NAME, "osaka", now_s, 1.0)
        ca = Authority(self.settings.pki).ca.read_text()
        document = invitation(NAME, "osaka", token, ca, self.url, ("10.0.2.2", 8883))
        return Invitation.model_validate(document)

    def log_in(self, token: str = "") -> None:
        console = connect(
            self.served.url, self.served.trust(), self.served.user, self.served.password
        )
        known = Credentials(
            url=self.served.url, authority=self.served.certificate, token=token or console.token
        )
        console.http.close()
        write_credentials(self.settings.mender_credentials, known)

    def approve(self, code: int = 0) -> str:
        words = ["approve", NAME, "--fleet-dir", str(self.settings.root)]
        result = CliRunner().invoke(cli, words)
        assert result.exit_code == code, result.output
        return result.output


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    root = tmp_path / "fleet"
    local = LocalRobot(tmp_path / "pki", tmp_path / "agent.sock", tmp_path / "faults.sock")
    settings = make_settings(compose().config, root, local)
    authority = Authority(settings.pki)
    authority.ensure()
    write_settings(settings)
    enrolments, listener = Enrolments(root, authority), socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    asked = EnrolmentSite(enrolments, SystemClock())
    server = enrolment_server(asked, authority.issue_enrolment_server(), "127.0.0.1", port)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    with serve(tmp_path / "mender") as served:
        yield Site(settings, enrolments, f"https://127.0.0.1:{port}", served)
    server.should_exit = True
    thread.join(10)
    listener.close()


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "robot" / "run", tmp_path / "robot" / "data")


@pytest.fixture
def console(site: Site) -> Iterator[Console]:
    made = connect(site.served.url, site.served.trust(), site.served.user, site.served.password)
    yield made
    made.http.close()


def robot_of(paths: Paths, console: Console) -> Device:
    key = serialization.load_pem_private_key((paths.pki / UPDATE_KEY).read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Device(console.http, {"robot_id": NAME}, key)


def test_one_approval_lets_a_robot_in_at_both_servers(site: Site, paths: Paths, console: Console):
    site.log_in()
    made = site.invite()
    ask = ask_fleet(made, update_key(paths.pki))
    enrol(made, paths, ask, lambda _s: print(site.approve()))
    assert (paths.pki / "robot.crt").exists()
    assert (paths.pki / UPDATE_KEY).stat().st_mode & 0o077 == 0
    assert robot_of(paths, console).ask().status_code == 200
    assert "known already" in site.approve()


def test_the_two_keys_of_a_robot_are_not_one(paths: Paths):
    assert update_key(paths.pki) == update_key(paths.pki), "made once"
    own = ensure_key(paths.pki).public_key()
    other = serialization.load_pem_public_key(update_key(paths.pki).encode())
    assert own != other


def test_without_a_mender_server_an_approval_is_as_before(site: Site, paths: Paths):
    made = site.invite()
    enrol(made, paths, ask_fleet(made, update_key(paths.pki)), lambda _s: print(site.approve()))
    assert "updates" not in site.approve()


def test_a_mender_server_that_refuses_leaves_the_approval_and_is_asked_again(
    site: Site, paths: Paths, console: Console
):
    site.log_in(token="x.y.z")
    made = site.invite()
    shown = []
    ask = ask_fleet(made, update_key(paths.pki))
    enrol(made, paths, ask, lambda _s: shown.append(site.approve(code=2)))
    assert "certified, but is not known to the Mender server" in shown[0]
    assert robot_of(paths, console).ask().status_code == 401
    site.log_in()
    assert "preauthorized" in site.approve()
    assert robot_of(paths, console).ask().status_code == 200


def test_a_robot_that_asked_the_mender_server_first_is_let_in_too(
    site: Site, paths: Paths, console: Console
):
    site.log_in()
    made, pem = site.invite(), update_key(paths.pki)
    assert robot_of(paths, console).ask().status_code == 401
    enrol(made, paths, ask_fleet(made, pem), lambda _s: print(site.approve()))
    assert robot_of(paths, console).ask().status_code == 200


def asked(site: Site, paths: Paths, update_key_pem: str) -> tuple[Invitation, str]:
    made = site.invite()
    csr = request_for(made, ensure_key(paths.pki))
    site.enrolments.ask(NAME, made.token, csr, NOW_S, update_key_pem)
    return made, csr


def test_whoever_overheard_a_request_cannot_put_a_key_of_his_own_under_it(
    site: Site, paths: Paths, tmp_path: Path
):
    made, csr = asked(site, paths, update_key(paths.pki))
    for other in (update_key(tmp_path / "thief"), ""):
        with pytest.raises(EnrolmentRefusedError, match="another key"):
            site.enrolments.ask(NAME, made.token, csr, NOW_S, other)
    site.enrolments.approve(NAME, NOW_S)
    assert site.enrolments.update_key(NAME) == update_key(paths.pki)


def test_a_key_is_told_of_nobody_who_is_not_approved(site: Site, paths: Paths):
    asked(site, paths, update_key(paths.pki))
    assert site.enrolments.update_key(NAME) == ""
    assert site.enrolments.update_key("nobody") == ""


@pytest.mark.parametrize("kind", ["text", "rsa", "curve", "private"])
def test_only_a_public_p256_key_is_one(site: Site, paths: Paths, kind: str):
    pem_public = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    private = (
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    curve = ec.generate_private_key(ec.SECP256R1())
    pem = {
        "text": b"no key",
        "rsa": rsa.generate_private_key(65537, 2048).public_key().public_bytes(*pem_public),
        "curve": ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(*pem_public),
        "private": curve.private_bytes(*private),
    }[kind]
    with pytest.raises(EnrolmentRefusedError, match="cannot be used"):
        asked(site, paths, pem.decode())


def test_a_book_of_an_earlier_version_is_read_on(site: Site, paths: Paths):
    book = sqlite3.connect(site.settings.root / FILE)
    book.execute("ALTER TABLE enrolment DROP COLUMN update_key_pem")
    book.commit()
    book.close()
    again = Enrolments(site.settings.root, Authority(site.settings.pki))
    assert again.all() == []
    asked(site, paths, "")
    again.approve(NAME, NOW_S)
    assert again.update_key(NAME) == ""
