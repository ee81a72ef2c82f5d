"""One video device: decodes what has arrived, keeps the newest pictures, reopens a lost device."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from conf.schema.hardware import CameraStream
from runtime.hal.clock import NS_PER_S, Clock
from runtime.hal.v4l2 import (
    BUFFERS,
    GREY,
    MJPG,
    RGB3,
    YUYV,
    Z16,
    Device,
    KernelDevice,
    PixelFormat,
)

log = logging.getLogger(__name__)

KEPT = 3  # pictures a depth device keeps, to find the one nearest to the colour picture
REOPEN_NS = NS_PER_S
DEPTH_UNIT_M = 0.001  # of Z16, the format depth cameras agree on


@dataclass(frozen=True)
class Picture:
    picture: NDArray[Any]
    capture_ns: int
    sequence: int


def decode(raw: bytes, pixels: PixelFormat) -> NDArray[Any] | None:
    """A picture from a driver's bytes; None when they are too few (a broken USB transfer)."""
    height, width = pixels.height, pixels.width
    if pixels.code == MJPG:
        decoded = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR_RGB)
        return decoded if decoded is not None and decoded.shape == (height, width, 3) else None
    bytes_per_pixel = {YUYV: 2, GREY: 1, Z16: 2, RGB3: 3}[pixels.code]
    line = max(pixels.bytes_per_line, width * bytes_per_pixel)
    if len(raw) < line * (height - 1) + width * bytes_per_pixel:
        return None
    padded = raw.ljust(line * height, b"\0")
    rows = np.frombuffer(padded, np.uint8, line * height).reshape(height, line)
    packed = np.ascontiguousarray(rows[:, : width * bytes_per_pixel])
    if pixels.code == YUYV:
        return cv2.cvtColor(packed.reshape(height, width, 2), cv2.COLOR_YUV2RGB_YUYV)
    if pixels.code == Z16:
        return packed.view("<u2").astype(np.float32) * np.float32(DEPTH_UNIT_M)
    return packed.reshape(height, width, 3) if pixels.code == RGB3 else packed


class Capture:
    """One device: decodes what has arrived and comes back after the device was lost."""

    def __init__(
        self,
        opener: Callable[[], Device],
        stream: CameraStream,
        codes: tuple[int, ...],
        clock: Clock,
    ) -> None:
        self._opener = opener
        self._stream = stream
        self._codes = codes
        self._clock = clock
        self._device: Device | None = None
        self._pixels: PixelFormat | None = None
        self._kept: deque[Picture] = deque(maxlen=KEPT)
        self._sequence = 0
        self._retry_ns = 0
        self.lost = 0  # how often the device went away
        self.broken = 0  # pictures that could not be decoded
        self._open()  # a wrong profile must stop the start, only a later loss is waited out

    def latest(self) -> Picture | None:
        self._drain()
        return self._kept[-1] if self._kept else None

    def nearest(self, capture_ns: int) -> Picture | None:
        self._drain()
        return min(self._kept, key=lambda kept: abs(kept.capture_ns - capture_ns), default=None)

    def sequence(self) -> int:
        self._drain()
        return self._sequence

    def close(self) -> None:
        if self._device is not None:
            self._device.close()
            self._device = None

    def _open(self) -> None:
        device = self._opener()
        self._device = device
        stream = self._stream
        self._pixels = device.set_format(stream.width_px, stream.height_px, self._codes)
        device.set_rate(stream.rate_hz)
        device.start()

    def _drain(self) -> None:
        now_ns = self._clock.now_ns()
        try:
            if self._device is None:
                if now_ns < self._retry_ns:
                    return
                self._open()
            self._take_all(now_ns)
        except OSError as error:
            self._lose(error, now_ns)

    def _take_all(self, now_ns: int) -> None:
        if self._device is None or self._pixels is None:
            return
        for _ in range(BUFFERS):
            raw = self._device.dequeue()
            if raw is None:
                return
            decoded = decode(raw.data, self._pixels)
            if decoded is None:
                self.broken += 1
                continue
            self._sequence += 1
            capture_ns = now_ns if raw.capture_ns is None else raw.capture_ns
            self._kept.append(Picture(decoded, capture_ns, self._sequence))

    def _lose(self, error: OSError, now_ns: int) -> None:
        if self._device is not None:
            self.lost += 1
            log.warning("camera lost, trying again each second: %s", error)
            self.close()
        self._retry_ns = now_ns + REOPEN_NS


def open_v4l2(
    path: str, stream: CameraStream, clock: Clock, *, grey: bool = False, depth: bool = False
) -> Capture:
    codes = (Z16,) if depth else (GREY,) if grey else (RGB3, YUYV, MJPG)
    return Capture(lambda: KernelDevice(path), stream, codes, clock)
