"""The message that carries records to the fleet, and the one that comes back.

A frame is a header in JSON and lines of line protocol, compressed, under one checksum. The header
says whose it is and which sequence numbers it holds, so that the receiver checks identity and
forwards the lines without reading them. Whatever arrives is decoded here, and anything odd is a
FrameError.
"""

import re
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from records import Priority, TelemetryFrame
from runtime.telemetry.line import encode_tags, is_of
from runtime.telemetry.ranges import Range, count, parse_ranges

VERSION = 1
MAGIC = b"BPF1"
HEADER_MAX_BYTES = 65_536
BODY_MAX_BYTES = 1_048_576  # after decompression: a small message must not become a large one
COMPRESSION_LEVEL = 1
TAG_KEYS = ("hardware", "robot", "site", "version")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,126}")


class FrameError(ValueError):
    """A message that is no frame or no acknowledgement of ours."""


@dataclass(frozen=True)
class Ack:
    """What the fleet has settled of one spool: stored, refused for good, or booked as thinned."""

    epoch: int
    stored: tuple[Range, ...] = ()
    refused: tuple[Range, ...] = ()
    thinned: tuple[Range, ...] = ()


def tags_of(frame: TelemetryFrame) -> dict[str, str]:
    """The bounded tags of every point: what a database indexes."""
    return {
        "hardware": frame.hardware,
        "robot": frame.robot_id,
        "site": frame.site,
        "version": frame.artifact_name,
    }


def encode_frame(frame: TelemetryFrame) -> bytes:
    raw = orjson.dumps(
        {
            "v": VERSION,
            "tags": tags_of(frame),
            "config": frame.config_hash,
            "epoch": frame.epoch,
            "priority": frame.priority.value,
            "replayed": frame.replayed,
            "ranges": frame.ranges,
            "thinned": frame.thinned,
        }
    )
    body = zlib.compress(b"\n".join(frame.lines), COMPRESSION_LEVEL)
    start = MAGIC + len(raw).to_bytes(4, "little") + raw
    return start + body + zlib.crc32(start + body).to_bytes(4, "little")


def decode_frame(message: bytes) -> TelemetryFrame:
    """The frame, its lines each a point of the robot that the header names; or FrameError."""
    raw, body = _split(message)
    lines = tuple(body.split(b"\n")) if body else ()
    frame = _decode_header(raw, lines)
    if len(lines) != count(frame.ranges):
        raise FrameError(f"{count(frame.ranges)} sequence numbers for {len(lines)} lines")
    tagset = _tagset(frame.hardware, frame.robot_id, frame.site, frame.artifact_name)
    for number, line in enumerate(lines):
        if not is_of(line, tagset):
            raise FrameError(f"line {number} is no point of robot {frame.robot_id}: {line!r:.80}")
    return frame


@lru_cache(maxsize=8192)
def _tagset(*values: str) -> bytes:
    """A robot's frames all have the same; `values` are in the order of the keys."""
    return encode_tags(dict(zip(TAG_KEYS, values, strict=True)))


def _split(message: bytes) -> tuple[bytes, bytes]:
    if len(message) < 12 or message[:4] != MAGIC:
        raise FrameError(f"{len(message)} bytes that do not start as a frame: {message[:8]!r}")
    if zlib.crc32(message[:-4]) != int.from_bytes(message[-4:], "little"):
        raise FrameError("checksum does not match: the message was damaged on its way")
    length = int.from_bytes(message[4:8], "little")
    if length > min(HEADER_MAX_BYTES, len(message) - 12):
        raise FrameError(f"header of {length} bytes in a message of {len(message)}")
    return message[8 : 8 + length], _decompress(message[8 + length : -4])


def _decompress(body: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(body, BODY_MAX_BYTES)
    except zlib.error as error:
        raise FrameError(f"body cannot be unpacked: {error}") from error
    if not unpacker.eof or unpacker.unused_data:
        raise FrameError(f"body is cut, has a tail, or unpacks to more than {BODY_MAX_BYTES} bytes")
    return text


def _decode_header(raw: bytes, lines: tuple[bytes, ...]) -> TelemetryFrame:
    try:
        fields: Any = orjson.loads(raw)
        if fields["v"] != VERSION:
            raise FrameError(f"frame version {fields['v']!r:.20}, this receiver reads {VERSION}")
        tags = _checked_tags(fields["tags"])
        return TelemetryFrame(
            robot_id=tags["robot"],
            site=tags["site"],
            hardware=tags["hardware"],
            artifact_name=tags["version"],
            config_hash=fields["config"],
            epoch=_checked_epoch(fields["epoch"]),
            priority=Priority(fields["priority"]),
            replayed=fields["replayed"],
            ranges=parse_ranges(fields["ranges"]),
            thinned=parse_ranges(fields["thinned"]),
            lines=lines,
        )
    except FrameError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FrameError(f"header: {error!r:.200}") from error


def _checked_tags(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or tuple(sorted(value)) != TAG_KEYS:  # type: ignore[reportUnknownArgumentType]
        raise ValueError(f"tags must be exactly {TAG_KEYS}, got {value!r:.80}")
    for key in TAG_KEYS:
        _matching(value[key], f"tag {key}")
    return value  # type: ignore[reportUnknownVariableType]


def _matching(value: Any, what: str) -> None:
    if not isinstance(value, str) or not _is_name(value):
        raise ValueError(f"{what} must match {_NAME.pattern}, got {value!r:.80}")


@lru_cache(maxsize=8192)
def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def _checked_epoch(value: Any) -> int:
    if type(value) is not int or not 0 < value < 2**62:
        raise ValueError(f"epoch must be a whole number below 2^62, got {value!r:.40}")
    return value


def encode_ack(ack: Ack) -> bytes:
    return orjson.dumps(
        {
            "v": VERSION,
            "epoch": ack.epoch,
            "stored": ack.stored,
            "refused": ack.refused,
            "thinned": ack.thinned,
        }
    )


def decode_ack(message: bytes) -> Ack:
    try:
        fields: Any = orjson.loads(message)
        if fields["v"] != VERSION:
            raise FrameError(f"acknowledgement version {fields['v']!r:.20}, this robot reads 1")
        return Ack(
            epoch=_checked_epoch(fields["epoch"]),
            stored=parse_ranges(fields["stored"]),
            refused=parse_ranges(fields["refused"]),
            thinned=parse_ranges(fields["thinned"]),
        )
    except FrameError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FrameError(f"acknowledgement: {error!r:.200}") from error
