"""Enrolment with the real server on loopback: the way in, and everybody who should not get in."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from fleet.clock import SystemClock
from fleet.enrolment import (
    DAY_S,
    FILE,
    EnrolmentError,
    EnrolmentRefusedError,
    Enrolments,
    Refusal,
    State,
    invitation,
)
from fleet.enrolment_api import REFUSALS_MAX, EnrolmentSite, enrolment_server
from fleet.enrolment_cli import app as cli
from fleet.pki import Authority
from fleet.prepare import LocalRobot, make_settings
from fleet.settings import write_settings
from runtime.enrol import (
    Invitation,
    RefusedError,
    ask_fleet,
    enrol,
    ensure_key,
    read_invitation,
    reply_of,
    request_for,
)
from runtime.fleet_address import Address, read_address
from runtime.paths import Paths

NOW_S = 1_800_000_000


@dataclass
class Fleet:
    root: Path
    authority: Authority
    enrolments: Enrolments
    url: str = ""

    def invite(self, robot_id: str = "osaka-02", **changes: object) -> Invitation:
        token = self.enrolments.invite(robot_id, "osaka", int(time.time()), 1.0)
        made = invitation(
            robot_id, "osaka", token, self.authority.ca.read_text(), self.url, ("10.0.2.2", 8883)
        )
        return Invitation.model_validate({**made, **changes})


@pytest.fixture
def offline(tmp_path: Path) -> Fleet:
    authority = Authority(tmp_path / "fleet" / "pki")
    authority.ensure()
    root = tmp_path / "fleet"
    return Fleet(root, authority, Enrolments(root, authority), "https://127.0.0.1:1")


@pytest.fixture
def fleet(offline: Fleet) -> Iterator[Fleet]:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    site = EnrolmentSite(offline.enrolments, SystemClock())
    pair = offline.authority.issue_enrolment_server()
    server = enrolment_server(site, pair, "127.0.0.1", port)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    offline.url = f"https://127.0.0.1:{port}"
    yield offline
    server.should_exit = True
    thread.join(10)
    listener.close()


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "robot" / "run", tmp_path / "robot" / "data")


def approve_when_asked(fleet: Fleet, robot_id: str):
    """An operator who looks whenever the robot pauses."""

    def pause(_seconds: float) -> None:
        fleet.enrolments.approve(robot_id, NOW_S)

    return pause


def test_a_flashed_robot_gets_a_certificate_for_the_key_it_made(fleet: Fleet, paths: Paths) -> None:
    made = fleet.invite()
    enrol(made, paths, ask_fleet(made), approve_when_asked(fleet, "osaka-02"))
    certificate = x509.load_pem_x509_certificate((paths.pki / "robot.crt").read_bytes())
    key = serialization.load_pem_private_key((paths.pki / "robot.key").read_bytes(), None)
    assert certificate.public_key() == key.public_key()
    assert (paths.pki / "robot.key").stat().st_mode & 0o077 == 0
    name = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    assert name == "osaka/osaka-02", "the broker takes this name as the user"
    issuer = x509.load_pem_x509_certificate(fleet.authority.ca.read_bytes())
    certificate.verify_directly_issued_by(issuer)
    usage = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not usage.ca
    assert read_address(paths.pki) == Address("10.0.2.2", 8883)
    assert [row.state for row in fleet.enrolments.all()] == [State.APPROVED]


def test_nobody_is_certified_before_an_operator_says_so(fleet: Fleet, paths: Paths) -> None:
    made = fleet.invite()
    ask = ask_fleet(made)
    csr = request_for(made, ensure_key(paths.pki))
    for _ in range(3):
        reply = ask(csr)
        assert reply is not None
        assert (reply.state, reply.certificate_pem) == ("asked", "")


@pytest.mark.parametrize("cut_after", ["key", "ask", "approval"])
def test_an_enrolment_that_was_cut_off_goes_on(fleet: Fleet, paths: Paths, cut_after: str) -> None:
    made = fleet.invite()
    key = ensure_key(paths.pki)
    if cut_after != "key":
        ask_fleet(made)(request_for(made, key))
    if cut_after == "approval":
        fleet.enrolments.approve("osaka-02", NOW_S)
    (paths.pki / "robot.crt.part").write_text("half a certi")
    enrol(made, paths, ask_fleet(made), approve_when_asked(fleet, "osaka-02"))
    certificate = x509.load_pem_x509_certificate((paths.pki / "robot.crt").read_bytes())
    assert certificate.public_key() == key.public_key(), "the key was kept"


# Those who should not get in


def test_a_wrong_token_is_refused_for_good(fleet: Fleet, paths: Paths) -> None:
    made = fleet.invite(token="x" * 43)
    with pytest.raises(RefusedError, match="do not belong together"):
        enrol(made, paths, ask_fleet(made))
    assert [row.state for row in fleet.enrolments.all()] == [State.INVITED]


def test_a_token_of_one_robot_is_no_good_for_another(fleet: Fleet, paths: Paths) -> None:
    first, second = fleet.invite("osaka-02"), fleet.invite("osaka-03")
    thief = first.model_copy(update={"robot_id": second.robot_id})
    with pytest.raises(RefusedError, match="do not belong together"):
        enrol(thief, paths, ask_fleet(thief))


def test_a_token_is_good_for_one_key_only(fleet: Fleet, tmp_path: Path) -> None:
    made = fleet.invite()
    ask = ask_fleet(made)
    ask(request_for(made, ensure_key(tmp_path / "robot")))
    with pytest.raises(RefusedError, match="used with another key"):
        ask(request_for(made, ensure_key(tmp_path / "thief")))
    fleet.enrolments.approve("osaka-02", NOW_S)
    with pytest.raises(RefusedError, match="used with another key"):
        ask(request_for(made, ensure_key(tmp_path / "thief")))


def test_an_unknown_name_and_a_wrong_token_sound_alike(fleet: Fleet, paths: Paths) -> None:
    made = fleet.invite()
    csr = request_for(made, ensure_key(paths.pki))
    context = ssl.create_default_context(cadata=made.ca_pem)
    answers = []
    for robot_id in ("osaka-02", "osaka-99"):
        body = {"robot_id": robot_id, "token": "x" * 43, "csr_pem": csr}
        reply = httpx.post(f"{fleet.url}/enrol/v1", json=body, verify=context)
        answers.append((reply.status_code, reply.json()))
    assert answers[0] == answers[1]


def test_an_expired_token_is_refused_and_an_ask_in_time_is_not(
    offline: Fleet, paths: Paths
) -> None:
    token = offline.enrolments.invite("osaka-02", "osaka", NOW_S, 1.0)
    made = offline.invite().model_copy(update={"token": token})
    token = offline.enrolments.invite("osaka-02", "osaka", NOW_S, 1.0)
    csr = request_for(made, ensure_key(paths.pki))
    with pytest.raises(EnrolmentRefusedError) as caught:
        offline.enrolments.ask("osaka-02", token, csr, NOW_S + DAY_S)
    assert caught.value.refusal is Refusal.EXPIRED
    offline.enrolments.ask("osaka-02", token, csr, NOW_S + DAY_S - 1)
    # An operator may take longer than the token lives: the question was in time.
    offline.enrolments.approve("osaka-02", NOW_S + 9 * DAY_S)
    assert offline.enrolments.ask("osaka-02", token, csr, NOW_S + 9 * DAY_S).certificate_pem


def pem_request(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, name: str) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    built = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def wrong_requests() -> dict[str, str]:
    good = ec.generate_private_key(ec.SECP256R1())
    right, other = pem_request(good, "osaka/osaka-02"), pem_request(good, "osaka/osaka-03")
    der = bytearray(x509.load_pem_x509_csr(right.encode()).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    broken = ssl.DER_cert_to_PEM_cert(bytes(der)).replace("CERTIFICATE", "CERTIFICATE REQUEST")
    return {
        "another robot's name": other,
        "the fleet's own name": pem_request(good, "fleet"),
        "another kind of key": pem_request(rsa.generate_private_key(65537, 2048), "osaka/osaka-02"),
        "another curve": pem_request(ec.generate_private_key(ec.SECP384R1()), "osaka/osaka-02"),
        "a broken signature": broken,
        "a part of it": right[: len(right) // 2],
        "no request": "hello",
    }


@pytest.mark.parametrize("what", list(wrong_requests()))
def test_a_request_for_anything_else_is_refused(offline: Fleet, what: str) -> None:
    token = offline.enrolments.invite("osaka-02", "osaka", NOW_S, 1.0)
    with pytest.raises(EnrolmentRefusedError) as caught:
        offline.enrolments.ask("osaka-02", token, wrong_requests()[what], NOW_S)
    assert caught.value.refusal is Refusal.REQUEST
    assert offline.enrolments.all()[0].state is State.INVITED, "the token is still good"


def test_the_token_lies_nowhere_on_the_fleets_disk(offline: Fleet) -> None:
    token = offline.enrolments.invite("osaka-02", "osaka", NOW_S, 1.0)
    for file in offline.root.rglob("*"):
        if file.is_file():
            assert token.encode() not in file.read_bytes(), file
    assert (offline.root / FILE).stat().st_mode & 0o077 == 0


def test_a_robot_asks_nobody_but_its_own_fleet(fleet: Fleet, tmp_path: Path, paths: Paths) -> None:
    """A server with another authority's certificate never sees the token."""
    stranger = Authority(tmp_path / "stranger")
    stranger.ensure()
    made = fleet.invite().model_copy(update={"ca_pem": stranger.ca.read_text()})
    assert ask_fleet(made)(request_for(made, ensure_key(paths.pki))) is None
    assert [row.state for row in fleet.enrolments.all()] == [State.INVITED]


