"""The simulator's own files, in a folder of the shared memory that `runtime/` never opens.

One file shows the scene to the camera process, one the injected faults to plant and cameras.
"""

from __future__ import annotations

import numpy as np

from runtime.paths import Paths
from runtime.shm import Shm
from sim.faults import ActiveFault, Component, FaultBoard, Kind
from sim.layout import Array

FOLDER = "sim"
SCENE_TOPIC = "scene"
FAULTS_TOPIC = "faults"
NO_FAULT = -1
COMPONENTS = tuple(Component)
KINDS = tuple(Kind)


def truth_memory(paths: Paths) -> Shm:
    folder = paths.shm / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return Shm(folder)


class SceneWriter:
    def __init__(self, truth: Shm, length: int) -> None:
        self._slot = truth.image_writer(SCENE_TOPIC, (length,), np.float64)

    def write(self, state: Array, now_ns: int) -> None:
        self._slot.write(state, capture_ns=now_ns)


class SceneReader:
    """The plant may start later, die and come back."""

    def __init__(self, truth: Shm) -> None:
        self._slot = truth.image_reader(SCENE_TOPIC)

    def latest(self) -> tuple[Array, int] | None:
        image = self._slot.latest()
        return None if image is None else (image.array, image.capture_ns)


class FaultWriter:
    def __init__(self, truth: Shm) -> None:
        self._slot = truth.image_writer(FAULTS_TOPIC, (len(COMPONENTS), 2), np.int64)

    def write(self, board: FaultBoard, now_ns: int) -> None:
        table = np.full((len(COMPONENTS), 2), NO_FAULT, dtype=np.int64)
        for component, fault in board.all_active().items():
            row = COMPONENTS.index(component)
            table[row] = KINDS.index(fault.kind), fault.since_ns
        self._slot.write(table, capture_ns=now_ns)


class FaultReader:
    """Faults as another process injected them; call `refresh` as often as they should be seen."""

    def __init__(self, truth: Shm) -> None:
        self._slot = truth.image_reader(FAULTS_TOPIC)
        self._sequence = 0
        self._active: dict[Component, ActiveFault] = {}

    def refresh(self) -> None:
        if self._slot.sequence() == self._sequence:
            return
        image = self._slot.latest()
        if image is None:
            return
        self._sequence = image.sequence
        self._active = {
            component: ActiveFault(KINDS[int(kind)], int(since_ns))
            for component, (kind, since_ns) in zip(COMPONENTS, image.array, strict=True)
            if kind != NO_FAULT
        }

    def active(self, component: Component) -> ActiveFault | None:
        return self._active.get(component)
