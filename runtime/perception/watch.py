"""Whether a camera still sees: new pixels that make sense, or it is blind."""

from dataclasses import dataclass

import numpy as np

from runtime.hal.cameras import Camera, Frame

SAMPLE_STEP = 7  # every seventh pixel each way decides whether two pictures are the same
ROUGH_M = 0.25  # a step between neighbours that surfaces of a room rarely make
MAX_ROUGH_RATIO = 0.30
MIN_DEPTH_RATIO = 0.30


@dataclass
class CameraWatch:
    """Hands out each picture once, and says when the last one that told something new came."""

    camera: Camera
    stuck_ns: int
    last: Frame | None = None
    seen_ns: int | None = None  # when a picture last differed from the one before
    frames: int = 0

    def fetch(self, now_ns: int) -> Frame | None:
        """A picture that was not there before, or None. A repeated one is no news."""
        if self.last is not None and self.camera.sequence() == self.last.sequence:
            return None
        frame = self.camera.latest()
        if frame is None or (self.last is not None and frame.sequence == self.last.sequence):
            return None
        same = self.last is not None and _same_pixels(frame, self.last)
        self.last = frame
        if same or not is_plausible(frame):
            return None
        self.frames += 1
        self.seen_ns = now_ns
        return frame

    def is_blind(self, now_ns: int) -> bool:
        """No new picture for too long, or one that was old when it came."""
        if self.seen_ns is None or self.last is None:
            return True
        if now_ns - self.last.capture_ns > self.stuck_ns:
            return True
        return now_ns - self.seen_ns > self.stuck_ns


def is_plausible(frame: Frame) -> bool:
    """Whether depth looks like a room: mostly there, and mostly smooth. Noise is neither."""
    if frame.depth_m is None:
        return True
    depth = frame.depth_m[::2, ::2]
    valid = depth > 0.0
    if np.count_nonzero(valid) < MIN_DEPTH_RATIO * depth.size:
        return False
    both = valid[:, 1:] & valid[:, :-1]
    rough = np.abs(depth[:, 1:] - depth[:, :-1]) > ROUGH_M
    limit = MAX_ROUGH_RATIO * max(1, int(np.count_nonzero(both)))
    return int(np.count_nonzero(rough & both)) <= limit


def _same_pixels(one: Frame, other: Frame) -> bool:
    """A real sensor's noise never repeats: equal pixels are a frozen camera, or a covered one."""
    if one.color.shape != other.color.shape:
        return False
    step = SAMPLE_STEP
    if not np.array_equal(one.color[::step, ::step], other.color[::step, ::step]):
        return False
    if one.depth_m is None or other.depth_m is None:
        return one.depth_m is other.depth_m
    return np.array_equal(one.depth_m[::step, ::step], other.depth_m[::step, ::step])
