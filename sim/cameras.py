"""The cell's cameras as a process: draws what the plant shows, at the profile's sizes and rates.

`python -m sim.cameras --run-dir R --data-dir D`. Pictures carry the time of the state they show.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from conf.schema.hardware import CameraStream
from runtime.daemon import Context, Process, run_daemon
from runtime.hal.clock import NS_PER_MS, NS_PER_S
from runtime.shm import ImageWriter, Shm
from sim.faults import (
    CAMERA_GAP_NS,
    CAMERA_PERIOD_NS,
    ActiveFault,
    Component,
    FaultSource,
    Kind,
)
from sim.layout import Array
from sim.optics import Optics
from sim.processes import SIM_PROCESSES
from sim.render import Renderer
from sim.scenario import Scenario, scenario_of_run, scene_of
from sim.scene import Scene
from sim.truth import FaultReader, SceneReader, truth_memory

log = logging.getLogger(__name__)

STEREO = ("stereo_left", "stereo_right")
FAULTY: dict[str, Component] = {"cell": Component.CAMERA_CELL, "bin": Component.CAMERA_BIN}
WRONG_VIEW = {"cell": "bin", "bin": "cell"}
SLOW_PERIOD_NS = NS_PER_S // 2
# Nobody looks through the stereo pair, but its empty scene has to be known before it is needed.
IDLE_PERIOD_NS = NS_PER_S // 2
LATE_NS = 400 * NS_PER_MS
GRID_NS = 8 * NS_PER_MS
REPORT_EVERY_NS = 10 * NS_PER_S


@dataclass(frozen=True)
class Picture:
    color: NDArray[np.uint8]
    depth_m: NDArray[np.float32] | None
    capture_ns: int


class SceneSource(Protocol):
    """Where the shown state comes from: the plant's file, or the plant itself in lock-step."""

    def latest(self) -> tuple[Array, int] | None: ...


@dataclass
class Stream:
    """One camera's output, and what is on its way there."""

    name: str
    settings: CameraStream
    optics: Optics
    color: ImageWriter
    depth: ImageWriter | None
    due_ns: int = 0
    last: Picture | None = None
    late: deque[Picture] = field(default_factory=lambda: deque(maxlen=64))
    drawn: int = 0

    @property
    def size(self) -> tuple[int, int]:
        return self.settings.width_px, self.settings.height_px

    @property
    def period_ns(self) -> int:
        return round(NS_PER_S / self.settings.rate_hz)

    def publish(self, picture: Picture) -> None:
        """Depth first: a reader takes a pair only when both carry one time."""
        if self.depth is not None and picture.depth_m is not None:
            self.depth.write(picture.depth_m, capture_ns=picture.capture_ns)
        self.color.write(picture.color, capture_ns=picture.capture_ns)

    def release_late(self, now_ns: int, *, wanted: bool) -> None:
        """What is still on its way when the fault ends is lost: older than what comes now."""
        if not wanted:
            self.late.clear()
        while self.late and now_ns - self.late[0].capture_ns >= LATE_NS:
            self.publish(self.late.popleft())


