"""The development authority: made once, keys for one's own eyes, names that cannot be borrowed."""

import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fleet.pki import Authority, KeyPair, equip_robot
from runtime.topics import Party


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
