"""Cameras: whole pictures only, never waiting, lost devices come back."""

import errno
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from conf.load import compose
from conf.schema.hardware import CameraStream
from runtime.hal import v4l2
from runtime.hal.cameras import SharedCamera, V4l2Camera, open_camera
from runtime.hal.capture import Capture, decode
from runtime.hal.clock import SystemClock, VirtualClock
from runtime.hal.v4l2 import GREY, RGB3, YUYV, Z16, KernelDevice, PixelFormat, RawPicture
from runtime.shm import Shm

MS = 1_000_000
SHAPE = (6, 8)


# Shared memory


@pytest.fixture
def shm(tmp_path: Path) -> Shm:
    return Shm(tmp_path)


def test_shared_camera_before_the_first_picture_has_none(shm: Shm) -> None:
    camera = SharedCamera(shm, "cell")
    assert camera.latest() is None
    assert camera.sequence() == 0


def test_shared_camera_takes_colour_and_depth_of_one_moment_only(shm: Shm) -> None:
    color = shm.image_writer("camera.cell.rgb", (*SHAPE, 3), np.uint8)
    depth = shm.image_writer("camera.cell.depth", SHAPE, np.float32)
    camera = SharedCamera(shm, "cell")
    picture, near = np.full((*SHAPE, 3), 7, np.uint8), np.full(SHAPE, 1.5, np.float32)
    depth.write(near, capture_ns=10)
    assert camera.latest() is None
    color.write(picture, capture_ns=10)
    frame = camera.latest()
    assert frame is not None
    assert (frame.capture_ns, frame.sequence) == (10, 1)
    assert (frame.rgb == 7).all()
    assert frame.depth is not None
    assert (frame.depth == np.float32(1.5)).all()
    depth.write(near, capture_ns=20)  # the colour of this moment is still to come
    assert camera.latest() is None


def test_shared_grey_camera_has_no_depth(shm: Shm) -> None:
    grey = shm.image_writer("camera.stereo_left.grey", SHAPE, np.uint8)
    camera = SharedCamera(shm, "stereo_left", depth=False, color=False)
    grey.write(np.ones(SHAPE, np.uint8), capture_ns=3)
    frame = camera.latest()
    assert frame is not None
    assert frame.color.shape == SHAPE
    assert frame.depth is None


def test_profile_decides_what_a_camera_is(shm: Shm) -> None:
    config = compose(hardware="sim_x86", facility="osaka").config
    assert isinstance(open_camera(config, shm, VirtualClock(), "cell"), SharedCamera)


# V4L2, by a device that is scripted


class Device:
    """Delivers what it is given; raises what it is told to."""

    def __init__(self, code: int = YUYV) -> None:
        self.code = code
        self.ready: deque[RawPicture] = deque()
        self.error: OSError | None = None
        self.closed = False

    def set_format(self, width: int, height: int, codes: tuple[int, ...]) -> PixelFormat:
        assert self.code in codes
        return PixelFormat(width, height, self.code, 0)

    def set_rate(self, rate_hz: float) -> None:
        self.rate_hz = rate_hz

    def start(self) -> None:
        self.started = True

    def dequeue(self) -> RawPicture | None:
        if self.error is not None:
            raise self.error
        return self.ready.popleft() if self.ready else None

    def close(self) -> None:
        self.closed = True


def stream(*, depth: bool = False, device: str = "/dev/video0") -> CameraStream:
    return CameraStream(
        width_px=32, height_px=24, rate_hz=30.0, depth=depth, color=True, device=device
    )


def grey_picture(value: int, capture_ns: int | None) -> RawPicture:
    return RawPicture(bytes([value]) * (32 * 24), capture_ns)


class Bench:
    def __init__(self, code: int = GREY) -> None:
        self.clock = VirtualClock()
        self.devices: list[Device] = []
        self.gone = False
        self.capture = Capture(lambda: self.open(code), stream(), (code,), self.clock)

    def open(self, code: int) -> Device:
        if self.gone:
            raise OSError(errno.ENODEV, "no such device")
        self.devices.append(Device(code))
        return self.devices[-1]


def test_capture_keeps_the_newest_of_all_that_arrived() -> None:
    bench = Bench()
    assert bench.capture.latest() is None
    bench.devices[0].ready += [grey_picture(1, 100), grey_picture(2, 200)]
    newest = bench.capture.latest()
    assert newest is not None
    assert (newest.capture_ns, newest.sequence, newest.picture[0, 0]) == (200, 2, 2)
    assert bench.capture.latest() is newest


def test_capture_stamps_pictures_whose_driver_uses_another_clock() -> None:
    bench = Bench()
    bench.devices[0].ready.append(grey_picture(1, None))
    newest = bench.capture.latest()
    assert newest is not None
    assert newest.capture_ns == bench.clock.now_ns()


def test_capture_counts_a_broken_picture_and_keeps_the_one_before() -> None:
    bench = Bench()
    bench.devices[0].ready += [grey_picture(1, 100), RawPicture(b"short", 200)]
    newest = bench.capture.latest()
    assert newest is not None
    assert newest.capture_ns == 100
    assert bench.capture.broken == 1


