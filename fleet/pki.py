"""A small certificate authority for development, made on first run; keys for their owner's eyes.

Each robot's certificate names its branch of the topics (`site/robot`), and the broker takes that
name as the user: identity is in the certificate, not in what a client says of itself.
"""

import datetime
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from runtime.topics import Party, branch

AUTHORITY_DAYS = 3650
LEAF_DAYS = 825
RENEW_DAYS = 30
BACKDATE = datetime.timedelta(days=1)  # for machines whose clock is a little behind
CURVE = ec.SECP256R1()


@dataclass(frozen=True)
class KeyPair:
    certificate: Path
    key: Path


class Authority:
    """The folder with the authority and everything it has issued."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._own = KeyPair(folder / "ca.crt", folder / "ca.key")

    @property
    def ca(self) -> Path:
        return self._own.certificate

    @property
    def can_sign(self) -> bool:
        return self._own.key.is_file()

    def ensure(self) -> None:
        """Makes the authority where there is none, or where it is about to end."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if is_valid(self._own, None):
            return
        key = ec.generate_private_key(CURVE)
        name = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, "Bedplate development authority")]
        )
        builder = (
            _builder(name, name, key.public_key(), AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
        )
        _store(self._own, key, builder.sign(key, hashes.SHA256()))

    def issue_broker(self) -> KeyPair:
        return self._issue("broker", "broker", server=True)

    def issue_party(self, party: Party) -> KeyPair:
        """For the fleet's own clients, whose name is their role."""
        return self._issue(party.value, party.value, server=False)

    def issue_robot(self, site: str, robot_id: str) -> KeyPair:
        return self._issue(f"robot-{site}-{robot_id}", branch(site, robot_id), server=False)

    def issue_enrolment_server(self) -> KeyPair:
        """For the port on which robots ask to be enrolled."""
        return self._issue("enrolment", "enrolment", server=True)

    def certify_robot(self, site: str, robot_id: str, key: ec.EllipticCurvePublicKey) -> bytes:
        """A certificate for a key that the robot made itself and that never leaves it."""
        authority = x509.load_pem_x509_certificate(self._own.certificate.read_bytes())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, branch(site, robot_id))])
        usage = ExtendedKeyUsageOID.CLIENT_AUTH
        builder = _leaf(subject, authority, key, usage)
        return _pem(builder.sign(self._signer(), hashes.SHA256()))

    def _signer(self) -> ec.EllipticCurvePrivateKey:
        signer = serialization.load_pem_private_key(self._own.key.read_bytes(), None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        return signer

    def _issue(self, stem: str, common_name: str, *, server: bool) -> KeyPair:
        pair = KeyPair(self.folder / f"{stem}.crt", self.folder / f"{stem}.key")
        authority = x509.load_pem_x509_certificate(self._own.certificate.read_bytes())
        if is_valid(pair, authority) and (not server or _has_local_names(pair)):
            return pair
        key = ec.generate_private_key(CURVE)
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        builder = _leaf(subject, authority, key.public_key(), usage)
        if server:
            builder = builder.add_extension(_local_names(), critical=False)
        _store(pair, key, builder.sign(self._signer(), hashes.SHA256()))
        return pair


def is_valid(pair: KeyPair, authority: x509.Certificate | None) -> bool:
    """Whether both files are there, belong to the authority, and last for a while."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
        serialization.load_pem_private_key(pair.key.read_bytes(), None)
        if authority is not None:
            certificate.verify_directly_issued_by(authority)
            certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    except Exception as error:  # noqa: BLE001 - the library's InvalidSignature has no common base
        del error
        return False
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return left > datetime.timedelta(days=RENEW_DAYS)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _leaf(
    subject: x509.Name,
    authority: x509.Certificate,
    key: ec.EllipticCurvePublicKey,
    usage: x509.ObjectIdentifier,
) -> x509.CertificateBuilder:
    return (
        _builder(subject, authority.subject, key, LEAF_DAYS)
        .add_extension(_named_by(authority), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    )


def _named_by(authority: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Python from 3.13 on, which robots have, takes no certificate that does not say this."""
    own = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own.value)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _local_names() -> x509.SubjectAlternativeName:
    """This machine, as it calls itself and as a guest in QEMU's own network calls it."""
    addresses = (ipaddress.ip_address(text) for text in ("127.0.0.1", "::1", "10.0.2.2"))
    names: list[x509.GeneralName] = [x509.DNSName("localhost")]
    return x509.SubjectAlternativeName(names + [x509.IPAddress(item) for item in addresses])


def _has_local_names(pair: KeyPair) -> bool:
    certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return False
    return found.value == _local_names()


def _store(pair: KeyPair, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    """The key first, and never for a moment readable by others."""
    raw_key = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    for path, content in ((pair.key, raw_key), (pair.certificate, _pem(certificate))):
        partial = path.with_name(f"{path.name}.part")
        partial.unlink(missing_ok=True)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        partial.replace(path)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def equip_robot(authority: Authority, site: str, robot_id: str, folder: Path) -> None:
    """Puts into the robot's own folder what its uplink reads, keys for its eyes only."""
    pair = authority.issue_robot(site, robot_id)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for source, name in (
        (authority.ca, "ca.crt"),
        (pair.certificate, "robot.crt"),
        (pair.key, "robot.key"),
    ):
        target = folder / name
        if target.exists() and target.read_bytes() == source.read_bytes():
            continue
        partial = folder / f"{name}.part"
        partial.unlink(missing_ok=True)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(source.read_bytes())
        partial.replace(target)
