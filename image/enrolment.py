"""What a robot is given before its first boot: name, whom to trust, a token to ask with; keys.

The fleet makes the invitation (`bedplate fleet enrol invite`): it alone knows which tokens are
good. Here it is checked and laid on the data partition.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from image.layers import Entry
from image.refusal import refused
from image.steps.accounts import GROUP_ID

NAME = re.compile(r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")
NAME_MAX = 48
KEY = re.compile(r"^(ssh-ed25519|ecdsa-sha2-nistp\d+|ssh-rsa|sk-\S+) [A-Za-z0-9+/=]+( .*)?$")
MAX_BYTES = 1 << 20
PLACE = "bedplate/enrolment.json"


class Broker(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    host: Annotated[str, Field(min_length=1, max_length=253)]
    port: Annotated[int, Field(ge=1, le=65535)]


class Invitation(BaseModel):
    """One robot's way into one fleet; the token is good once."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: Literal[1]
    robot_id: Annotated[str, Field(pattern=NAME.pattern, max_length=NAME_MAX)]
    site: Annotated[str, Field(min_length=1, max_length=64)]
    fleet_url: Annotated[str, Field(pattern=r"^https?://[^\s/]+/?$")]
    broker: Broker
    token: Annotated[str, Field(min_length=16, max_length=256)]
    ca_pem: Annotated[str, Field(pattern=r"^-----BEGIN CERTIFICATE-----")]

    def text(self) -> str:
        """One line: the boot reads the name out of it before anything else runs."""
        return json.dumps(self.model_dump(mode="json")) + "\n"


def read_invitation(path: Path, robot: str) -> Invitation:
    raw = _read(path, "the robot would know neither its name nor its fleet")
    try:
        made = Invitation.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise refused(
            str(path),
            f"{place}: {first['msg']}",
            "the robot could not ask this fleet to take it in",
            f"bedplate fleet enrol invite {robot} --out {path}",
        ) from error
    if "PRIVATE KEY" in made.ca_pem:
        raise refused(
            str(path),
            "a private key beside the certificate",
            "the robot gets what it should trust, never a secret of the fleet",
            f"bedplate fleet enrol invite {robot} --out {path}",
        )
    if made.robot_id != robot:
        raise refused(
            str(path),
            f"an invitation of {made.robot_id}, the robot is to be {robot}",
            "two robots of one name push each other off the broker",
            f"--robot {made.robot_id}, or an invitation of its own for {robot}",
        )
    return made


def check_name(name: str) -> str:
    if NAME.fullmatch(name) and len(name) <= NAME_MAX:
        return name
    raise refused(
        "--robot",
        repr(name),
        "it becomes a host name, a topic and a certificate: lower-case letters, digits, hyphens",
        "osaka-02",
    )


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


def entries(invitation: Invitation | None, keys: str) -> list[Entry]:
    """What of it lies on the data partition; only root and the robot's own users read the token."""
    found: list[Entry] = []
    if invitation is not None:
        found.append(Entry(path="bedplate", mode=0o3775, gid=GROUP_ID))
        found.append(Entry.file(PLACE, invitation.text(), mode=0o640, gid=GROUP_ID))
    if keys:
        found.append(Entry.file("ssh/authorized_keys", keys))
    return found
