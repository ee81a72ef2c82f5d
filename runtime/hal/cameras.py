"""Cameras behind one door: the simulator's shared pictures, or V4L2 devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from conf.schema import Config
from conf.schema.hardware import CameraSource, CameraStream
from runtime.hal.capture import open_v4l2
from runtime.hal.clock import Clock
from runtime.shm import Shm

TRIES = 3


@dataclass(frozen=True)
class Frame:
    """One picture: RGB (h, w, 3), or (h, w) of a grey camera; depth in metres, 0 where unknown."""

    color: NDArray[np.uint8]
    depth_m: NDArray[np.float32] | None
    capture_ns: int
    sequence: int

    @property
    def rgb(self) -> NDArray[np.uint8]:
        return self.color

    @property
    def depth(self) -> NDArray[np.float32] | None:
        return self.depth_m


class Camera(Protocol):
    """Never waits: what is not there yet is None, what is old carries its age."""

    def latest(self) -> Frame | None:
        """The newest whole picture, or None while there is none."""
        ...

    def sequence(self) -> int:
        """Number of the newest picture without fetching it; 0 while there is none."""
        ...

    def close(self) -> None: ...


class SharedCamera:
    """Pictures that another process puts into shared memory."""

    def __init__(self, shm: Shm, name: str, *, depth: bool = True, color: bool = True) -> None:
        kind = "rgb" if color else "grey"
        self._color = shm.image_reader(f"camera.{name}.{kind}")
        self._depth = shm.image_reader(f"camera.{name}.depth") if depth else None

    def latest(self) -> Frame | None:
        if self._depth is None:
            image = self._color.latest()
            if image is None:
                return None
            return Frame(image.array, None, image.capture_ns, image.sequence)
        for _ in range(TRIES):
            # Depth is written first, so a pair torn by a new picture shows in unequal times.
            color, depth = self._color.latest(), self._depth.latest()
            if color is None or depth is None:
                return None
            if color.capture_ns == depth.capture_ns:
                return Frame(color.array, depth.array, color.capture_ns, color.sequence)
        return None

    def sequence(self) -> int:
        return self._color.sequence()

    def close(self) -> None:
        """Shared pictures need no closing."""


def open_camera(config: Config, shm: Shm, clock: Clock, name: str) -> Camera:
    """The camera that the profile declares under a name."""
    stream: CameraStream = config.hardware.cameras.streams[name]
    match config.hardware.cameras.source:
        case CameraSource.SIM:
            return SharedCamera(shm, name, depth=stream.depth, color=stream.color)
        case CameraSource.V4L2:
            return V4l2Camera(stream, clock)
        case CameraSource.REPLAY:
            raise ValueError(
                f"cameras.{name}: the profile replays recorded detections, so there are no pictures"
                " and no process looks for any; choose a hardware profile with cameras to use one"
            )


class V4l2Camera:
    """A camera of the kernel's video interface; depth cameras have a second device for depth.

    The profile names both as `/dev/video0,/dev/video2`. A device that goes away is opened again,
    once a second, and until then there are simply no new pictures.
    """

    def __init__(self, stream: CameraStream, clock: Clock) -> None:
        devices = stream.device.split(",")
        if not devices[0] or len(devices) != (2 if stream.depth else 1):
            wanted = "a colour and a depth device, comma between" if stream.depth else "one device"
            raise ValueError(
                f"cameras.streams: device got {stream.device!r}, must name {wanted}, for there is"
                " no picture without; list them with  v4l2-ctl --list-devices"
            )
        self._color = open_v4l2(devices[0], stream, clock, grey=not stream.color)
        self._depth = open_v4l2(devices[1], stream, clock, depth=True) if stream.depth else None
        # Two devices of one camera deliver a little apart: half a period is the same picture.
        self._apart_ns = round(0.5e9 / stream.rate_hz)

    def latest(self) -> Frame | None:
        color = self._color.latest()
        if color is None:
            return None
        if self._depth is None:
            return Frame(color.picture, None, color.capture_ns, color.sequence)
        depth = self._depth.nearest(color.capture_ns)
        if depth is None or abs(depth.capture_ns - color.capture_ns) > self._apart_ns:
            return Frame(color.picture, None, color.capture_ns, color.sequence)
        return Frame(color.picture, depth.picture, color.capture_ns, color.sequence)

    def sequence(self) -> int:
        return self._color.sequence()

    def close(self) -> None:
        self._color.close()
        if self._depth is not None:
            self._depth.close()
