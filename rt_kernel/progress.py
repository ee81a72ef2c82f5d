"""How far a build is, told from what make prints. Pure: lines and times in, sentences out."""

import re
from dataclasses import dataclass, field
from typing import Final

# For the first build on a machine; later ones go by what the last one came to. Another recipe makes
# more or fewer, so what is said is always called "about".
OBJECTS_EXPECTED: Final = 1700
_OBJECT: Final = re.compile(r"\s{2}(?:CC|AS|LD|HOSTCC)\s{1,9}\S+\.o")
SAY_EVERY_NS: Final = 15_000_000_000
# A rate over a few files is a guess.
OBJECTS_BEFORE_ESTIMATE: Final = 100


def is_object(line: str) -> bool:
    return _OBJECT.fullmatch(line.rstrip()) is not None


@dataclass
class Progress:
    """Counts object files and now and then has something to say."""

    begun_ns: int
    expected: int = OBJECTS_EXPECTED
    before: int = 0  # made by an earlier attempt, at a pace nobody knows
    made: int = 0
    said_ns: int = field(init=False)

    def __post_init__(self) -> None:
        self.said_ns = self.begun_ns

    def take(self, line: str, now_ns: int) -> str | None:
        """A sentence at most every few seconds, else None."""
        if is_object(line):
            self.made += 1
        if now_ns - self.said_ns < SAY_EVERY_NS:
            return None
        self.said_ns = now_ns
        return self.sentence(now_ns)

    def sentence(self, now_ns: int) -> str:
        there = self.before + self.made
        done = f"{there} of about {max(self.expected, there)} objects"
        left_s = self.left_s(now_ns)
        if left_s is None:
            return f"compiling: {done}"
        return f"compiling: {done}, about {_in_words(left_s)} left at this pace"

    def left_s(self, now_ns: int) -> float | None:
        """None while the pace says nothing yet, or the expectation has been passed."""
        left = self.expected - self.before - self.made
        if self.made < OBJECTS_BEFORE_ESTIMATE or left <= 0:
            return None
        return (now_ns - self.begun_ns) / 1e9 * left / self.made


def _in_words(seconds: float) -> str:
    return f"{round(seconds / 60)} min" if seconds >= 90 else f"{max(5, round(seconds / 5) * 5)} s"


def error_lines(log: str, most: int = 12) -> str:
    """What a failed build had to say, out of thousands of lines."""
    lines = log.splitlines()
    telling = [line for line in lines if re.search(r"\berror\b|\bError\b|\*\*\*|No space", line)]
    return "\n".join((telling or lines)[-most:])
