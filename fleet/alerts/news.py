"""Which words of a robot the rules have to hear: a few a minute instead of every one.

A rule moves when its signal crosses one of its limits, when the robot's modes change, or when one
of its own times is over. So what stays between the same limits is held back, but for those times
and a word now and then, so that the signal does not count as silent. When it crosses, the last word
that was held back goes first: the rule sees when the old ended, to the sample.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from conf.schema.alerts import Alerts, RobotMode, Rule, Signal
from fleet.alerts.sample import Sample, ns

UNKNOWN = (-1, -1)
REPEATS = 3  # words in the time after which a signal counts as silent

Band = tuple[int, int]
Modes = frozenset[RobotMode]


@dataclass(frozen=True)
class Limits:
    """Of all rules that look at one signal."""

    upper: tuple[float, ...]
    lower: tuple[float, ...]
    times_ns: tuple[int, ...]
    repeat_ns: int

    def band(self, value: float | None) -> Band:
        """Equal for two values that no rule tells apart, whether it fires or not."""
        if value is None:
            return UNKNOWN
        return bisect_left(self.upper, value), bisect_right(self.lower, value)


@dataclass
class Known:
    """What was told of one signal: since when it lies in this band, and what is held back."""

    band: Band
    modes: Modes
    since_ns: int
    told_ns: int
    held: tuple[int, float | None] | None = None

    def is_due(self, limits: Limits, at_ns: int) -> bool:
        if at_ns - self.told_ns >= limits.repeat_ns:
            return True
        told, now = self.told_ns - self.since_ns, at_ns - self.since_ns
        return any(told < time_ns <= now for time_ns in limits.times_ns)


class News:
    """Of one robot."""

    def __init__(self, rules: Alerts) -> None:
        self.rules = rules
        self._limits = limits_of(rules)
        self._known: dict[Signal, Known] = {}

    def tell(
        self, subject: str, signal: Signal, value: float | None, at_ns: int, modes: Modes
    ) -> Sequence[Sample]:
        """What the rules have to hear now that this has come, in the order of its time."""
        limits = self._limits.get(signal)
        if limits is None:
            return ()
        band, known = limits.band(value), self._known.get(signal)
        same = known is not None and known.band == band and known.modes == modes
        if known is None or not same or at_ns < known.told_ns:
            self._known[signal] = Known(band, modes, at_ns, at_ns)
            sample = Sample(subject, signal, at_ns, value, modes)
            if known is None or known.held is None or known.held[0] >= at_ns:
                return (sample,)
            return Sample(subject, signal, *known.held, known.modes), sample
        if not known.is_due(limits, at_ns):
            if at_ns > known.told_ns:
                known.held = at_ns, value
            return ()
        known.told_ns, known.held = at_ns, None
        return (Sample(subject, signal, at_ns, value, modes),)


def limits_of(rules: Alerts) -> dict[Signal, Limits]:
    by_signal: dict[Signal, list[Rule]] = {}
    for rule in rules.rules.values():
        by_signal.setdefault(rule.signal, []).append(rule)
    return {signal: _limits(some, rules.gap_s) for signal, some in by_signal.items()}


def _limits(rules: Sequence[Rule], gap_s: float) -> Limits:
    upper: set[float] = set()
    lower: set[float] = set()
    for rule in rules:
        of_rule = {rule.threshold, rule.threshold if rule.clear is None else rule.clear}
        (upper if rule.above is not None else lower).update(of_rule)
    times_s = {time_s for rule in rules for time_s in (rule.for_s, rule.keep_firing_for_s)}
    quiet_s = min(gap_s, *(rule.no_data_after_s for rule in rules))
    return Limits(
        upper=tuple(sorted(upper)),
        lower=tuple(sorted(lower)),
        times_ns=tuple(ns(time_s) for time_s in sorted(times_s) if time_s),
        repeat_ns=ns(quiet_s) // REPEATS,
    )
