"""A double of the perception process that knows the truth: for runs that are not about perception.

It publishes what a good camera system would have found, with noise, at the camera's rate. A run
that uses it says nothing about perception, and its report has to say so.
"""

from __future__ import annotations

import numpy as np

from runtime.daemon import Context
from runtime.hal.clock import NS_PER_MS
from runtime.shm import Backend, GpuState, ObjectKind, Workspace
from sim.scene import Scene

LATENCY_NS = 40 * NS_PER_MS
PART_NOISE_M, PERSON_NOISE_M = 0.002, 0.03
PERSON_RADIUS_M = 0.30
PERSON_MIDDLE_M = 0.95  # above the floor
NEAR_M = 0.35  # a person this near to the tool's box occupies the workspace
PEOPLE_MAX, OBJECTS_MAX = 8, 16


class StandInEyes:
    """Writes `people` and `scene`; steps like visiond."""

    rate_hz = 30.0

    def __init__(self, context: Context, scene: Scene, seed: int) -> None:
        self._scene = scene
        self._box = context.config.facility.workspace
        self._rng = np.random.default_rng([seed, 5])
        self._people = context.shm.writer("people")
        self._objects = context.shm.writer("scene")
        self._frames = 0

    def step(self, now_ns: int) -> None:
        self._frames += 1
        self._write_people(now_ns)
        self._write_scene(now_ns)

    def close(self) -> None:
        """Writers end with this object."""

    def _write_people(self, now_ns: int) -> None:
        record = self._people.new()
        stances = [stance for stance in self._scene.stances() if stance is not None][:PEOPLE_MAX]
        middle = self._scene.layout.floor_z_m + PERSON_MIDDLE_M
        for row, stance in enumerate(stances):
            record["pos"][row] = [*stance.position_m, middle]
            record["pos"][row] += self._rng.normal(0.0, PERSON_NOISE_M, 3)
            record["vel"][row] = [*stance.velocity_m_s, 0.0]
            record["radius_m"][row], record["confidence"][row] = PERSON_RADIUS_M, 0.95
        near = any(self._is_near(stance.position_m) for stance in stances)
        record["count"] = len(stances)
        record["created_ns"], record["capture_ns"] = now_ns, now_ns - LATENCY_NS
        record["level"], record["model_hash"] = 3, 1
        record["workspace"] = Workspace.OCCUPIED if near else Workspace.CLEAR
        self._people.write(record)

    def _is_near(self, spot: tuple[float, float]) -> bool:
        low, high = self._box.min_m, self._box.max_m
        return all(low[axis] - NEAR_M <= spot[axis] <= high[axis] + NEAR_M for axis in (0, 1))

    def _write_scene(self, now_ns: int) -> None:
        record = self._objects.new()
        shown = [truth for truth in self._scene.parts() if truth.in_play][:OBJECTS_MAX]
        for row, truth in enumerate(shown):
            look = self._scene.look.parts[truth.index]
            x, y, z = truth.position_m
            top = np.array([x, y, z + look.half_height_m])
            record["id"][row], record["kind"][row] = truth.index + 1, ObjectKind.PART
            record["pos"][row] = top + self._rng.normal(0.0, PART_NOISE_M, 3)
            record["size"][row] = 2.0 * look.reach_m
            record["yaw"][row] = truth.yaw_rad
            record["confidence"][row], record["uncertainty"][row] = 0.95, PART_NOISE_M
        record["count"] = len(shown)
        record["created_ns"], record["capture_ns"] = now_ns, now_ns - LATENCY_NS
        record["level"], record["model_hash"], record["last_full_ns"] = 3, 1, now_ns - LATENCY_NS
        record["latency_ns"][2], record["frames"] = LATENCY_NS, self._frames
        record["runs"][2] = self._frames
        record["backend"], record["gpu_state"] = Backend.FAKE, GpuState.OK
        self._objects.write(record)
