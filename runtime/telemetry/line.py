"""InfluxDB line protocol, as all its versions read it.

Numbers become floats, always: a database fixes the type of a field at its first point, and a
reading that is `0` now and `0.5` later would otherwise be refused for ever. Only the sequence
number and the spool's epoch are integers. Line ends inside texts are shown as a symbol, so that a
frame can be cut into lines by its bytes alone.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from runtime.telemetry.client import Value

INTEGER_FIELDS = frozenset({"seq", "epoch"})
RESERVED_FIELDS = INTEGER_FIELDS | {"time", "robot", "site", "hardware", "version"}
FLOAT_MAX = 1.7e308
TIMESTAMP_MAX = 2**63 - 1
TIME_DIGITS = 19

_SUFFIXES: dict[type, str] = {str: ".text", bool: ".flag"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029\ud800-\udfff]")
_NAME_ESCAPE = re.compile(r"([,= ])")
_TEXT_ESCAPE = re.compile(r'(["\\])')
_COMMA, _EQUALS = re.compile(r"(?<!\\),"), re.compile(r"(?<!\\)=")
_ESCAPED, _QUOTED = re.compile(r"\\([,= ])"), re.compile(r'\\(["\\])')
_FIELDS = re.compile(r'(?:[^\\" ]+|\\.|"(?:[^"\\]+|\\.)*")*', re.DOTALL)
_TIME = re.compile(r"-?\d{1,19}")


class LineError(ValueError):
    """A line that is not line protocol: what is wrong and where."""


@dataclass(frozen=True)
class Point:
    measurement: str
    tags: dict[str, str]
    fields: dict[str, Value]
    time_ns: int


def clean_text(text: str) -> str:
    """A text value without characters that would cut a line in two."""
    return _CONTROL.sub(_shown, text)


def clean_name(name: str) -> str:
    """A measurement, tag or field name; a backslash at its end would swallow the separator."""
    return _CONTROL.sub("_", name).replace("\\", "/").replace('"', "'") or "_"


def _shown(match: re.Match[str]) -> str:
    return "\u2424" if match.group() in "\n\r" else "\ufffd"


def _escape_name(name: str) -> str:
    return _NAME_ESCAPE.sub(r"\\\1", clean_name(name))


def encode_tags(tags: Mapping[str, str]) -> bytes:
    """The tag part, sorted as databases like it; every tag must have a value."""
    parts = [f"{_escape_name(key)}={_escape_name(value)}" for key, value in sorted(tags.items())]
    return ",".join(parts).encode()


def encode_value(value: Value) -> str | None:
    """None for what no database can hold, which then is simply missing."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + _TEXT_ESCAPE.sub(r"\\\1", clean_text(value)) + '"'
    if not -FLOAT_MAX < value < FLOAT_MAX:
        return None
    return repr(float(value))


def encode_line(
    measurement: str,
    tagset: bytes,
    fields: Mapping[str, Value],
    *,
    seq: int,
    epoch: int,
    time_ns: int,
) -> bytes:
    """One point without its line end; `tagset` comes from `encode_tags`."""
    parts = [f"epoch={epoch}i", f"seq={seq}i"]
    for key, value in fields.items():
        encoded = encode_value(value)
        if encoded is None:
            continue
        name = f"{key}_" if key in RESERVED_FIELDS else key
        parts.append(f"{_escape_name(name)}={encoded}")
    head = _escape_name(measurement).encode()
    return b"%s,%s %s %d" % (head, tagset, ",".join(parts).encode(), time_ns)


def typed_names(fields: Mapping[str, Value]) -> dict[str, Value]:
    """Names that carry their type where it is no number.

    All events share a measurement, and a database fixes a field's type at its first point: without
    this, `from` as a word in one event would make the store refuse `from` as a number in another.
    """
    return {f"{key}{_SUFFIXES.get(type(value), '')}": value for key, value in fields.items()}


def plain_names(fields: Mapping[str, Value]) -> dict[str, Value]:
    """The fields of an event as its process named them."""
    return {_strip_suffix(key): value for key, value in fields.items()}


@lru_cache(maxsize=1024)
def _strip_suffix(name: str) -> str:
    for suffix in _SUFFIXES.values():
        if name.endswith(suffix):
            return name[: -len(suffix)]
    return name


_MEASUREMENT = re.compile(rb"(?:[^\\,= \n\r]|\\[,= ])+")


