"""Shared memory between the robot's processes: a file per topic, one writer, any number of readers.

A record is a NumPy structured scalar whose type comes from the same declaration as the control
process's own (runtime/controld/layout). Reads are whole copies: nothing a reader does can disturb
a writer, and nothing a writer does (die, stop, scribble) can hurt a reader.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import numpy as np

try:
    from runtime.shm import _native
except ImportError as error:
    raise ImportError(
        "runtime/shm/_native is not built: without it no process reaches the shared memory; "
        "run runtime/controld/build.sh (make setup does)"
    ) from error

from runtime.shm import enums
from runtime.shm.enums import (
    ActivePolicy,
    Backend,
    Check,
    ExecState,
    GpuState,
    Levels,
    Mode,
    ObjectKind,
    Phase,
    PlanStatus,
    PolicyReason,
    Realtime,
    Reject,
    Source,
    Sources,
    Stage,
    StopLevel,
    StopReason,
    Trigger,
    Verdict,
    Workspace,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

# The control cycle in lock-step: `Core(control_path, shm_dir, epoch=1).cycle(now_ns)`.
Core = _native.Core

LAYOUT_HASH: str = _native.LAYOUT_HASH
CHALLENGE_KEY: int = _native.CHALLENGE_KEY

if enums.LAYOUT_HASH != LAYOUT_HASH:
    raise ImportError(
        f"runtime/shm/enums.py was made from layout {enums.LAYOUT_HASH[:12]}, the compiled module "
        f"from {LAYOUT_HASH[:12]}: records would be misread; run runtime/controld/build.sh"
    )


def _dtype(
    fields: list[tuple[str, str, list[int], int, str | None]], size: int
) -> np.dtype[np.void]:
    shown = [field for field in fields if not field[0].startswith("_")]
    return np.dtype(
        {
            "names": [name for name, *_ in shown],
            "formats": [(code, tuple(shape)) for _, code, shape, *_ in shown],
            "offsets": [offset for *_, offset, _ in shown],
            "itemsize": size,
        }
    )


DTYPES: dict[str, np.dtype[np.void]] = {
    topic: _dtype(fields, size) for _, topics, size, fields in _native.RECORDS for topic in topics
}

# The last bucket takes everything longer and has no bound.
BUCKET_UPPER_US: NDArray[np.float64] = np.array(
    [bound / 1000 if bound else np.inf for bound in _native.BUCKET_UPPER_NS]
)


class Writer:
    """The one writer of a topic; a second one is refused while this lives."""

    def __init__(self, directory: Path, topic: str) -> None:
        self.dtype = DTYPES[topic]
        native = _native.StateWriter if topic == "state" else _native.Writer
        self._native = native(directory, topic)

    def new(self) -> NDArray[np.void]:
        """A zeroed record to fill."""
        return np.zeros((), self.dtype)

    def write(self, record: np.void | NDArray[np.void] | None = None, /, **fields: Any) -> int:
        """Writes a record, or one of the given fields; `seq` 0 becomes the next. Returns it."""
        if record is None:
            record = self.new()
        elif record.dtype != self.dtype:
            raise TypeError(f"the record is {record.dtype}, the topic's is {self.dtype}")
        if fields:
            # A record that was read is read-only, and so is NumPy's own copy of it.
            given, record = record, self.new()
            record[...] = given
            for name, value in fields.items():
                record[name] = value
        return self._native.write(record.tobytes())


class Reader:
    """Reads a topic whose writer may start, die and come back."""

    def __init__(self, directory: Path, topic: str) -> None:
        self.dtype = DTYPES[topic]
        self._native: _native.Reader = _native.Reader(directory, topic)

    def latest(self) -> np.void | None:
        """A copy of the newest record; None when there is none, or an enum field makes no sense."""
        data = self._native.latest()
        return None if data is None else np.frombuffer(data, self.dtype)[0]


@dataclass(frozen=True)
class Histogram:
    """Counts by bucket; `upper_us[i]` bounds `counts[i]`, the last is infinite."""

    upper_us: NDArray[np.float64]
    counts: NDArray[np.uint64]

    def __iter__(self) -> Any:
        return iter((self.upper_us, self.counts))

    def quantile_us(self, ratio: float) -> float:
        """The bound below which this share of the durations lies; NaN without any."""
        total = int(self.counts.sum())
        if total == 0:
            return float("nan")
        index = int(np.searchsorted(np.cumsum(self.counts), ratio * total))
        return float(self.upper_us[min(index, len(self.upper_us) - 1)])

    def __sub__(self, earlier: Self) -> Histogram:
        return Histogram(self.upper_us, self.counts - earlier.counts)


class StateReader(Reader):
    """Reads the control process's own file, which outlives it."""

    def __init__(self, directory: Path) -> None:
        self.dtype = DTYPES["state"]
        self._native = self._state = _native.StateReader(directory)

    def epoch(self) -> int:
        """How often a control process has started on this file; 0 while there is none."""
        return self._state.epoch()

    def frames(self, since_cycle: int = 0) -> NDArray[np.void]:
        """Every cycle after the given one that the ring still holds, oldest first: about 2 s."""
        return np.frombuffer(self._state.frames(since_cycle), self.dtype)

    def ledger(self) -> list[np.void]:
        """The newest missed deadlines, oldest first."""
        return list(np.frombuffer(self._state.ledger(), DTYPES["state.miss"]))

    def histograms(self) -> dict[Stage, Histogram]:
        """How long each stage of the cycle took, over the file's life."""
        return {
            Stage[name]: Histogram(BUCKET_UPPER_US, np.array(counts, np.uint64))
            for name, counts in self._state.histograms()
        }