class Cameras:
    """Draws every stream that is due; one renderer a picture size."""

    def __init__(
        self, context: Context, scenario: Scenario, faults: FaultSource, source: SceneSource
    ) -> None:
        self._context = context
        self._faults = faults
        self._source = source
        self._noise = scenario.camera_noise
        self._scene: Scene = scene_of(context.config, scenario)
        declared = context.config.hardware.cameras.streams
        self._streams = [
            _open_stream(context.shm, name, declared[name], scenario.seed + index)
            for index, name in enumerate(sorted(declared))
            if name in self._scene.layout.cameras
        ]
        self._directive = context.shm.reader("directive")
        self._renderers: dict[tuple[int, int], Renderer] = {}
        self.rate_hz = max(stream.settings.rate_hz for stream in self._streams)
        self._reported_ns = 0

    def step(self, now_ns: int) -> None:
        if isinstance(self._faults, FaultReader):
            self._faults.refresh()
        state: tuple[Array, int] | None = None
        stereo = self._wants_stereo()
        for stream in self._streams:
            fault = self._fault_of(stream)
            stream.release_late(now_ns, wanted=fault is not None and fault.kind is Kind.DELAYED)
            idle = stream.name in STEREO and not stereo
            if not self._is_due(stream, fault, now_ns, idle=idle):
                continue
            if state is None:
                state = self._source.latest()
                if state is None:
                    return
                self._scene.restore(state[0])
            self._serve(stream, fault, state[1], now_ns)
        if now_ns - self._reported_ns >= REPORT_EVERY_NS:
            self._report(now_ns)

    def close(self) -> None:
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    def _wants_stereo(self) -> bool:
        directive = self._directive.latest()
        return directive is not None and bool(directive["stereo"])

    def _fault_of(self, stream: Stream) -> ActiveFault | None:
        component = FAULTY.get(stream.name)
        return None if component is None else self._faults.active(component)

    def _is_due(
        self, stream: Stream, fault: ActiveFault | None, now_ns: int, *, idle: bool
    ) -> bool:
        slow = fault is not None and fault.kind is Kind.SLOW
        period_ns = SLOW_PERIOD_NS if slow else IDLE_PERIOD_NS if idle else stream.period_ns
        if stream.due_ns > now_ns + period_ns:  # it was slow until now
            stream.due_ns = now_ns
        # The loop's own grid wanders a little against the stream's.
        if now_ns < stream.due_ns - min(period_ns // 4, GRID_NS):
            return False
        stream.due_ns = max(stream.due_ns + period_ns, now_ns + period_ns // 2)
        return True

    def _serve(
        self, stream: Stream, fault: ActiveFault | None, capture_ns: int, now_ns: int
    ) -> None:
        if fault is None:
            stream.last = self._draw(stream, stream.name, capture_ns)
            stream.publish(stream.last)
            return
        match fault.kind:
            case Kind.OFF:
                return
            case Kind.INTERMITTENT if fault.is_in_gap(now_ns, CAMERA_GAP_NS, CAMERA_PERIOD_NS):
                return
            case Kind.STUCK:
                last = stream.last or self._draw(stream, stream.name, capture_ns)
                stream.last = last
                stream.publish(Picture(last.color, last.depth_m, capture_ns))
            case Kind.GARBAGE:
                stream.publish(self._garbage(stream, capture_ns))
            case Kind.DELAYED:
                stream.late.append(self._draw(stream, stream.name, capture_ns))
            case Kind.WRONG:
                stream.publish(self._draw(stream, WRONG_VIEW[stream.name], capture_ns))
            case Kind.SLOW | Kind.INTERMITTENT:
                stream.publish(self._draw(stream, stream.name, capture_ns))

    def _draw(self, stream: Stream, view: str, capture_ns: int) -> Picture:
        renderer = self._renderer(stream.size)
        stream.drawn += 1
        if not stream.settings.color:
            grey = renderer.grey(view)
            if self._noise:
                grey = stream.optics.spoil_grey(grey)
            return Picture(grey, None, capture_ns)
        color, depth = renderer.rgbd(view)
        if self._noise:
            color, depth = stream.optics.spoil_color(color), stream.optics.spoil_depth(depth)
        return Picture(color, depth if stream.settings.depth else None, capture_ns)

    def _garbage(self, stream: Stream, capture_ns: int) -> Picture:
        color = stream.optics.garbage(stream.color.shape)
        width, height = stream.size
        depth = stream.optics.garbage_depth((height, width)) if stream.depth else None
        return Picture(color, depth, capture_ns)

    def _renderer(self, size: tuple[int, int]) -> Renderer:
        if size not in self._renderers:
            self._renderers[size] = Renderer(self._scene, size)
            log.info("drawing %dx%d by %s", *size, self._renderers[size].backend)
        return self._renderers[size]

    def _report(self, now_ns: int) -> None:
        fields: dict[str, Any] = {s.name: s.drawn for s in self._streams}
        self._context.telemetry.metric("cameras", fields)
        for stream in self._streams:
            stream.drawn = 0
        self._reported_ns = now_ns


def _open_stream(shm: Shm, name: str, settings: CameraStream, seed: int) -> Stream:
    width, height = settings.width_px, settings.height_px
    color = (
        shm.image_writer(f"camera.{name}.rgb", (height, width, 3), np.uint8)
        if settings.color
        else shm.image_writer(f"camera.{name}.grey", (height, width), np.uint8)
    )
    depth = None
    if settings.depth:
        depth = shm.image_writer(f"camera.{name}.depth", (height, width), np.float32)
    return Stream(name, settings, Optics((width, height), seed), color, depth)


def build(context: Context) -> Process:
    truth = truth_memory(context.paths)
    scenario = scenario_of_run(context.paths.run)
    return Cameras(context, scenario, FaultReader(truth), SceneReader(truth))


if __name__ == "__main__":
    run_daemon("cameras", build, SIM_PROCESSES)
