"""What the double remembers: devices, artifacts, deployments. In memory, on one event loop."""

import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any


class DeviceStatus(StrEnum):
    """Of one device in one deployment."""

    FAILURE = "failure"
    ABORTED = "aborted"
    PAUSE_BEFORE_INSTALLING = "pause_before_installing"
    PAUSE_BEFORE_REBOOTING = "pause_before_rebooting"
    PAUSE_BEFORE_COMMITTING = "pause_before_committing"
    DOWNLOADING = "downloading"
    INSTALLING = "installing"
    REBOOTING = "rebooting"
    PENDING = "pending"
    SUCCESS = "success"
    NO_ARTIFACT = "noartifact"
    ALREADY_INSTALLED = "already-installed"
    DECOMMISSIONED = "decommissioned"


S = DeviceStatus
FINISHED = {S.FAILURE, S.ABORTED, S.SUCCESS, S.NO_ARTIFACT, S.ALREADY_INSTALLED, S.DECOMMISSIONED}
LOCKED = {S.ABORTED, S.DECOMMISSIONED}
PAUSES = {S.PAUSE_BEFORE_INSTALLING, S.PAUSE_BEFORE_REBOOTING, S.PAUSE_BEFORE_COMMITTING}


class AuthStatus(StrEnum):
    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    PREAUTHORIZED = "preauthorized"
    NOAUTH = "noauth"


@dataclass
class AuthSet:
    id: str
    pubkey: str
    status: AuthStatus
    ts: float
    tokens: set[str] = field(default_factory=set)


@dataclass
class Attribute:
    name: str
    scope: str
    value: Any
    description: str = ""


@dataclass
class Device:
    id: str
    identity: dict[str, Any]
    created: float
    updated: float
    auth_sets: list[AuthSet] = field(default_factory=list)
    attributes: dict[str, Attribute] = field(default_factory=dict)
    group: str = ""

    @property
    def status(self) -> AuthStatus:
        present = {auth.status for auth in self.auth_sets}
        order = (AuthStatus.ACCEPTED, AuthStatus.PREAUTHORIZED, AuthStatus.PENDING)
        last = AuthStatus.REJECTED if present else AuthStatus.NOAUTH
        return next((status for status in order if status in present), last)


@dataclass
class Artifact:
    id: str
    name: str
    description: str
    device_types: list[str]
    depends: dict[str, list[str]]
    provides: dict[str, str]
    clears: list[str]
    updates: list[dict[str, Any]]
    version: int
    signed: bool
    size: int
    modified: float
    file: Path

    def conflicts(self, other: "Artifact") -> bool:
        """The same name for a board that both name, and nothing else that tells them apart."""
        rest, others = (
            {k: sorted(v) for k, v in a.depends.items() if k != "device_type"}
            for a in (self, other)
        )
        shared = set(self.device_types) & set(other.device_types)
        return self.name == other.name and bool(shared) and rest == others


@dataclass
class DeviceDeployment:
    """Made at a device's first poll, never before."""

    id: str
    device_id: str
    created: float
    request: dict[str, Any]
    device_type: str
    status: DeviceStatus = DeviceStatus.PENDING
    substate: str = ""
    started: float | None = None
    finished: float | None = None
    artifact: Artifact | None = None
    log: list[dict[str, Any]] | None = None


@dataclass
class Deployment:
    id: str
    sequence: int
    name: str
    artifact_name: str
    device_ids: list[str]
    groups: list[str]
    force: bool
    created: float
    artifact_ids: list[str]
    statistics: dict[DeviceStatus, int]
    devices: dict[str, DeviceDeployment] = field(default_factory=dict)
    finished: float | None = None
    passed_over: set[str] = field(default_factory=set)  # aborted one by one before their first poll

    @property
    def max_devices(self) -> int:
        return len(self.device_ids)

    @property
    def status(self) -> str:
        if self.finished is not None:
            return "finished"
        moved = sum(count for status, count in self.statistics.items() if status is not S.PENDING)
        return "inprogress" if moved else "pending"


class Mender:
    """The whole server's memory. `now` is seconds since 1970, and an argument."""

    def __init__(self, folder: Path, now: Callable[[], float], user: str, password: str) -> None:
        self.folder, self.now = folder, now
        self.user, self.password = user, password
        self.devices: dict[str, Device] = {}
        self.artifacts: dict[str, Artifact] = {}
        self.deployments: dict[str, Deployment] = {}
        self.management_tokens: dict[str, float] = {}  # and when each ends
        self._sequence = itertools.count(1)

    def next_sequence(self) -> int:
        return next(self._sequence)

    def device_of_token(self, token: str) -> Device | None:
        return next(
            (d for d in self.devices.values() if any(token in a.tokens for a in d.auth_sets)), None
        )

    def accepted(self) -> list[Device]:
        return [d for d in self.devices.values() if d.status is AuthStatus.ACCEPTED]

    def group(self, name: str) -> list[Device]:
        return [d for d in self.devices.values() if d.group == name]


def new_id() -> str:
    return str(uuid.uuid4())


def is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def stamp(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
