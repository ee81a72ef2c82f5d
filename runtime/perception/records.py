"""What the eyes tell the others, as shared-memory records."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.perception.bin_eye import HeldPart
from runtime.perception.geometry import Array
from runtime.perception.stereo import Volume
from runtime.perception.tracks import BODY_RADIUS_M, Track
from runtime.shm import Writer
from runtime.shm.enums import Backend, GpuState, ObjectKind, Trigger, Workspace

PERSON_ID = 0x1_0000  # numbers of people lie apart from those of parts
STRANGER_CONFIDENCE = 0.3
EXPIRES_NS = 300_000_000


@dataclass(frozen=True)
class Somebody:
    """Someone, or something that may be someone."""

    position_m: Array
    velocity_m_s: Array
    radius_m: float
    confidence: float


def from_track(track: Track) -> Somebody:
    return Somebody(track.position_m, track.velocity_m_s, track.radius_m, track.confidence)


def from_volume(volume: Volume) -> Somebody:
    return Somebody(volume.position_m, np.zeros(3), volume.radius_m, 0.5)


def stranger(position_m: Array) -> Somebody:
    """A change that no look has explained: told as a person, for it may be one."""
    return Somebody(position_m, np.zeros(3), BODY_RADIUS_M * 1.5, STRANGER_CONFIDENCE)


@dataclass(frozen=True)
class PeopleReport:
    capture_ns: int
    level: int
    model_hash: int
    workspace: Workspace
    people: list[Somebody]


def write_people(writer: Writer, report: PeopleReport, now_ns: int) -> None:
    record = writer.new()
    _head(record, now_ns)
    room = len(record["radius_m"])
    # With more people than room, the nearest are the ones that matter.
    nearest = sorted(report.people, key=lambda one: float(np.hypot(*one.position_m[:2])))[:room]
    for row, one in enumerate(nearest):
        record["pos"][row], record["vel"][row] = one.position_m, one.velocity_m_s
        record["radius_m"][row], record["confidence"][row] = one.radius_m, one.confidence
    record["count"] = len(nearest)
    record["capture_ns"], record["level"] = report.capture_ns, report.level
    record["model_hash"], record["workspace"] = report.model_hash, report.workspace
    writer.write(record)


@dataclass(frozen=True)
class SceneReport:
    capture_ns: int
    level: int
    model_hash: int
    parts: list[HeldPart]
    people: list[Track]
    triggers: Trigger
    occlusion: float
    last_full_ns: int
    latency_ns: tuple[int, int, int]
    runs: tuple[int, int, int]
    late_drops: tuple[int, int, int]
    frames: int
    backend: Backend
    gpu_state: GpuState


def write_scene(writer: Writer, report: SceneReport, now_ns: int) -> None:
    record = writer.new()
    _head(record, now_ns)
    room = len(record["id"])
    row = 0
    for part in report.parts[:room]:
        _part_row(record, row, part)
        row += 1
    for track in report.people[: room - row]:
        _person_row(record, row, track)
        row += 1
    record["count"] = row
    for name in (
        "capture_ns",
        "level",
        "model_hash",
        "triggers",
        "occlusion",
        "last_full_ns",
        "latency_ns",
        "runs",
        "late_drops",
        "frames",
        "backend",
        "gpu_state",
    ):
        record[name] = getattr(report, name)
    writer.write(record)


def _head(record: NDArray[np.void], now_ns: int) -> None:
    record["created_ns"], record["expires_ns"] = now_ns, now_ns + EXPIRES_NS


def _part_row(record: NDArray[np.void], row: int, part: HeldPart) -> None:
    record["id"][row], record["kind"][row] = part.id, ObjectKind.PART
    record["pos"][row], record["vel"][row] = part.position_m, part.velocity_m_s
    record["size"][row], record["yaw"][row] = part.size_m, part.yaw_rad
    record["confidence"][row] = part.confidence
    record["uncertainty"][row] = part.uncertainty_m


def _person_row(record: NDArray[np.void], row: int, track: Track) -> None:
    record["id"][row], record["kind"][row] = PERSON_ID + track.id, ObjectKind.PERSON
    record["pos"][row], record["vel"][row] = track.position_m, track.velocity_m_s
    record["size"][row] = [2 * track.radius_m, 2 * track.radius_m, 1.8]
    record["yaw"][row] = float(np.arctan2(track.velocity_m_s[1], track.velocity_m_s[0]))
    record["confidence"][row] = track.confidence
    record["uncertainty"][row] = track.uncertainty_m
