"""How long a robot waits for the fleet's answer before it sends a frame again.

As long as nobody answers, each next time is longer, up to a bound, and by chance, so that a
thousand robots do not call out together; with the first answer, or a new connection, it is the
resend time again. Time comes in as an argument.
"""

import random
from collections.abc import Iterable

LONGEST = 8  # times the resend time


class Patience:
    def __init__(self, resend_ns: int, seed: str) -> None:
        self._resend_ns = resend_ns
        self._draw = random.Random(seed)
        self._unanswered = 0  # rounds of sending in a row
        self._round_ns = -(2**62)

    def wait_ns(self) -> int:
        """How long a frame sent now waits for its answer."""
        if not self._unanswered:
            return self._resend_ns
        longest_ns = self._resend_ns * min(2**self._unanswered, LONGEST)
        return round(self._draw.uniform(longest_ns / 2, longest_ns))

    def note_late(self, sent_ns: Iterable[int], now_ns: int) -> None:
        """Frames without an answer, by when they were sent; those of one round count once."""
        if any(at_ns >= self._round_ns for at_ns in sent_ns):
            self._unanswered = min(self._unanswered + 1, LONGEST)
            self._round_ns = now_ns

    def sooner_ns(self, due_ns: int, now_ns: int) -> int:
        """With an answer, those still on their way wait no longer than the resend time."""
        return min(due_ns, now_ns + self._resend_ns)

    def reset(self) -> None:
        """Somebody answers, or there is a new connection."""
        self._unanswered = 0