def is_of(line: bytes, tagset: bytes) -> bool:
    """Whether it looks like a line of the robot with these tags; ingest need not parse it then."""
    measurement, found, rest = line.partition(b",%s " % tagset)
    fields, _, time = rest.rpartition(b" ")
    return (
        bool(found and fields)
        and time.isdigit()
        and len(time) <= TIME_DIGITS
        and b"\n" not in rest
        and b"\r" not in rest
        and _is_measurement(measurement)
    )


@lru_cache(maxsize=1024)
def _is_measurement(name: bytes) -> bool:
    return _MEASUREMENT.fullmatch(name) is not None


def decode_line(line: bytes) -> Point:
    """One line back into a point; refuses what a database would."""
    series, rest = split_series(line)
    measurement, tags = decode_series(series)
    fields, time_ns = decode_rest(rest)
    return Point(measurement, tags, fields, time_ns)


def split_series(line: bytes) -> tuple[str, str]:
    """Measurement and tags, which many lines share, and what follows."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise LineError(f"not UTF-8 at byte {error.start}") from error
    at = text.find(" ")
    while at > 0 and text[at - 1] == "\\":
        at = text.find(" ", at + 1)
    if at <= 0:
        raise LineError("the line ends before the fields")
    return text[:at], text[at + 1 :]


def decode_series(text: str) -> tuple[str, dict[str, str]]:
    names = _COMMA.split(text)
    return _unescape(names[0]), dict(_pair(item, "tag") for item in names[1:])


def decode_rest(text: str) -> tuple[dict[str, Value], int]:
    fields_text, time_text = _split_fields(text)
    fields = _decode_fields(fields_text)
    if not fields:
        raise LineError("a point needs at least one field")
    return fields, _decode_time(time_text)


def _decode_time(text: str) -> int:
    if _TIME.fullmatch(text) is None:
        raise LineError(f"timestamp must be whole nanoseconds, got {text!r:.40}")
    time_ns = int(text)
    if abs(time_ns) > TIMESTAMP_MAX:
        raise LineError(f"timestamp {time_ns} does not fit 64 bits")
    return time_ns


def _split_fields(text: str) -> tuple[str, str]:
    """Fields end at the first space outside a quoted text."""
    found = _FIELDS.match(text)
    at = 0 if found is None else found.end()
    if text[at : at + 1] != " ":
        raise LineError("the line ends before the timestamp")
    return text[:at], text[at + 1 :]


_KEY = r'[^\\,= "]+'
_VALUE = r"(?:-?\d+i|true|false|[tfTF]|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_PLAIN = re.compile(f"{_KEY}={_VALUE}(?:,{_KEY}={_VALUE})*")
_PAIR = rf'((?:[^\\,= "]|\\[,= ])+)=(?:"((?:[^"\\]|\\.)*)"|({_VALUE}))'  # key, text, plain value
_FIELD = re.compile(f"{_PAIR}(?:,|$)")
_ALL_FIELDS = re.compile(f"{_PAIR}(?:,{_PAIR})*")


def _decode_fields(text: str) -> dict[str, Value]:
    if _PLAIN.fullmatch(text) is not None:  # most lines: no text in them, nothing escaped
        pairs = (item.split("=") for item in text.split(","))
        return {key: _plain_value(value) for key, value in pairs}
    if _ALL_FIELDS.fullmatch(text) is None:
        raise LineError(_no_field(text))
    return {
        _unescape(key): _plain_value(plain) if plain else _unquote(quoted)
        for key, quoted, plain in _FIELD.findall(text)
    }


def _no_field(text: str) -> str:
    at = 0
    while (match := _FIELD.match(text, at)) is not None:
        at = match.end()
    rest = text[at : at + 30]
    return f"no field at {rest!r}" if rest or not text else "a comma without a field after it"


def _unquote(text: str) -> str:
    return _QUOTED.sub(r"\1", text) if "\\" in text else text


def _plain_value(text: str) -> Value:
    """A number or a truth value that the pattern has found to be one."""
    if text[-1] == "i":
        value = int(text[:-1])
        if abs(value) > TIMESTAMP_MAX:
            raise LineError(f"integer {value} does not fit 64 bits")
        return value
    if text[0] in "tTfF":
        return text[0] in "tT"
    number = float(text)
    if not -FLOAT_MAX < number < FLOAT_MAX:
        raise LineError(f"number {text} does not fit 64 bits")
    return number


def _pair(text: str, what: str) -> tuple[str, str]:
    parts = _EQUALS.split(text)
    if len(parts) != 2 or not parts[0] or not parts[1]:
        raise LineError(f"a {what} is key=value, got {text!r:.40}")
    return _unescape(parts[0]), _unescape(parts[1])


def _unescape(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text