def test_capture_of_a_lost_device_opens_it_again_once_a_second() -> None:
    bench = Bench()
    bench.devices[0].ready.append(grey_picture(1, 100))
    bench.capture.latest()
    bench.devices[0].error = OSError(errno.ENODEV, "unplugged")
    bench.gone = True
    still = bench.capture.latest()
    assert still is not None
    assert still.capture_ns == 100  # old, and its age says so
    assert bench.devices[0].closed
    bench.clock.advance(1100 * MS)
    bench.capture.latest()
    bench.gone = False
    bench.clock.advance(500 * MS)
    bench.capture.latest()
    assert len(bench.devices) == 1  # too early
    bench.clock.advance(600 * MS)
    bench.capture.latest()
    bench.devices[1].ready.append(grey_picture(9, 900))
    back = bench.capture.latest()
    assert back is not None
    assert (back.capture_ns, bench.capture.lost) == (900, 1)


def test_a_device_that_is_missing_at_the_start_is_an_error() -> None:
    with pytest.raises(OSError, match="/dev/video-none"):
        V4l2Camera(stream(device="/dev/video-none"), SystemClock())


@pytest.mark.parametrize("device", ["", "/dev/video0"])
def test_a_depth_camera_needs_two_devices(device: str) -> None:
    with pytest.raises(ValueError, match="v4l2-ctl"):
        V4l2Camera(stream(depth=True, device=device), SystemClock())


def pair(apart_ns: int) -> V4l2Camera:
    """A depth camera whose two devices deliver this far apart."""
    clock = VirtualClock()
    color, depth = Device(RGB3), Device(Z16)
    camera = V4l2Camera.__new__(V4l2Camera)
    camera._color = Capture(lambda: color, stream(), (RGB3,), clock)
    camera._depth = Capture(lambda: depth, stream(), (Z16,), clock)
    camera._apart_ns = 16 * MS
    color.ready.append(RawPicture(bytes([10, 20, 30]) * (32 * 24), 1000 * MS))
    for stamp in (900 * MS, 1000 * MS + apart_ns):
        depth.ready.append(RawPicture((1500).to_bytes(2, "little") * (32 * 24), stamp))
    return camera


def test_depth_camera_takes_the_depth_nearest_in_time() -> None:
    frame = pair(apart_ns=5 * MS).latest()
    assert frame is not None
    assert frame.rgb[3, 3].tolist() == [10, 20, 30]
    assert frame.depth is not None
    assert frame.depth[3, 3] == pytest.approx(1.5)


def test_depth_camera_gives_no_depth_rather_than_another_moments() -> None:
    frame = pair(apart_ns=40 * MS).latest()
    assert frame is not None
    assert frame.depth is None


# Formats


def test_decode_yuyv_turns_grey_levels_into_grey_pixels() -> None:
    raw = bytes([200, 128, 50, 128]) * (16 * 24)
    picture = decode(raw, PixelFormat(32, 24, YUYV, 64))
    assert picture is not None
    assert picture.shape == (24, 32, 3)
    assert np.ptp(picture[0, 0]) <= 1
    assert picture[0, 0, 0] > picture[0, 1, 0] + 100


def test_decode_leaves_out_the_padding_at_line_ends() -> None:
    line = bytes(range(32)) + b"\xff" * 32
    picture = decode(line * 24, PixelFormat(32, 24, GREY, 64))
    assert picture is not None
    assert picture.shape == (24, 32)
    assert picture[5].tolist() == list(range(32))


def test_decode_depth_is_metres_and_zero_stays_unknown() -> None:
    raw = np.array([[0, 2500]] * 12 * 32, "<u2").tobytes()
    picture = decode(raw, PixelFormat(32, 24, Z16, 64))
    assert picture is not None
    assert picture.dtype == np.float32
    assert set(np.unique(picture)) == {np.float32(0.0), np.float32(2.5)}


@pytest.mark.parametrize("code", [YUYV, GREY, Z16, RGB3, v4l2.MJPG])
def test_decode_of_too_few_bytes_is_none(code: int) -> None:
    assert decode(b"\x00" * 100, PixelFormat(32, 24, code, 0)) is None


def test_kernel_numbers_are_those_of_the_kernels_header() -> None:
    numbers = [v4l2.QUERYCAP, v4l2.S_FMT, v4l2.REQBUFS, v4l2.QUERYBUF, v4l2.QBUF, v4l2.DQBUF]
    assert [hex(number) for number in numbers] == [
        "0x80685600", "0xc0d05605", "0xc0145608", "0xc0585609", "0xc058560f", "0xc0585611",
    ]  # fmt: skip
    assert (v4l2.STREAMON, v4l2.STREAMOFF, v4l2.S_PARM) == (0x40045612, 0x40045613, 0xC0CC5616)


def test_a_file_that_is_no_video_device_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "video9"
    path.write_bytes(b"")
    with pytest.raises(OSError):
        KernelDevice(str(path))


def loopback_device() -> str | None:
    for path in sorted(Path("/dev").glob("video*")):
        try:
            KernelDevice(str(path)).close()
        except OSError:
            continue
        return str(path)
    return None


def test_a_real_video_device_delivers_pictures() -> None:
    path = loopback_device()
    if path is None:
        pytest.skip("no /dev/video* that captures (the vivid module provides one)")
    wanted = CameraStream(
        width_px=640, height_px=480, rate_hz=30.0, depth=False, color=True, device=path
    )
    camera = V4l2Camera(wanted, SystemClock())
    try:
        deadline = SystemClock().now_ns() + 5_000 * MS
        while camera.latest() is None and SystemClock().now_ns() < deadline:
            continue
        frame = camera.latest()
        assert frame is not None
        assert frame.rgb.shape == (480, 640, 3)
    finally:
        camera.close()
