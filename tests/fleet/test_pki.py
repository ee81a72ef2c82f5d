"""The development authority: made once, keys for one's own eyes, names that cannot be borrowed."""

import contextlib
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fleet.pki import Authority, KeyPair, equip_robot
from runtime.topics import Party

OTHER = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    authority = Authority(tmp_path / "pki")
    authority.ensure()
    return authority


def read(pair: KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes())


def test_every_file_is_readable_by_its_owner_only(authority: Authority, tmp_path: Path) -> None:
    authority.issue_broker()
    equip_robot(authority, "osaka", "osaka-01", tmp_path / "robot")
    for path in [*authority.folder.iterdir(), *(tmp_path / "robot").iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_second_start_keeps_what_is_good(authority: Authority) -> None:
    first = authority.issue_robot("osaka", "osaka-01").certificate.read_bytes()
    ca = authority.ca.read_bytes()
    authority.ensure()
    assert authority.ca.read_bytes() == ca
    assert authority.issue_robot("osaka", "osaka-01").certificate.read_bytes() == first


def test_new_authority_issues_anew(authority: Authority) -> None:
    first = authority.issue_party(Party.INGEST).certificate.read_bytes()
    (authority.folder / "ca.key").unlink()
    authority.ensure()
    assert authority.issue_party(Party.INGEST).certificate.read_bytes() != first


def test_strict_reading_of_the_standard_accepts_all_of_them(authority: Authority) -> None:
    """As Python 3.13 reads it, which robots run; the default of 3.11 and 3.12 lets more pass."""
    robot = ec.generate_private_key(ec.SECP256R1())
    made = authority.certify_robot("osaka", "osaka-02", robot.public_key())
    certified = authority.folder.parent / "robot.crt"
    certified.write_bytes(made)
    keyed = authority.folder.parent / "robot.key"
    keyed.write_bytes(
        robot.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    for server in (authority.issue_broker(), authority.issue_enrolment_server()):
        shake_hands(server, KeyPair(certified, keyed), authority.ca)


def test_certificate_that_does_not_name_its_authority_is_issued_again(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = x509.AuthorityKeyIdentifier(b"x", None, None)
    monkeypatch.setattr("fleet.pki._named_by", lambda _: x509.UnrecognizedExtension(OTHER, b""))
    first = authority.issue_broker().certificate.read_bytes()
    monkeypatch.setattr("fleet.pki._named_by", lambda _: nothing)
    assert authority.issue_broker().certificate.read_bytes() != first


def shake_hands(server: KeyPair, client: KeyPair, ca: Path) -> None:
    """Both sides of a TLS connection in memory, both strict."""
    sides = []
    for purpose, pair in ((ssl.Purpose.CLIENT_AUTH, server), (ssl.Purpose.SERVER_AUTH, client)):
        context = ssl.create_default_context(purpose, cafile=str(ca))
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(pair.certificate, pair.key)
        sides.append(context)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    serving = sides[0].wrap_bio(to_server, to_client, server_side=True)
    asking = sides[1].wrap_bio(to_client, to_server, server_hostname="10.0.2.2")
    open_ends = [asking, serving]
    for _ in range(8):
        for end in list(open_ends):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
                open_ends.remove(end)
    assert open_ends == []


@pytest.mark.parametrize("damage", [b"", b"-----BEGIN CERTIFICATE-----\nxx\n"])
def test_damaged_certificate_is_issued_again(authority: Authority, damage: bytes) -> None:
    pair = authority.issue_broker()
    pair.certificate.write_bytes(damage)
    assert read(authority.issue_broker()).subject


def test_robot_is_named_by_its_branch_and_may_only_be_a_client(authority: Authority) -> None:
    certificate = read(authority.issue_robot("osaka", "osaka-01"))
    (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert name.value == "osaka/osaka-01"
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not basic.ca


def test_robot_whose_name_reaches_elsewhere_gets_no_certificate(authority: Authority) -> None:
    with pytest.raises(ValueError, match="cannot be part of a topic"):
        authority.issue_robot("osaka", "+")


def test_broker_is_good_for_the_loopback_addresses(authority: Authority) -> None:
    certificate = read(authority.issue_broker())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    assert addresses == ["127.0.0.1", "::1", "10.0.2.2"], "the last is this machine to a guest"


def test_a_server_certificate_without_todays_names_is_made_anew(tmp_path, monkeypatch):
    authority = Authority(tmp_path)
    authority.ensure()
    monkeypatch.setattr(
        "fleet.pki._local_names", lambda: x509.SubjectAlternativeName([x509.DNSName("old")])
    )
    old = authority.issue_broker().certificate.read_bytes()
    assert authority.issue_broker().certificate.read_bytes() == old
    monkeypatch.undo()
    assert authority.issue_broker().certificate.read_bytes() != old
