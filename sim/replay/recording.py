"""A recording of what perception told: people and parts, frame by frame, with how old each was.

One compressed file of plain arrays an arm, made by `python -m sim.replay.record` from a lock-step
run with rendered cameras and the shipped networks while the arm rests at home.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT = 1
FOLDER = Path(__file__).resolve().parent
RATE_HZ = 10.0
FRAMES_MAX = 10_000
AGE_MAX_NS = 1_000_000_000

PEOPLE = ("pos", "vel", "radius_m", "confidence")
PARTS = ("id", "pos", "size", "yaw", "confidence", "uncertainty")
FRAME = ("people_count", "people_age_ns", "scene_age_ns", "level", "model_hash", "workspace")
WIDTHS = {"pos": 3, "vel": 3, "size": 3}

Array = NDArray[Any]


class RecordingError(RuntimeError):
    """The file is missing or not a recording; the text says how to make one."""


@dataclass(frozen=True)
class Recording:
    """`people` hold all frames' rows one after the other; `parts` have one row a frame each."""

    frames: dict[str, Array]
    people: dict[str, Array]
    parts: dict[str, Array]

    def __len__(self) -> int:
        return len(self.frames["level"])

    def people_of(self, frame: int) -> slice:
        end = int(np.sum(self.frames["people_count"][: frame + 1]))
        return slice(end - int(self.frames["people_count"][frame]), end)


def recording_of(arm: str) -> Path:
    return FOLDER / f"{arm}.npz"


def write_recording(path: Path, recording: Recording) -> None:
    named: dict[str, Array] = {f"frame_{k}": v for k, v in recording.frames.items()}
    named |= {f"people_{k}": v for k, v in recording.people.items()}
    named |= {f"parts_{k}": v for k, v in recording.parts.items()}
    partial = path.with_name(f"{path.name}.part")
    with partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, format=np.array(FORMAT), **named)
    partial.replace(path)


def read_recording(path: Path) -> Recording:
    """Every array is checked for its shape and for numbers that make sense before one is used."""
    try:
        stored = _arrays(path)
    except Exception as error:  # zip, zlib and array headers each have their own
        raise _refused(path, f"cannot be read ({error})") from error
    wanted = {
        "format",
        *(f"frame_{name}" for name in FRAME),
        *(f"people_{name}" for name in PEOPLE),
        *(f"parts_{name}" for name in PARTS),
    }
    if set(stored) != wanted or stored["format"].shape != () or int(stored["format"]) != FORMAT:
        raise _refused(path, f"holds {', '.join(sorted(stored)) or 'nothing'}")
    recording = Recording(
        frames={name: stored[f"frame_{name}"] for name in FRAME},
        people={name: stored[f"people_{name}"] for name in PEOPLE},
        parts={name: stored[f"parts_{name}"] for name in PARTS},
    )
    problem = problem_of(recording)
    if problem is not None:
        raise _refused(path, problem)
    return recording


def _arrays(path: Path) -> dict[str, Array]:
    """As np.load does, without what it leaves open where a file is damaged."""
    stored: dict[str, Array] = {}
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as file:
        for name in file.namelist():
            with file.open(name) as member:
                array = np.lib.format.read_array(member, allow_pickle=False)
            stored[name.removesuffix(".npy")] = array
    return stored


def problem_of(recording: Recording) -> str | None:
    """What makes this no recording; None where it is one."""
    frames, people, parts = recording.frames, recording.people, recording.parts
    lengths = {values.shape for values in frames.values()}
    count = len(frames["level"]) if len(lengths) == 1 else 0
    if not 0 < count <= FRAMES_MAX or lengths != {(count,)}:
        return f"its frames have shapes {sorted(lengths)}, not one length from 1 to {FRAMES_MAX}"
    kinds = {values.dtype.kind for table in (frames, people, parts) for values in table.values()}
    if not kinds <= set("iuf"):
        return "it holds something that is no number"
    rows = int(frames["people_count"].clip(0, FRAMES_MAX).sum())
    if frames["people_count"].min() < 0 or any(
        values.shape != _shape((rows,), name) for name, values in people.items()
    ):
        return f"its people are not {rows} rows, as the frames count them"
    shape = parts["id"].shape
    if len(shape) != 2 or shape[0] != count or shape[1] < 1:
        return f"its parts have shape {shape}, not {count} frames of at least one part"
    if any(values.shape != _shape(shape, name) for name, values in parts.items()):
        return "its parts' columns differ in shape"
    if not all(np.isfinite(values).all() for table in (people, parts) for values in table.values()):
        return "it holds a number that is not finite"
    ages = np.concatenate([frames["people_age_ns"], frames["scene_age_ns"]])
    if ages.min() < 0 or ages.max() > AGE_MAX_NS:
        return f"its ages run from {ages.min()} to {ages.max()} ns, outside 0 to {AGE_MAX_NS}"
    return None


def _shape(rows: tuple[int, ...], name: str) -> tuple[int, ...]:
    return (*rows, WIDTHS[name]) if name in WIDTHS else rows


def _refused(path: Path, problem: str) -> RecordingError:
    return RecordingError(
        f"{path}: {problem}; without a recording the robot would stand still, blind to people;"
        " make it again with  python -m sim.replay.record"
    )
