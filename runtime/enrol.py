"""Enrolment: a robot that was flashed with a token makes its keys and asks the fleet to be known.

`python -m runtime.enrol --data-dir D`. Can be ended at any moment and goes on where it was: the key
is made once and never leaves D/pki, the question may be asked again, and robot.crt is written last,
so that whoever finds it finds everything.
"""

import argparse
import logging
import os
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runtime.fleet_address import FILE as ADDRESS_FILE
from runtime.fleet_address import Address, address_bytes
from runtime.paths import Paths
from runtime.topics import branch

log = logging.getLogger(__name__)

FILE_MAX = 65_536
ANSWER_MAX_BYTES = 65_536
ASK_EVERY_S = 5.0
ASK_SELDOM_S = 60.0
TIMEOUT_S = 20.0
UPDATE_KEY = "mender.key"
EXIT_REFUSED = 2  # for good: systemd does not try again
EXIT_FILE = 3


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Broker(Model):
    host: Annotated[str, Field(min_length=1, max_length=253)]
    port: Annotated[int, Field(ge=1, le=65_535)]


class Invitation(Model):
    """What was written to the data partition when this robot was flashed."""

    version: Literal[1]
    robot_id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=48)]
    site: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
    # TLS only: the token and the answer are for nobody else.
    fleet_url: Annotated[str, Field(pattern=r"^https://[^\s/?#]+/?$", max_length=300)]
    broker: Broker
    token: Annotated[str, Field(min_length=16, max_length=256)]
    ca_pem: Annotated[str, Field(pattern=r"^-----BEGIN CERTIFICATE-----", max_length=16_384)]


class InvitationError(RuntimeError):
    """The file cannot be used; the text says what is wrong and what to do."""


class RefusedError(RuntimeError):
    """The fleet said no, and asking again does not help."""


@dataclass(frozen=True)
class Reply:
    state: str
    certificate_pem: str


Ask = Callable[[str], Reply | None]  # a request in; None: nobody answered, or not now


def read_invitation(path: Path) -> Invitation:
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_MAX + 1)
        return Invitation.model_validate_json(raw)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    except ValidationError as error:
        # Nothing of the file's contents is repeated: it holds the token.
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise _unusable(path, f"{place}: {first['msg']}") from error


def _unusable(path: Path, problem: str) -> InvitationError:
    return InvitationError(
        f"{path}: {problem}; without it this robot cannot ask its fleet for a certificate, and"
        " works on with its records in the spool; flash it again with an invitation of its own"
    )


def ensure_key(folder: Path, name: str = "robot.key") -> ec.EllipticCurvePrivateKey:
    """Made once; readable by its owner only, from its first byte on."""
    path = folder / name
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
            return key
        log.warning("%s is no EC P-256 key; another is made", path)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError) as error:
        log.warning("%s cannot be used (%s); another is made", path, error)
    made = ec.generate_private_key(ec.SECP256R1())
    pem = made.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    store(path, pem)
    return made


def store(path: Path, data: bytes) -> None:
    """The whole file or none, on the disk before it has its name."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f"{path.name}.part")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def update_key(folder: Path) -> str:
    """The public half of the key by which the update client is known to its server; the client
    reads the other half where this leaves it. A key of its own: it is used by another program."""
    made = ensure_key(folder, UPDATE_KEY).public_key()
    return made.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def request_for(invitation: Invitation, key: ec.EllipticCurvePrivateKey) -> str:
    name = branch(invitation.site, invitation.robot_id)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signed = (
        x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    )
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def is_ours(certificate_pem: str, invitation: Invitation, key: ec.EllipticCurvePrivateKey) -> bool:
    """Whether a certificate is for this key and name, and from the authority we were given."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
        certificate.verify_directly_issued_by(
            x509.load_pem_x509_certificate(invitation.ca_pem.encode())
        )
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except (ValueError, TypeError, InvalidSignature) as error:
        log.warning("the fleet's certificate cannot be used: %s", error or type(error).__name__)
        return False
    wanted = branch(invitation.site, invitation.robot_id)
    return [name.value for name in names] == [
        wanted
    ] and certificate.public_key() == key.public_key()


