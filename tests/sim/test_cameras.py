"""The camera process delivers the profile's pictures, and its faults show in them."""

from collections.abc import Iterator

import numpy as np
import pytest

from runtime.daemon import Context
from runtime.hal.cameras import Frame, SharedCamera
from sim.cameras import Cameras
from sim.faults import Component, FaultBoard, Kind, Venue
from sim.layout import Array
from sim.scenario import load_scenario, scene_of

pytestmark = pytest.mark.usefixtures("needs_gl")
MS = 1_000_000


class Show:
    """Cameras looking at a scene that moves on with the clock."""

    def __init__(self, context: Context) -> None:
        self.context, self.clock = context, context.clock
        self.scenario = load_scenario("picking")
        self.scene = scene_of(context.config, self.scenario)
        self.scene.people.walk(0, [(2.0, -1.0), (2.0, 1.0)], end="loop")
        self.board = FaultBoard(Venue.LOCK_STEP)
        self.process = Cameras(context, self.scenario, self.board, self)
        self.camera = SharedCamera(context.shm, "cell")

    def latest(self) -> tuple[Array, int]:
        return self.scene.capture(), self.clock.now_ns()

    def run(self, milliseconds: int, *, period_ms: int = 34) -> list[Frame]:
        """Every picture of camera `cell` in this time."""
        frames: list[Frame] = []
        for _ in range(0, milliseconds, period_ms):
            now_ns = self.clock.advance(period_ms * MS)  # type: ignore[attr-defined]
            self.scene.step(period_ms)
            self.process.step(now_ns)
            frame = self.camera.latest()
            if frame is not None and (not frames or frame.sequence != frames[-1].sequence):
                frames.append(frame)
        return frames


@pytest.fixture
def show(context: Context) -> Iterator[Show]:
    made = Show(context)
    yield made
    made.process.close()


def test_cameras_deliver_colour_and_depth_of_one_moment(show: Show) -> None:
    frames = show.run(340)
    assert len(frames) == 10
    last = frames[-1]
    assert last.rgb.shape == (120, 160, 3)
    assert last.depth is not None
    assert last.depth.shape == (120, 160)
    assert last.capture_ns == show.clock.now_ns()
    assert 0.5 < np.median(last.depth) < 8.0


def test_stereo_is_drawn_seldom_until_the_directive_asks(show: Show) -> None:
    eye = show.context.shm.image_reader("camera.stereo_left.grey")
    show.run(1000)
    image = eye.latest()
    assert image is not None
    assert image.array.shape == (120, 160)
    idle = image.sequence
    assert 2 <= idle <= 3
    show.context.shm.writer("directive").write(stereo=1)
    show.run(500)
    image = eye.latest()
    assert image is not None
    assert 4 <= image.sequence - idle <= 6  # 10 Hz, whatever the other cameras do


def test_each_fault_shows_and_goes_when_cleared(show: Show) -> None:
    show.run(200)
    for kind in Kind:
        show.board.inject(Component.CAMERA_CELL, kind, show.clock.now_ns())
        check(kind, show.run(1000))
        show.board.clear(Component.CAMERA_CELL)
        healthy = show.run(100)
        assert healthy[-1].capture_ns == show.clock.now_ns()


def check(kind: Kind, frames: list[Frame]) -> None:
    stamps = {frame.capture_ns for frame in frames}
    match kind:
        case Kind.OFF:
            assert len(frames) <= 1
        case Kind.STUCK:
            assert len(stamps) >= 28
            assert len({frame.rgb.tobytes() for frame in frames}) == 1
        case Kind.GARBAGE:
            assert frames[-1].rgb.std() > 70
        case Kind.WRONG:
            assert frames[-1].depth is not None
            assert 0.5 < frames[-1].depth.min() < frames[-1].depth.max() < 2.3  # the bin's view
        case Kind.SLOW:
            assert 2 <= len(frames) <= 4
        case Kind.DELAYED:
            ages = np.diff([frame.capture_ns for frame in frames])
            assert 15 <= len(frames) <= 20
            assert (ages > 0).all()
        case Kind.INTERMITTENT:
            assert len(frames) <= 2  # the first second is the gap


def test_bin_camera_keeps_working_while_the_cell_camera_is_off(show: Show) -> None:
    show.board.inject(Component.CAMERA_CELL, Kind.OFF, show.clock.now_ns())
    show.run(200)
    other = SharedCamera(show.context.shm, "bin").latest()
    assert other is not None
    assert other.capture_ns == show.clock.now_ns()


def test_noise_is_there_and_small(show: Show) -> None:
    from sim.render import Renderer

    frame = show.run(40)[-1]
    with Renderer(show.scene, (160, 120)) as clean:
        rgb, depth = clean.rgbd("cell")
    assert frame.depth is not None
    color_error = np.abs(frame.rgb.astype(int) - rgb)
    assert 0.5 < color_error.mean() < 4.0
    assert 1e-4 < np.abs(frame.depth - depth).mean() < 0.05
