"""Times as operators type them: `90s`, `5m`, `1h`, `7d`, `2h30m`."""

import re

_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(d|h|min|m|s)(?:ays?|ours?|utes?|econds?|ecs?)?", re.I)
_UNIT_S = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
LONGEST_S = 10 * 365 * 86_400


class DurationError(ValueError):
    """Not a time; the text says what is."""


def parse_duration(text: str) -> float:
    """Seconds."""
    at, total_s = 0, 0.0
    stripped = text.strip()
    while at < len(stripped):
        match = _PART.match(stripped, at)
        if match is None:
            break
        total_s += float(match[1]) * _UNIT_S[match[2].lower()]
        at = match.end()
    if at != len(stripped) or not 0 < total_s <= LONGEST_S:
        raise DurationError(
            f"{text!r} is no length of time; give one such as 90s, 5m, 1h, 7d, 2h30m"
        )
    return total_s
