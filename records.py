"""The frozen records that areas hand to each other, beside `Config` (`conf/schema`).

    config → BuildManifest → image → BootReport → runtime → TelemetryFrame → fleet
           → CohortSnapshot → judgement → RolloutDecision → OTA

Each carries the config hash and the Artifact name, so that any row leads back to one YAML commit.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from conf.schema import Config

__all__ = [
    "BootFinding",
    "BootReport",
    "BootStage",
    "BuildInput",
    "BuildManifest",
    "Certainty",
    "CohortSnapshot",
    "ConfidenceInterval",
    "Config",
    "GroupOutcome",
    "Priority",
    "RolloutDecision",
    "RolloutVerdict",
    "SchedulingObtained",
    "Severity",
    "TelemetryFrame",
]

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(min_length=1, max_length=128)]
Count = Annotated[int, Field(ge=0)]
Nanoseconds = Annotated[int, Field(ge=0)]
Ratio = Annotated[float, Field(ge=0.0, le=1.0)]


class Severity(StrEnum):
    """How urgent an event is; decides when it is on disk and what a full spool drops first."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"  # needs a person; on disk at once, dropped last


class Record(BaseModel):
    """Frozen, strict, and traceable to the profile it came from."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    config_hash: Hash
    artifact_name: Name


class Part(BaseModel):
    """A piece of a record."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class BuildInput(Part):
    """One locked input of an image."""

    name: Name
    version: Name
    sha256: Hash


class BuildManifest(Record):
    """What went into an image, and what came out. Equal inputs give an equal record.

    The copy inside the image cannot hold hashes of what it is part of; they are None there.
    """

    hardware: Name
    facility: Name
    tree_version: Name  # commit of the sources
    lock_sha256: Hash
    kernel_release: Name
    kernel_recipe_sha256: Hash
    contents_sha256: Hash  # of all files of the root, this record left out
    root_hash: Hash | None = None  # of the tree of hashes over the root: what the kernel checks
    image_sha256: Hash | None = None  # of the block map, which has a hash of every range
    vendor_release: Name | None = None
    inputs: tuple[BuildInput, ...]
    built_at: AwareDatetime  # when the inputs were locked: a second build says the same


class SchedulingObtained(Part):
    """What the kernel granted to a thread, beside what the profile asked for."""

    thread: Name
    policy_wanted: Name
    policy_obtained: Name
    priority_obtained: Annotated[int, Field(ge=0, le=99)]
    cpus_obtained: tuple[int, ...]


class Certainty(StrEnum):
    """`unknown` never counts as ok."""

    OK = "ok"
    WRONG = "wrong"
    UNKNOWN = "unknown"


class BootFinding(Part):
    """One thing the running machine was compared with the profile or the manifest in."""

    item: Name
    wanted: str
    found: str
    verdict: Certainty


class BootStage(Part):
    """How far the boot was, on the clock that starts with the kernel."""

    name: Name
    at_s: Annotated[float, Field(ge=0)]


class BootReport(Record):
    """What a robot found when it came up."""

    robot_id: Name
    boot_id: Name
    slot_expected: Name
    slot_booted: Name
    kernel_release: Name
    kernel_arguments: str
    memory_locked: bool
    scheduling: tuple[SchedulingObtained, ...]
    findings: tuple[BootFinding, ...]
    stages: tuple[BootStage, ...]
    first_boot: tuple[str, ...]  # what was done because it was this robot's first boot
    healthy: bool | None  # None: not known, which never counts as healthy
    problems: tuple[str, ...]
    booted_at: AwareDatetime


class Priority(StrEnum):
    """What a robot's full spool keeps longest, in this order."""

    ALERT = "alert"
    EVENT = "event"
    METRIC = "metric"


class TelemetryFrame(Record):
    """What a robot sends in one message: points that are already durable on it.

    Lines are line protocol made on the robot, one for each sequence number in `ranges`, in order.
    """

    robot_id: Name
    site: Name
    hardware: Name
    epoch: Count  # which spool of that robot: a new one counts from 1 again
    priority: Priority
    replayed: bool  # sent again, or late after an outage: fires no alert, overwrites no live value
    ranges: tuple[tuple[int, int], ...]
    thinned: tuple[tuple[int, int], ...]  # numbers given up on the robot, to be booked
    lines: tuple[bytes, ...]


class ConfidenceInterval(Part):
    low: Ratio
    high: Ratio
    level: Ratio


class GroupOutcome(Part):
    """Tasks of one group of robots in the window that is judged."""

    robots: tuple[Name, ...]
    tasks_done: Count
    tasks_failed: Count
    safety_stops: Count
    records_missing: Count
    success: ConfidenceInterval | None  # None: too few tasks to say anything


class CohortSnapshot(Record):
    """What the fleet knows about a phase of a rollout: the new ones beside a control group."""

    rollout: Name
    phase: Name
    canary: GroupOutcome
    control: GroupOutcome
    taken_at: AwareDatetime


class RolloutVerdict(StrEnum):
    PROMOTE = "promote"
    HOLD = "hold"
    ROLL_BACK = "roll_back"


class RolloutDecision(Record):
    """What follows from a snapshot, and why."""

    rollout: Name
    phase: Name
    verdict: RolloutVerdict
    reasons: Annotated[tuple[str, ...], Field(min_length=1)]
    decided_at: AwareDatetime
