"""What a robot is given before its first boot: name, site, whom to trust, a token to ask with."""

import json
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from image.layers import Entry
from image.refusal import refused
from image.steps.accounts import GROUP_ID

VERSION = 1
TOKEN_BYTES = 32
NAME = re.compile(r"^[a-z][a-z0-9-]{0,62}$")
KEY = re.compile(r"^(ssh-ed25519|ecdsa-sha2-nistp\d+|ssh-rsa|sk-\S+) [A-Za-z0-9+/=]+( .*)?$")
MAX_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Enrolment:
    robot_id: str
    site: str
    fleet_host: str
    mqtt_port: int
    http_port: int
    ca_pem: str
    token: str
    issued_at: datetime

    def text(self) -> str:
        """One line: the boot reads the name out of it before anything else runs."""
        document = {
            "version": VERSION,
            "robot_id": self.robot_id,
            "site": self.site,
            "fleet": {
                "host": self.fleet_host,
                "mqtt_port": self.mqtt_port,
                "http_port": self.http_port,
            },
            "ca_pem": self.ca_pem,
            "token": self.token,
            "issued_at": self.issued_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return json.dumps(document) + "\n"


def new_token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


def check_name(name: str) -> str:
    if NAME.match(name):
        return name
    raise refused(
        "--robot",
        repr(name),
        "it becomes a host name, a topic and a certificate: lower-case letters, digits, hyphens",
        "osaka-02",
    )


def read_certificate(path: Path) -> str:
    text = _read(path, "the fleet's certificate authority, without which the robot trusts nobody")
    if "-----BEGIN CERTIFICATE-----" not in text or "PRIVATE KEY" in text:
        raise refused(
            str(path),
            "not a certificate, or a private key beside one",
            "the robot gets what it should trust, never a secret of the fleet",
            "the ca.crt of the fleet side",
        )
    return text


def read_keys(paths: list[Path]) -> str:
    """Public SSH keys; a private one by mistake is refused."""
    lines: list[str] = []
    for path in paths:
        for line in _read(path, "the keys that may log in").splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            if not KEY.match(line.strip()):
                raise refused(
                    str(path),
                    "a line that is no public key",
                    "only public keys belong on a robot",
                    f"{path}.pub",
                )
            lines.append(line.strip())
    return "".join(f"{line}\n" for line in lines)


def _read(path: Path, because: str) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise refused(str(path), "too large", because, "another file")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise refused(str(path), str(error), because, "see that the path is right") from error


def entries(enrolment: Enrolment | None, keys: str) -> list[Entry]:
    """What of it lies on the data partition; only root and the robot's own users read the token."""
    found: list[Entry] = []
    if enrolment is not None:
        found.append(Entry(path="bedplate", mode=0o3775, gid=GROUP_ID))
        found.append(
            Entry.file("bedplate/enrolment.json", enrolment.text(), mode=0o640, gid=GROUP_ID)
        )
    if keys:
        found.append(Entry.file("ssh/authorized_keys", keys))
    return found
