"""Frames and acknowledgements: they survive the journey, and anything else is refused by name."""

import zlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from records import Priority, TelemetryFrame
from runtime.telemetry.frame import (
    BODY_MAX_BYTES,
    Ack,
    FrameError,
    decode_ack,
    decode_frame,
    encode_ack,
    encode_frame,
    tags_of,
)
from runtime.telemetry.line import encode_line, encode_tags


def make_frame(count: int = 3, **changes: object) -> TelemetryFrame:
    base = {
        "config_hash": "a" * 64,
        "artifact_name": "dev",
        "robot_id": "osaka-01",
        "site": "osaka",
        "hardware": "sim_x86",
        "epoch": 5,
        "priority": Priority.METRIC,
        "replayed": False,
        "ranges": ((1, count),) if count else (),
        "thinned": ((100, 120),),
        "lines": (),
    }
    frame = TelemetryFrame(**{**base, **changes})  # type: ignore[arg-type]
    tagset = encode_tags(tags_of(frame))
    lines = tuple(
        encode_line("joint", tagset, {"q": seq / 3}, seq=seq, epoch=5, time_ns=seq * 1000)
        for seq in range(1, count + 1)
    )
    return frame.model_copy(update={"lines": changes.get("lines", lines)})


def rebuild(message: bytes, **changes: object) -> bytes:
    """The message with other header fields and a right checksum: what a hostile sender makes."""
    length = int.from_bytes(message[4:8], "little")
    header = {**orjson.loads(message[8 : 8 + length]), **changes}
    raw = orjson.dumps(header)
    start = b"BPF1" + len(raw).to_bytes(4, "little") + raw + message[8 + length : -4]
    return start + zlib.crc32(start).to_bytes(4, "little")


@pytest.mark.parametrize("count", [0, 1, 3, 100])
def test_frame_comes_back_as_it_was_sent(count: int) -> None:
    frame = make_frame(count)
    assert decode_frame(encode_frame(frame)) == frame


@given(at=st.integers(0, 400), bit=st.integers(0, 7))
def test_frame_with_one_bit_changed_is_refused(at: int, bit: int) -> None:
    message = bytearray(encode_frame(make_frame()))
    message[at % len(message)] ^= 1 << bit
    with pytest.raises(FrameError):
        decode_frame(bytes(message))


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_as_a_frame(message: bytes) -> None:
    with pytest.raises(FrameError):
        decode_frame(message)
    with pytest.raises(FrameError):
        decode_ack(message)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"v": 2}, "version 2, this receiver reads 1"),
        ({"tags": {"robot": "osaka-01"}}, "tags must be exactly"),
        ({"ranges": [[1, 2]]}, "2 sequence numbers for 3 lines"),
        ({"ranges": [[3, 1]]}, "a range is"),
        ({"ranges": [[1, 2**61]]}, "sequence numbers for 3 lines"),
        ({"epoch": 0}, "epoch"),
        ({"epoch": True}, "epoch"),
        ({"priority": "urgent"}, "urgent"),
        ({"replayed": 1}, "replayed"),
        ({"config": "x"}, "config_hash"),
    ],
)
def test_frame_with_a_wrong_header_is_refused_by_name(changes: dict, reason: str) -> None:
    with pytest.raises(FrameError, match=reason):
        decode_frame(rebuild(encode_frame(make_frame()), **changes))


def test_frame_with_lines_of_another_robot_is_refused() -> None:
    message = encode_frame(make_frame())
    tags = {"robot": "osaka-02", "site": "osaka", "hardware": "sim_x86", "version": "dev"}
    with pytest.raises(FrameError, match="no point of robot osaka-02"):
        decode_frame(rebuild(message, tags=tags))


def test_frame_that_unpacks_to_a_flood_is_refused() -> None:
    frame = make_frame(1, lines=(b"x" * (2 * BODY_MAX_BYTES),))
    message = encode_frame(frame)
    assert len(message) < 20_000
    with pytest.raises(FrameError, match="unpacks to more than"):
        decode_frame(message)


def test_ack_comes_back_as_it_was_sent() -> None:
    ack = Ack(epoch=9, stored=((1, 5), (8, 8)), refused=((6, 6),), thinned=((20, 30),))
    assert decode_ack(encode_ack(ack)) == ack