@dataclass(frozen=True)
class Image:
    array: NDArray[Any]
    capture_ns: int
    sequence: int


class ImageWriter:
    """The one writer of a picture topic, of fixed shape and number type."""

    def __init__(
        self, directory: Path, topic: str, shape: tuple[int, ...], dtype: DTypeLike
    ) -> None:
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self._native = _native.ImageWriter(
            directory, topic, self.dtype.str, self.dtype.itemsize, self.shape
        )

    def write(self, array: NDArray[Any], *, capture_ns: int) -> int:
        """Writes one picture and returns its sequence number."""
        if array.shape != self.shape or array.dtype != self.dtype:
            raise TypeError(
                f"the picture is {array.dtype}{array.shape}, the topic's {self.dtype}{self.shape}"
            )
        return self._native.write(np.ascontiguousarray(array).data.cast("B"), capture_ns)


class ImageReader:
    """Reads a picture topic whose writer may start, die and come back."""

    def __init__(self, directory: Path, topic: str) -> None:
        self._native = _native.ImageReader(directory, topic)

    def sequence(self) -> int:
        """Number of the newest picture, without copying it; 0 while there is none."""
        return self._native.sequence() if self._native.shape() else 0

    def latest(self) -> Image | None:
        """A copy of the newest picture, read-only; None when there is none."""
        shape = self._native.shape()
        if shape is None:
            return None
        array = np.empty(shape[1], shape[0])
        taken = self._native.latest_into(array.data.cast("B"))
        if taken is None:
            return None
        array.flags.writeable = False
        return Image(array, capture_ns=taken[0], sequence=taken[1])


class Shm:
    """The folder of one robot's shared files. Making this object makes nothing on disk."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def writer(self, topic: str) -> Writer:
        return Writer(self.directory, topic)

    @overload
    def reader(self, topic: Literal["state"]) -> StateReader: ...
    @overload
    def reader(self, topic: str) -> Reader: ...
    def reader(self, topic: str) -> Reader:
        """The reader of a topic; the state's has more to tell than its newest record."""
        return StateReader(self.directory) if topic == "state" else Reader(self.directory, topic)

    def state_reader(self) -> StateReader:
        return StateReader(self.directory)

    def image_writer(self, topic: str, shape: tuple[int, ...], dtype: DTypeLike) -> ImageWriter:
        return ImageWriter(self.directory, topic, shape, dtype)

    def image_reader(self, topic: str) -> ImageReader:
        return ImageReader(self.directory, topic)


__all__ = [
    "BUCKET_UPPER_US",
    "CHALLENGE_KEY",
    "DTYPES",
    "LAYOUT_HASH",
    "ActivePolicy",
    "Backend",
    "Check",
    "Core",
    "ExecState",
    "GpuState",
    "Histogram",
    "Image",
    "ImageReader",
    "ImageWriter",
    "Levels",
    "Mode",
    "ObjectKind",
    "Phase",
    "PlanStatus",
    "PolicyReason",
    "Reader",
    "Realtime",
    "Reject",
    "Shm",
    "Source",
    "Sources",
    "Stage",
    "StateReader",
    "StopLevel",
    "StopReason",
    "Trigger",
    "Verdict",
    "Workspace",
    "Writer",
]