def test_guessing_is_slow(fleet: Fleet) -> None:
    context = ssl.create_default_context(cadata=fleet.authority.ca.read_text())
    with httpx.Client(base_url=fleet.url, verify=context) as client:
        body = {"robot_id": "osaka-02", "token": "guess", "csr_pem": "x"}
        answers = [client.post("/enrol/v1", json=body).status_code for _ in range(REFUSALS_MAX + 1)]
    assert set(answers[:REFUSALS_MAX]) == {403}
    assert answers[-1] == 429


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"{}", 422),
        (b'{"robot_id": "a", "token": "t", "csr_pem": 3}', 422),
        (b"x" * 20_000, 413),
    ],
)
def test_what_is_no_question_gets_no_echo(fleet: Fleet, content: bytes, status: int) -> None:
    context = ssl.create_default_context(cadata=fleet.authority.ca.read_text())
    headers = {"content-type": "application/json"}
    reply = httpx.post(f"{fleet.url}/enrol/v1", content=content, headers=headers, verify=context)
    assert reply.status_code == status
    assert b"xxx" not in reply.content
    assert httpx.get(f"{fleet.url}/", verify=context).status_code in (404, 413)


def test_a_name_that_is_enrolled_is_not_given_again(offline: Fleet, paths: Paths) -> None:
    made = offline.invite()
    csr = request_for(made, ensure_key(paths.pki))
    with pytest.raises(EnrolmentError, match="has not asked yet"):
        offline.enrolments.approve("osaka-02", NOW_S)
    offline.enrolments.ask("osaka-02", made.token, csr, int(time.time()))
    offline.enrolments.approve("osaka-02", NOW_S)
    with pytest.raises(EnrolmentError, match="enrolled already"):
        offline.enrolments.invite("osaka-02", "osaka", NOW_S, 1.0)
    with pytest.raises(EnrolmentError, match="never invited"):
        offline.enrolments.approve("osaka-03", NOW_S)
    assert offline.enrolments.forget("osaka-02")
    offline.enrolments.invite("osaka-02", "osaka", NOW_S, 1.0)


