"""How far a build is, told from what make prints. Pure: lines and times in, sentences out."""

import re
from dataclasses import dataclass, field
from typing import Final

# Lines that make printed in a whole build of this recipe. Another recipe makes more or fewer, so
# what is said is called "about".
STEPS_EXPECTED: Final = 2400
# Processor time of the same build, halved for two cores.
COLD_MINUTES: Final = 8
_STEP: Final = re.compile(
    r"^\s{2}(?:CC|AS|LD|AR|HOSTCC|HOSTLD|GEN|CALL|DTC|OBJCOPY|UPD|WRAP|SYS\S*|VDSO\S*|NM|LDS|\S+)"
    r"\s{1,9}\S+"
)
SAY_EVERY_NS: Final = 15_000_000_000
# A rate over a few files is a guess.
STEPS_BEFORE_ESTIMATE: Final = 100


def is_step(line: str) -> bool:
    return _STEP.match(line) is not None


@dataclass
class Progress:
    """Counts steps and now and then has something to say."""

    begun_ns: int
    expected: int = STEPS_EXPECTED
    steps: int = 0
    said_ns: int = field(init=False)

    def __post_init__(self) -> None:
        self.said_ns = self.begun_ns

    def take(self, line: str, now_ns: int) -> str | None:
        """A sentence at most every few seconds, else None."""
        if is_step(line):
            self.steps += 1
        if now_ns - self.said_ns < SAY_EVERY_NS:
            return None
        self.said_ns = now_ns
        return self.sentence(now_ns)

    def sentence(self, now_ns: int) -> str:
        done = f"{self.steps} of about {max(self.expected, self.steps)} steps"
        left_s = self.left_s(now_ns)
        if left_s is None:
            return f"compiling: {done}"
        return f"compiling: {done}, about {_in_words(left_s)} left at this pace"

    def left_s(self, now_ns: int) -> float | None:
        """None while the pace says nothing yet, or the expectation has been passed."""
        if self.steps < STEPS_BEFORE_ESTIMATE or self.steps >= self.expected:
            return None
        elapsed_s = (now_ns - self.begun_ns) / 1e9
        return elapsed_s * (self.expected - self.steps) / self.steps


def _in_words(seconds: float) -> str:
    return f"{round(seconds / 60)} min" if seconds >= 90 else f"{max(5, round(seconds / 5) * 5)} s"


def error_lines(log: str, most: int = 12) -> str:
    """What a failed build had to say, out of thousands of lines."""
    lines = log.splitlines()
    telling = [line for line in lines if re.search(r"\berror\b|\bError\b|\*\*\*|No space", line)]
    return "\n".join((telling or lines)[-most:])
