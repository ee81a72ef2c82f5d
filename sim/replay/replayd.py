"""Perception from a recording: `people` and `scene` as visiond tells them, and the GPU's report.

`python -m sim.replay.replayd --run-dir R --data-dir D`. A result is as old when it is told here as
it was when it was recorded, so whoever widens a distance by its age widens it as on the real robot.
"""

from __future__ import annotations

from runtime.daemon import Context, Process, run_daemon
from runtime.hal.clock import NS_PER_MS, NS_PER_S
from runtime.shm import Backend, GpuState, ObjectKind
from sim.faults import ActiveFault, Component
from sim.gpu import SimulatedGpu
from sim.processes import SIM_PROCESSES
from sim.replay.recording import RATE_HZ, Recording, read_recording, recording_of
from sim.replay.retell import Cup, Parts, follow, middle_m, positions_m

EXPIRES_NS = 300 * NS_PER_MS
STATE_STALE_NS = 100 * NS_PER_MS
GPU_EVERY_NS = 100 * NS_PER_MS
FRAME_NS = round(NS_PER_S / RATE_HZ)


class NoFaults:
    """Nothing is broken on purpose in a guest without the whole cell."""

    def active(self, component: Component) -> ActiveFault | None:
        return None


class Replay:
    """Writes `people`, `scene` and `hal.gpu`; steps like visiond."""

    rate_hz = 30.0

    def __init__(self, context: Context, recording: Recording) -> None:
        self._recording = recording
        self._home_m = middle_m(recording)
        self._state = context.shm.reader("state")
        self._people = context.shm.writer("people")
        self._scene = context.shm.writer("scene")
        self._gpu = SimulatedGpu(context.shm, NoFaults())
        self._gpu_due_ns = 0
        self._parts = Parts()
        self._started_ns: int | None = None
        self._told = 0

    def step(self, now_ns: int) -> None:
        if self._started_ns is None:
            self._started_ns = now_ns
        if now_ns >= self._gpu_due_ns:
            self._gpu_due_ns = now_ns + GPU_EVERY_NS
            self._gpu.step(now_ns)
        frame = (now_ns - self._started_ns) // FRAME_NS % len(self._recording)
        self._parts = follow(self._parts, self._cup(now_ns), self._home_m, now_ns)
        self._told += 1
        self._tell_people(frame, now_ns)
        self._tell_scene(frame, now_ns)

    def close(self) -> None:
        """Writers end with this object."""

    def _cup(self, now_ns: int) -> Cup | None:
        state = self._state.latest()
        if state is None or now_ns - int(state["created_ns"]) > STATE_STALE_NS:
            return None
        x, y, z = (float(value) for value in state["tool_pos"])
        return Cup((x, y, z), bool(state["gripper_holding"]))

    def _tell_people(self, frame: int, now_ns: int) -> None:
        record, frames = self._people.new(), self._recording.frames
        rows = self._recording.people_of(frame)
        count = min(rows.stop - rows.start, len(record["radius_m"]))
        rows = slice(rows.start, rows.start + count)
        for name in ("pos", "vel", "radius_m", "confidence"):
            record[name][:count] = self._recording.people[name][rows]
        record["count"] = count
        record["created_ns"], record["expires_ns"] = now_ns, now_ns + EXPIRES_NS
        record["capture_ns"] = now_ns - int(frames["people_age_ns"][frame])
        for name in ("level", "model_hash", "workspace"):
            record[name] = frames[name][frame]
        self._people.write(record)

    def _tell_scene(self, frame: int, now_ns: int) -> None:
        record, recording = self._scene.new(), self._recording
        room = len(record["id"])
        shown = positions_m(self._parts, recording, self._home_m, frame)[:room]
        for row, (column, place_m) in enumerate(shown):
            record["pos"][row], record["kind"][row] = place_m, ObjectKind.PART
            for name in ("id", "size", "yaw", "confidence", "uncertainty"):
                record[name][row] = recording.parts[name][frame, column]
        record["count"] = len(shown)
        record["created_ns"], record["expires_ns"] = now_ns, now_ns + EXPIRES_NS
        record["capture_ns"] = now_ns - int(recording.frames["scene_age_ns"][frame])
        record["last_full_ns"] = record["capture_ns"]
        record["level"] = recording.frames["level"][frame]
        record["model_hash"] = recording.frames["model_hash"][frame]
        record["frames"] = self._told
        # No network looked at anything in this run.
        record["backend"], record["gpu_state"] = Backend.FAKE, GpuState.OK
        self._scene.write(record)


def build(context: Context) -> Process:
    arm = context.config.robot.arm.kind.value
    return Replay(context, read_recording(recording_of(arm)))


if __name__ == "__main__":
    run_daemon("replayd", build, SIM_PROCESSES)
