"""The kernel's video capture interface by its own calls, with memory-mapped buffers."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import logging
import mmap
import os
from dataclasses import dataclass
from typing import Protocol

from runtime.hal.clock import NS_PER_S, NS_PER_US

log = logging.getLogger(__name__)

BUFFERS = 4

VIDEO_CAPTURE = 1
MEMORY_MMAP = 1
CAP_VIDEO_CAPTURE = 0x1
CAP_STREAMING = 0x0400_0000
CAP_DEVICE_CAPS = 0x8000_0000
TIMESTAMP_MASK = 0xE000
TIMESTAMP_MONOTONIC = 0x2000
FLAG_ERROR = 0x40
FIELD_NONE = 1


def fourcc(text: str) -> int:
    return int.from_bytes(text.encode("ascii"), "little")


YUYV, GREY, Z16, RGB3, MJPG = (fourcc(code) for code in ("YUYV", "GREY", "Z16 ", "RGB3", "MJPG"))


class _Capability(ctypes.Structure):
    _fields_ = [
        ("driver", ctypes.c_char * 16),
        ("card", ctypes.c_char * 32),
        ("bus_info", ctypes.c_char * 32),
        ("version", ctypes.c_uint32),
        ("capabilities", ctypes.c_uint32),
        ("device_caps", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 3),
    ]


class _PixFormat(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint32)
        for name in (
            "width",
            "height",
            "pixelformat",
            "field",
            "bytesperline",
            "sizeimage",
            "colorspace",
            "priv",
            "flags",
            "ycbcr_enc",
            "quantization",
            "xfer_func",
        )
    ]


class _FormatUnion(ctypes.Union):
    # The kernel's union holds pointers, which align it to eight bytes.
    _fields_ = [("pix", _PixFormat), ("raw", ctypes.c_uint8 * 200), ("align", ctypes.c_void_p)]


class _Format(ctypes.Structure):
    _fields_ = [("type", ctypes.c_uint32), ("fmt", _FormatUnion)]


class _CaptureParm(ctypes.Structure):
    _fields_ = [
        ("capability", ctypes.c_uint32),
        ("capturemode", ctypes.c_uint32),
        ("numerator", ctypes.c_uint32),
        ("denominator", ctypes.c_uint32),
        ("extendedmode", ctypes.c_uint32),
        ("readbuffers", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 4),
    ]


class _ParmUnion(ctypes.Union):
    _fields_ = [("capture", _CaptureParm), ("raw", ctypes.c_uint8 * 200)]


class _StreamParm(ctypes.Structure):
    _fields_ = [("type", ctypes.c_uint32), ("parm", _ParmUnion)]


class _RequestBuffers(ctypes.Structure):
    _fields_ = [
        ("count", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("memory", ctypes.c_uint32),
        ("capabilities", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
    ]


class _Timeval(ctypes.Structure):
    _fields_ = [("sec", ctypes.c_long), ("usec", ctypes.c_long)]


class _BufferUnion(ctypes.Union):
    _fields_ = [("offset", ctypes.c_uint32), ("userptr", ctypes.c_ulong)]


class _Buffer(ctypes.Structure):
    _fields_ = [
        ("index", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("bytesused", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("field", ctypes.c_uint32),
        ("timestamp", _Timeval),
        ("timecode", ctypes.c_uint8 * 16),
        ("sequence", ctypes.c_uint32),
        ("memory", ctypes.c_uint32),
        ("m", _BufferUnion),
        ("length", ctypes.c_uint32),
        ("reserved2", ctypes.c_uint32),
        ("request_fd", ctypes.c_uint32),
    ]


_WRITE, _READ = 1, 2


def _request(direction: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | ord("V") << 8 | number


QUERYCAP = _request(_READ, 0, ctypes.sizeof(_Capability))
S_FMT = _request(_READ | _WRITE, 5, ctypes.sizeof(_Format))
REQBUFS = _request(_READ | _WRITE, 8, ctypes.sizeof(_RequestBuffers))
QUERYBUF = _request(_READ | _WRITE, 9, ctypes.sizeof(_Buffer))
QBUF = _request(_READ | _WRITE, 15, ctypes.sizeof(_Buffer))
DQBUF = _request(_READ | _WRITE, 17, ctypes.sizeof(_Buffer))
STREAMON = _request(_WRITE, 18, ctypes.sizeof(ctypes.c_int))
STREAMOFF = _request(_WRITE, 19, ctypes.sizeof(ctypes.c_int))
S_PARM = _request(_READ | _WRITE, 22, ctypes.sizeof(_StreamParm))


class CameraError(OSError):
    """A device that is not what the profile says; the text says what it offers."""


@dataclass(frozen=True)
class PixelFormat:
    width: int
    height: int
    code: int
    bytes_per_line: int


@dataclass(frozen=True)
class RawPicture:
    data: bytes
    capture_ns: int | None  # monotonic, None when the driver stamps with another clock


class Device(Protocol):
    """What `Capture` needs of a video device."""

    def set_format(self, width: int, height: int, codes: tuple[int, ...]) -> PixelFormat:
        """Agree on the first of the formats that the device has at exactly this size."""
        ...

    def set_rate(self, rate_hz: float) -> None: ...

    def start(self) -> None: ...

    def dequeue(self) -> RawPicture | None:
        """The next picture if one is ready; never waits."""
        ...

    def close(self) -> None: ...


class KernelDevice:
    def __init__(self, path: str) -> None:
        self._path = path
        self._maps: list[mmap.mmap] = []
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._check_capture()
        except OSError:
            os.close(self._fd)
            raise

    def _check_capture(self) -> None:
        capability = _Capability()
        fcntl.ioctl(self._fd, QUERYCAP, capability)
        has_own = capability.capabilities & CAP_DEVICE_CAPS
        caps = capability.device_caps if has_own else capability.capabilities
        if not (caps & CAP_VIDEO_CAPTURE and caps & CAP_STREAMING):
            card = capability.card.decode(errors="replace")
            raise CameraError(
                errno.ENODEV,
                f"{self._path}: {card} does not stream captured pictures (capabilities {caps:#x}),"
                " so it cannot be a camera here; list devices with  v4l2-ctl --list-devices",
            )

    def set_format(self, width: int, height: int, codes: tuple[int, ...]) -> PixelFormat:
        offered: list[str] = []
        for code in codes:
            wanted = _Format(type=VIDEO_CAPTURE)
            wanted.fmt.pix.width, wanted.fmt.pix.height = width, height
            wanted.fmt.pix.pixelformat, wanted.fmt.pix.field = code, FIELD_NONE
            try:
                fcntl.ioctl(self._fd, S_FMT, wanted)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                continue
            pix = wanted.fmt.pix
            if (pix.width, pix.height, pix.pixelformat) == (width, height, code):
                return PixelFormat(width, height, code, pix.bytesperline)
            name = pix.pixelformat.to_bytes(4, "little").decode("ascii", errors="replace")
            offered.append(f"{pix.width}x{pix.height} {name}")
        raise CameraError(
            errno.EINVAL,
            f"{self._path}: asked for {width}x{height}, the device offers {offered or 'nothing'};"
            " a picture of another size would be measured wrongly; set the size in the profile",
        )

    def set_rate(self, rate_hz: float) -> None:
        parm = _StreamParm(type=VIDEO_CAPTURE)
        parm.parm.capture.numerator = 1000
        parm.parm.capture.denominator = round(1000 * rate_hz)
        try:
            fcntl.ioctl(self._fd, S_PARM, parm)
        except OSError as error:
            if error.errno not in (errno.ENOTTY, errno.EINVAL):
                raise
            log.info("%s: keeps its own rate", self._path)

    def start(self) -> None:
        request = _RequestBuffers(count=BUFFERS, type=VIDEO_CAPTURE, memory=MEMORY_MMAP)
        fcntl.ioctl(self._fd, REQBUFS, request)
        for index in range(request.count):
            buffer = _Buffer(index=index, type=VIDEO_CAPTURE, memory=MEMORY_MMAP)
            fcntl.ioctl(self._fd, QUERYBUF, buffer)
            self._maps.append(mmap.mmap(self._fd, buffer.length, offset=buffer.m.offset))
            fcntl.ioctl(self._fd, QBUF, buffer)
        fcntl.ioctl(self._fd, STREAMON, ctypes.c_int(VIDEO_CAPTURE))

    def dequeue(self) -> RawPicture | None:
        buffer = _Buffer(type=VIDEO_CAPTURE, memory=MEMORY_MMAP)
        try:
            fcntl.ioctl(self._fd, DQBUF, buffer)
        except BlockingIOError:
            return None
        data = self._maps[buffer.index][: buffer.bytesused]
        stamp, flags = buffer.timestamp, buffer.flags
        fcntl.ioctl(self._fd, QBUF, buffer)
        if flags & FLAG_ERROR:
            return self.dequeue()
        monotonic = flags & TIMESTAMP_MASK == TIMESTAMP_MONOTONIC
        capture_ns = stamp.sec * NS_PER_S + stamp.usec * NS_PER_US if monotonic else None
        return RawPicture(data, capture_ns)

    def close(self) -> None:
        try:
            fcntl.ioctl(self._fd, STREAMOFF, ctypes.c_int(VIDEO_CAPTURE))
        except OSError:
            log.debug("%s: was not streaming any more", self._path)
        for mapped in self._maps:
            mapped.close()
        os.close(self._fd)
