"""What the server tells, as frozen records. A word this version does not know is `unknown`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Self, assert_never

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Word(StrEnum):
    @classmethod
    def _missing_(cls, value: object) -> Self:
        return cls("unknown")


class DeviceStatus(Word):
    """Of one robot in one deployment."""

    PENDING = "pending"
    DOWNLOADING = "downloading"
    PAUSE_BEFORE_INSTALLING = "pause_before_installing"
    INSTALLING = "installing"
    PAUSE_BEFORE_REBOOTING = "pause_before_rebooting"
    REBOOTING = "rebooting"
    PAUSE_BEFORE_COMMITTING = "pause_before_committing"
    SUCCESS = "success"
    FAILURE = "failure"
    NO_ARTIFACT = "noartifact"
    ALREADY_INSTALLED = "already-installed"
    ABORTED = "aborted"
    DECOMMISSIONED = "decommissioned"
    UNKNOWN = "unknown"


class Outcome(StrEnum):
    """What a status means for whoever waits."""

    WAITING = "waiting"
    GOOD = "good"
    BAD = "bad"
    OUT = "out"  # takes no part: nothing for its board, or taken out
    UNKNOWN = "unknown"


def outcome_of(status: DeviceStatus) -> Outcome:
    match status:
        case (
            DeviceStatus.PENDING
            | DeviceStatus.DOWNLOADING
            | DeviceStatus.PAUSE_BEFORE_INSTALLING
            | DeviceStatus.INSTALLING
            | DeviceStatus.PAUSE_BEFORE_REBOOTING
            | DeviceStatus.REBOOTING
            | DeviceStatus.PAUSE_BEFORE_COMMITTING
        ):
            return Outcome.WAITING
        case DeviceStatus.SUCCESS | DeviceStatus.ALREADY_INSTALLED:
            return Outcome.GOOD
        case DeviceStatus.FAILURE:
            return Outcome.BAD
        case DeviceStatus.NO_ARTIFACT | DeviceStatus.ABORTED | DeviceStatus.DECOMMISSIONED:
            return Outcome.OUT
        case DeviceStatus.UNKNOWN:
            return Outcome.UNKNOWN
    assert_never(status)


class DeploymentState(Word):
    PENDING = "pending"
    IN_PROGRESS = "inprogress"
    FINISHED = "finished"
    UNKNOWN = "unknown"


class AuthStatus(Word):
    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    PREAUTHORIZED = "preauthorized"
    NOAUTH = "noauth"
    UNKNOWN = "unknown"


class Told(BaseModel):
    """Newer servers tell more: what is not declared is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def _none_is_empty(value: Any) -> Any:
    return {} if value is None else value


Identity = Annotated[dict[str, Any], BeforeValidator(_none_is_empty)]
Texts = Annotated[tuple[str, ...], BeforeValidator(lambda value: () if value is None else value)]
Id = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.-]+$")]


class AuthSet(Told):
    id: Id
    pubkey: str
    status: AuthStatus


class Device(Told):
    id: Id
    identity: Identity = Field(alias="identity_data", default={})
    status: AuthStatus
    auth_sets: tuple[AuthSet, ...] = ()

    @property
    def robot_id(self) -> str | None:
        """The name under which the robot was enrolled, where its identity has one."""
        value = self.identity.get("robot_id")
        return value if isinstance(value, str) else None


class Artifact(Told):
    id: Id
    name: str
    device_types: Texts = Field(alias="device_types_compatible")
    description: str = ""
    signed: bool | None = None
    size: int | None = None  # bytes; None where the server does not say
    modified: datetime


@dataclass(frozen=True)
class Statistics:
    """Robots by status, as the server counts them: its counts may lack some and never say which."""

    counts: Mapping[DeviceStatus, int]

    def of(self, outcome: Outcome) -> int:
        return sum(n for status, n in self.counts.items() if outcome_of(status) is outcome)

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def statistics_of(raw: Mapping[str, int]) -> Statistics:
    """Words of a newer server are added up under `unknown`, never dropped."""
    counts = dict.fromkeys(DeviceStatus, 0)
    for word, count in raw.items():
        counts[DeviceStatus(word)] += count
    return Statistics(MappingProxyType(counts))


class Term(Told):
    attribute: str
    type: str
    value: Any


class Filter(Told):
    terms: tuple[Term, ...] = ()


class Sums(Told):
    status: dict[str, Annotated[int, Field(ge=0)]] = {}
    total_size: int | None = None


class Deployment(Told):
    id: Id
    name: str
    artifact_name: str
    state: DeploymentState = Field(alias="status")
    created: datetime
    finished: datetime | None = None
    polled: int = Field(alias="device_count", ge=0)
    max_devices: int | None = None
    groups: Texts = ()
    sums: Sums = Field(alias="statistics", default=Sums())
    filter: Filter = Filter()

    @property
    def statistics(self) -> Statistics:
        return statistics_of(self.sums.status)

    @property
    def device_ids(self) -> tuple[str, ...]:
        """Everybody it was made for, also those who never asked."""
        return tuple(
            str(item)
            for term in self.filter.terms
            if term.attribute == "id" and isinstance(term.value, list)
            for item in term.value
        )

    @property
    def uncounted(self) -> int | None:
        """Robots it was made for that no count holds: an abort drops who never asked."""
        return (
            None if self.max_devices is None else max(0, self.max_devices - self.statistics.total)
        )

    @property
    def is_over(self) -> bool:
        return self.state is DeploymentState.FINISHED


class DeviceProgress(Told):
    """One robot in a deployment. Who has not asked yet has none."""

    id: Id
    status: DeviceStatus
    substate: str = ""
    log: bool = False
    started: datetime | None = None
    finished: datetime | None = None
    device_type: str = ""


class Attribute(Told):
    name: str
    scope: str
    value: Any


class Inventory(Told):
    id: Id
    updated: str = Field(alias="updated_ts", default="")
    attributes: tuple[Attribute, ...] | None = None

    def scope(self, scope: str) -> dict[str, Any]:
        return {a.name: a.value for a in self.attributes or () if a.scope == scope}


@dataclass(frozen=True)
class Verdict:
    """What is held of a robot over many looks: failed once is failed, whatever it says later."""

    status: DeviceStatus
    changed_mind: bool = False


def hold(known: Mapping[str, Verdict], seen: Iterable[DeviceProgress]) -> Mapping[str, Verdict]:
    """The server lets a device report success after a failure, and a failure after success, and
    counts only the last word. Here a failure stays one; a change of mind is kept to be shown."""
    held = dict(known)
    for row in seen:
        before = held.get(row.id)
        if before is None:
            held[row.id] = Verdict(row.status)
            continue
        was, now = outcome_of(before.status), outcome_of(row.status)
        ended = was is not Outcome.WAITING and was is not Outcome.UNKNOWN
        changed = before.changed_mind or (ended and row.status is not before.status)
        backwards = ended and now in (Outcome.WAITING, Outcome.UNKNOWN)
        kept = before.status if was is Outcome.BAD or backwards else row.status
        held[row.id] = Verdict(kept, changed)
    return MappingProxyType(held)