@pytest.mark.parametrize("name", ["", "Osaka", "a/b", "../x", "a+", "#", "a" * 64, "x\n"])
def test_a_name_that_would_reach_elsewhere_is_refused(offline: Fleet, name: str) -> None:
    with pytest.raises((EnrolmentError, ValueError)):
        offline.enrolments.invite(name, "osaka", NOW_S, 1.0)


def test_a_certificate_for_another_key_is_not_taken(offline: Fleet, paths: Paths) -> None:
    made = offline.invite()
    other = ec.generate_private_key(ec.SECP256R1())
    pem = offline.authority.certify_robot("osaka", "osaka-02", other.public_key()).decode()
    asked = 0

    def ask(_csr: str):
        nonlocal asked
        asked += 1
        if asked > 3:
            raise RefusedError("enough")
        return reply_of(200, json.dumps({"state": "approved", "certificate_pem": pem}).encode())

    with pytest.raises(RefusedError, match="enough"):
        enrol(made, paths, ask, lambda _: None)
    assert not (paths.pki / "robot.crt").exists()


# The operator's commands


def test_an_operator_invites_sees_and_approves(offline: Fleet, config, tmp_path: Path) -> None:
    local = LocalRobot(tmp_path / "pki", tmp_path / "a.sock", tmp_path / "f.sock")
    write_settings(make_settings(config, offline.root, local))
    where = ["--fleet-dir", str(offline.root)]
    out = tmp_path / "osaka-02.json"
    done = CliRunner().invoke(
        cli, ["invite", "osaka-02", "--site", "osaka", "--out", str(out), *where]
    )
    assert done.exit_code == 0, done.output
    assert out.stat().st_mode & 0o077 == 0
    made = read_invitation(out)
    assert CliRunner().invoke(cli, ["list", *where]).exit_code == 0
    offline.enrolments.ask(
        "osaka-02", made.token, request_for(made, ensure_key(tmp_path / "r")), int(time.time())
    )
    listed = CliRunner().invoke(cli, ["list", *where])
    assert listed.exit_code == 1, "somebody waits"
    assert "asked" in listed.output
    assert made.token not in listed.output
    assert CliRunner().invoke(cli, ["approve", "osaka-02", *where]).exit_code == 0
    assert CliRunner().invoke(cli, ["approve", "osaka-09", *where]).exit_code == 2
