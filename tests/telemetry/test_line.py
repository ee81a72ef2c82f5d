"""The line protocol encoder: whatever a process hands in, one line comes out."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.telemetry.line import (
    RESERVED_FIELDS,
    LineError,
    clean_name,
    clean_text,
    decode_line,
    encode_line,
    encode_tags,
    is_of,
)

TAGS = {"robot": "osaka-01", "site": "osaka", "hardware": "sim_x86", "version": "dev"}
TAGSET = encode_tags(TAGS)

names = st.text(min_size=1, max_size=20)
values = st.one_of(
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=60),
    st.text(alphabet='ab"\\ ,=', max_size=12),  # what must be escaped, far more often
)


def line_of(measurement: str, fields: dict, seq: int = 7, time_ns: int = 1_700_000_000) -> bytes:
    return encode_line(measurement, TAGSET, fields, seq=seq, epoch=3, time_ns=time_ns)


def expected(value: object) -> object:
    if isinstance(value, str):
        return clean_text(value)
    return value if isinstance(value, bool) else float(value)  # type: ignore[arg-type]


@given(
    measurement=names, fields=st.dictionaries(names, values, max_size=6), seq=st.integers(1, 2**62)
)
def test_line_any_fields_come_back_as_they_went_in(
    measurement: str, fields: dict, seq: int
) -> None:
    line = line_of(measurement, fields, seq)
    point = decode_line(line)
    wanted: dict[str, object] = {"epoch": 3, "seq": seq}
    for key, value in fields.items():
        name = clean_name(f"{key}_" if key in RESERVED_FIELDS else key)
        if isinstance(value, bool | str) or (abs(value) < 1.7e308 and math.isfinite(value)):
            wanted[name] = expected(value)
    assert point.measurement == clean_name(measurement)
    assert point.tags == TAGS
    assert point.time_ns == 1_700_000_000
    assert {key: point.fields[key] for key in wanted} == wanted


@given(measurement=names, fields=st.dictionaries(names, values, max_size=6))
def test_line_any_fields_stay_one_line_of_their_robot(measurement: str, fields: dict) -> None:
    line = line_of(measurement, fields)
    assert b"\n" not in line
    assert is_of(line, TAGSET)


def test_line_of_another_robot_does_not_match() -> None:
    other = encode_tags({**TAGS, "robot": "osaka-02"})
    line = encode_line("joint", other, {"q": 1.0}, seq=1, epoch=1, time_ns=1)
    assert not is_of(line, TAGSET)


def test_line_with_a_second_point_smuggled_in_does_not_match() -> None:
    other = encode_tags({**TAGS, "robot": "osaka-02"})
    line = line_of("m", {"a": 1.0}) + b"\nm," + other + b" a=1 1"
    assert not is_of(line, TAGSET)


@pytest.mark.parametrize(
    "measurement",
    [
        b"",
        b"a\\",
        b"a b",
        b"a=b",
        b"a\rb",
        b"x," + TAGSET.replace(b"01", b"02"),
        b"a\\,b," + TAGSET,
    ],
)
def test_line_whose_measurement_could_hide_other_tags_does_not_match(measurement: bytes) -> None:
    assert not is_of(measurement + b"," + TAGSET + b" a=1 1", TAGSET)


@pytest.mark.parametrize("rest", [b"", b"a=1", b"a=1 ", b"a=1 1x", b"a=1\r 1", b"a=1 1\n", b" 1"])
def test_line_without_fields_or_a_time_at_its_end_does_not_match(rest: bytes) -> None:
    assert not is_of(b"m," + TAGSET + b" " + rest, TAGSET)
    assert is_of(b"m\\,\\ \\=," + TAGSET + b" a=1 1", TAGSET)


@given(text=st.text(alphabet='ab\\" ,=', max_size=12), end=st.sampled_from(["", " 1", '" 1']))
def test_decode_finds_the_end_of_the_fields_as_walking_along_them_does(text: str, end: str) -> None:
    line = f"m,a=b x={text}{end}"
    quoted, at, rest = False, 0, line.split(" ", 1)[1]
    while at < len(rest) and (quoted or rest[at] != " "):
        quoted ^= rest[at] == '"'
        at += 2 if rest[at] == "\\" else 1
    why = ""
    try:
        decode_line(line.encode())
    except LineError as error:
        why = str(error)
    assert ("before the timestamp" in why) == (at >= len(rest))


def test_line_numbers_are_floats_so_that_a_zero_fixes_no_type() -> None:
    line = line_of("m", {"a": 0, "b": 0.5, "c": True, "d": "x"})
    assert b",a=0.0,b=0.5,c=true,d=" in line


def test_line_field_named_like_a_tag_or_the_time_is_renamed() -> None:
    assert decode_line(line_of("m", {"time": 1.0, "robot": "x"})).fields["time_"] == 1.0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "ends before the fields"),
        (b"m,a=b", "ends before the fields"),
        (b"m,a=b x=1", "ends before the timestamp"),
        (b"m,a=b x=1 12z", "whole nanoseconds"),
        (b"m,a=b x=1 99999999999999999999", "whole nanoseconds"),
        (b"m,a=b x=nan 1", "no field at"),
        (b"m,a=b x=1e999 1", "does not fit"),
        (b"m,a=b x=99999999999999999999i 1", "does not fit"),
        (b"m,a= x=1 1", "key=value"),
        (b"m,a=b x=1, 1", "comma without"),
        (b'm,a=b x="open 1', "ends before the timestamp"),
        (b"\xff,a=b x=1 1", "not UTF-8"),
    ],
)
def test_decode_malformed_line_says_what_is_wrong(line: bytes, reason: str) -> None:
    with pytest.raises(LineError, match=reason):
        decode_line(line)


GOOD = line_of("joint", {"q": 0.5, "well": True, "note": 'a "word", or two'})
CHANGED = st.tuples(st.integers(0, len(GOOD) - 1), st.binary(max_size=3)).map(
    lambda change: GOOD[: change[0]] + change[1] + GOOD[change[0] + 1 :]
)


@given(st.binary(max_size=200) | CHANGED)
def test_decode_any_bytes_gives_a_point_or_a_line_error(line: bytes) -> None:
    try:
        point = decode_line(line)
    except LineError:
        return
    assert point.fields
    assert {type(value) for value in point.fields.values()} <= {bool, int, float, str}
    assert abs(point.time_ns) < 2**63
