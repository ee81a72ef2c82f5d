"""Makes the recordings that guests replay: rendered cameras, shipped networks, the arm at home.

`python -m sim.replay.record` runs the cell in lock-step for each arm and writes sim/replay/*.npz.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from conf.load import compose, options_of
from conf.schema import Config
from runtime.shm import ObjectKind
from sim.lockstep import LockStep, Setup
from sim.replay.recording import (
    FRAME,
    PARTS,
    PEOPLE,
    RATE_HZ,
    Array,
    Recording,
    problem_of,
    recording_of,
    write_recording,
)

SEED = 7
WARM_UP_S = 5.0  # until the cell is known and somebody walks
SECONDS = 14.0
PRESENT_RATIO = 0.95  # of the frames in which a part must be seen to be told again


class Watcher:
    """Keeps what perception told, at the recording's rate."""

    def __init__(self, run: LockStep) -> None:
        self._people, self._scene = run.shm.reader("people"), run.shm.reader("scene")
        self.frames: list[dict[str, int]] = []
        self.people: list[dict[str, Array]] = []
        self.parts: list[dict[int, dict[str, Array]]] = []

    def look(self, now_ns: int) -> None:
        people, scene = self._people.latest(), self._scene.latest()
        if people is None or scene is None or not int(scene["capture_ns"]):
            return
        count = int(people["count"])
        self.frames.append(
            {
                "people_count": count,
                "people_age_ns": now_ns - int(people["capture_ns"]),
                "scene_age_ns": now_ns - int(scene["capture_ns"]),
                "level": int(people["level"]),
                "model_hash": int(people["model_hash"]),
                "workspace": int(people["workspace"]),
            }
        )
        self.people.append({name: people[name][:count].copy() for name in PEOPLE})
        rows = [
            row for row in range(int(scene["count"])) if int(scene["kind"][row]) == ObjectKind.PART
        ]
        self.parts.append(
            {int(scene["id"][row]): {name: scene[name][row] for name in PARTS} for row in rows}
        )


def record(config: Config, folder: Path) -> Recording:
    setup = Setup(daemons=("visiond",))
    with LockStep(config, folder / "run", folder / "data", SEED, setup=setup) as run:
        run.run(WARM_UP_S)
        watcher = Watcher(run)
        run.add_hook(1.0 / RATE_HZ, watcher.look)
        run.run(SECONDS)
    return assemble(watcher)


def assemble(watcher: Watcher) -> Recording:
    """Frames to columns; a part that was missed for a frame is carried over from the one before."""
    needed = PRESENT_RATIO * len(watcher.parts)
    seen = sorted({part for frame in watcher.parts for part in frame})
    kept = [p for p in seen if sum(p in frame for frame in watcher.parts) >= needed]
    last: dict[int, dict[str, Array]] = {}
    for frame in reversed(watcher.parts):
        last |= {part: frame[part] for part in kept if part in frame}
    columns: dict[str, list[list[Array]]] = {name: [] for name in PARTS}
    for frame in watcher.parts:
        last |= {part: frame[part] for part in kept if part in frame}
        for name in PARTS:
            columns[name].append([last[part][name] for part in kept])
    kinds = {"id": np.uint32}
    recording = Recording(
        frames={
            name: np.array(
                [f[name] for f in watcher.frames], np.uint64 if "hash" in name else np.int64
            )
            for name in FRAME
        },
        people={
            name: np.concatenate([frame[name] for frame in watcher.people]).astype(np.float32)
            for name in PEOPLE
        },
        parts={name: np.array(rows, kinds.get(name, np.float32)) for name, rows in columns.items()},
    )
    problem = problem_of(recording)
    if problem is not None:
        raise RuntimeError(
            f"the run gave no recording: {problem}; look at the cell with bedplate run"
        )
    return recording


def main() -> None:
    for facility in options_of("facility"):
        config = compose(hardware="sim_x86", facility=facility).config
        with tempfile.TemporaryDirectory(prefix="bedplate-record-") as folder:
            made = record(config, Path(folder))
        path = recording_of(config.robot.arm.kind.value)
        write_recording(path, made)
        sys.stdout.write(summary(path, made) + "\n")


def summary(path: Path, made: Recording) -> str:
    parts, people = made.parts["id"].shape[1], made.frames["people_count"].max()
    size_kb = path.stat().st_size / 1000
    seconds = len(made) / RATE_HZ
    return f"{path.name}: {seconds:.0f} s, {parts} parts, {people} people, {size_kb:.0f} kB"


if __name__ == "__main__":
    main()