def ask_fleet(invitation: Invitation, update_key_pem: str = "") -> Ask:
    """Asks over TLS, trusting the invitation's authority alone. With the certificate's request
    goes the update client's key, so that one approval makes the robot known to both servers."""
    context = ssl.create_default_context(cadata=invitation.ca_pem)
    url = f"{invitation.fleet_url.rstrip('/')}/enrol/v1"
    said = [""]

    def ask(csr_pem: str) -> Reply | None:
        body = {
            "robot_id": invitation.robot_id,
            "token": invitation.token,
            "csr_pem": csr_pem,
            "update_key_pem": update_key_pem,
        }
        try:
            reply = httpx.post(url, json=body, verify=context, timeout=TIMEOUT_S, trust_env=False)
        except httpx.HTTPError as error:
            if str(error) != said[0]:  # asked every few seconds, for days if need be
                said[0] = str(error)
                log.warning("the fleet does not answer: %s", error)
            return None
        said[0] = ""
        return reply_of(reply.status_code, reply.content[:ANSWER_MAX_BYTES])

    return ask


def reply_of(status: int, content: bytes) -> Reply | None:
    """What an answer means; RefusedError where it is no for good."""
    if status in (400, 403, 409, 422):
        raise RefusedError(f"the fleet refuses this robot ({status}): {_message(content)}")
    if status != 200:
        log.info("the fleet cannot decide just now (%d): %s", status, _message(content))
        return None
    try:
        answer = _Answer.model_validate_json(content)
    except ValidationError:
        log.warning("the fleet's answer cannot be understood; asked again")
        return None
    return Reply(answer.state, answer.certificate_pem)


class _Answer(BaseModel):
    model_config = ConfigDict(strict=True)

    state: str
    certificate_pem: str = ""


def _message(content: bytes) -> str:
    try:
        text: Any = _Refusal.model_validate_json(content).message
    except ValidationError:
        text = "without a reason"
    return str(text)[:300]


class _Refusal(BaseModel):
    message: str


def enrol(
    invitation: Invitation, paths: Paths, ask: Ask, pause: Callable[[float], None] = time.sleep
) -> None:
    """Until the certificate is there. Asked often at first, then seldom: people take their time."""
    key = ensure_key(paths.pki)
    csr_pem = request_for(invitation, key)
    waited_s, told = 0.0, ""
    while True:
        reply = ask(csr_pem)
        if reply is not None and reply.certificate_pem:
            if is_ours(reply.certificate_pem, invitation, key):
                finish(invitation, paths, reply.certificate_pem)
                return
            reply = None
        state = "no answer" if reply is None else reply.state
        if state != told:
            log.info("enrolment: %s", state)
            told = state
        wait_s = ASK_EVERY_S if waited_s < 10 * ASK_SELDOM_S else ASK_SELDOM_S
        pause(wait_s)
        waited_s += wait_s


def finish(invitation: Invitation, paths: Paths, certificate_pem: str) -> None:
    """The certificate last: telemetryd waits for it, and this unit does not run where it is."""
    broker = Address(invitation.broker.host, invitation.broker.port)
    store(paths.pki / ADDRESS_FILE, address_bytes(broker))
    store(paths.pki / "ca.crt", invitation.ca_pem.encode())
    store(paths.pki / "robot.crt", certificate_pem.encode())
    log.info("enrolled as %s", branch(invitation.site, invitation.robot_id))


def main() -> None:
    parser = argparse.ArgumentParser(prog="enrol", description="Ask the fleet to know this robot")
    parser.add_argument("--data-dir", type=Path, required=True)
    args = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="enrol %(levelname)s %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    paths = Paths(run=Path("/run/bedplate"), data=args.data_dir)
    if (paths.pki / "robot.crt").exists():
        log.info("enrolled already")
        return
    try:
        invitation = read_invitation(paths.enrolment)
        enrol(invitation, paths, ask_fleet(invitation, update_key(paths.pki)))
    except RefusedError as error:
        log.error("%s", error)
        sys.exit(EXIT_REFUSED)
    except (InvitationError, ssl.SSLError, OSError) as error:
        log.error("%s", error)
        sys.exit(EXIT_FILE)


if __name__ == "__main__":
    main()
