"""One rule and one subject: what a sample makes of the state before it. Pure.

    no_data ─▶ inactive ─▶ pending ─▶ firing ─▶ inactive
                  (holds)     (for_s)    (back beyond `clear` for keep_firing_for_s, not flapping)

Only samples move it, in the order of their own time; `view` adds what the absence of samples says.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from conf.schema.alerts import NoData, Rule
from fleet.alerts.sample import Sample, ns

EDGES_KEPT = 100


class Phase(StrEnum):
    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    NO_DATA = "no_data"


class Condition(StrEnum):
    HOLDS = "holds"
    CLEAR = "clear"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Track:
    """After the sample of `at_ns`."""

    phase: Phase = Phase.NO_DATA
    since_ns: int | None = None  # when this phase began
    at_ns: int | None = None
    held_ns: int | None = None  # when the condition last held, or was last not known
    value: float | None = None  # while it fires: the last that it fires for
    held: bool = False
    edges: tuple[int, ...] = ()  # when the condition began, within the window of flapping
    flapping: bool = False


@dataclass(frozen=True)
class View:
    """How it stands at a moment. A firing alert of which nothing is heard is not `known`."""

    phase: Phase
    since_ns: int | None
    value: float | None
    flapping: bool
    known: bool


def fold(rule: Rule, before: Track, sample: Sample) -> Track:
    at_ns = sample.at_ns
    condition = judge(rule, sample, firing=before.phase is Phase.FIRING)
    if condition is Condition.CLEAR and before.phase is Phase.INACTIVE and not before.edges:
        # All is well and was: nearly every sample of a fleet, so it is made without detours.
        return Track(Phase.INACTIVE, before.since_ns, at_ns, before.held_ns, sample.value)
    if condition is Condition.HOLDS and before.phase is Phase.FIRING and before.held:
        return _firing_on(rule, before, sample)  # nearly every other one
    began = condition is Condition.HOLDS and not before.held
    edges = _recent(rule, (*before.edges, at_ns) if began else before.edges, at_ns)
    held = before.held if condition is Condition.UNKNOWN else condition is Condition.HOLDS
    here = replace(before, at_ns=at_ns, edges=edges, held=held)
    match condition:
        case Condition.HOLDS:
            return _holding(rule, before, replace(here, held_ns=at_ns, value=sample.value))
        case Condition.CLEAR:
            after = _clearing(rule, here)
            return after if after.phase is Phase.FIRING else replace(after, value=sample.value)
        case Condition.UNKNOWN:
            return _unknown(here)


def view(rule: Rule, track: Track, now_ns: int) -> View:
    """A pending alert that nobody hears of any more is not known; a firing one goes on."""
    quiet_ns = ns(rule.no_data_after_s)
    if track.at_ns is not None and now_ns - track.at_ns <= quiet_ns:
        return View(track.phase, track.since_ns, track.value, track.flapping, known=True)
    if track.phase is Phase.FIRING:
        return View(Phase.FIRING, track.since_ns, track.value, track.flapping, known=False)
    since_ns = None if track.at_ns is None else track.at_ns + quiet_ns
    return View(Phase.NO_DATA, since_ns, None, flapping=False, known=False)


def judge(rule: Rule, sample: Sample, *, firing: bool) -> Condition:
    """Between threshold and `clear` only what fires already holds."""
    if _excused(rule, sample):
        return Condition.CLEAR
    value = sample.value
    if value is None:
        return Condition.HOLDS if rule.no_data is NoData.FIRE else Condition.UNKNOWN
    limit = rule.threshold if rule.clear is None or not firing else rule.clear
    beyond = value > limit if rule.above is not None else value < limit
    return Condition.HOLDS if beyond else Condition.CLEAR


def _excused(rule: Rule, sample: Sample) -> bool:
    """A robot that does not say what it is doing is not excused."""
    if sample.modes & set(rule.unless):
        return True
    return bool(rule.only and sample.modes) and not sample.modes & set(rule.only)


def _holding(rule: Rule, before: Track, here: Track) -> Track:
    at_ns = here.at_ns or 0
    if here.phase is Phase.FIRING:
        return replace(here, flapping=_flaps(rule, here))
    if here.phase is not Phase.PENDING or _was_silent(rule, before, at_ns):
        here = replace(here, phase=Phase.PENDING, since_ns=at_ns)
    if at_ns - (here.since_ns or 0) >= ns(rule.for_s):
        return replace(here, phase=Phase.FIRING, since_ns=at_ns, flapping=_flaps(rule, here))
    return here


def _firing_on(rule: Rule, before: Track, sample: Sample) -> Track:
    edges = _recent(rule, before.edges, sample.at_ns)
    flapping = len(edges) >= rule.flap.changes
    since_ns, at_ns = before.since_ns, sample.at_ns
    return Track(Phase.FIRING, since_ns, at_ns, at_ns, sample.value, True, edges, flapping)


def _clearing(rule: Rule, here: Track) -> Track:
    at_ns = here.at_ns or 0
    match here.phase:
        case Phase.INACTIVE:
            return here
        case Phase.FIRING:
            flapping = _flaps(rule, here)
            kept = at_ns - (here.held_ns or 0) < ns(rule.keep_firing_for_s)
            if kept or flapping:
                return replace(here, flapping=flapping)
        case Phase.PENDING | Phase.NO_DATA:
            pass
    return replace(here, phase=Phase.INACTIVE, since_ns=at_ns, flapping=False)


def _unknown(here: Track) -> Track:
    match here.phase:
        case Phase.FIRING:  # time that passes unseen proves nothing
            return replace(here, held_ns=here.at_ns)
        case Phase.NO_DATA if here.since_ns is not None:
            return replace(here, value=None)
        case Phase.INACTIVE | Phase.PENDING | Phase.NO_DATA:
            return replace(here, phase=Phase.NO_DATA, since_ns=here.at_ns, value=None)


def _was_silent(rule: Rule, before: Track, at_ns: int) -> bool:
    """Nothing was heard for so long that nobody can say it held meanwhile."""
    return before.at_ns is None or at_ns - before.at_ns > ns(rule.no_data_after_s)


def _recent(rule: Rule, edges: tuple[int, ...], at_ns: int) -> tuple[int, ...]:
    oldest_ns = at_ns - ns(rule.flap.within_s)
    return tuple(edge for edge in edges if edge > oldest_ns)[-EDGES_KEPT:]


def _flaps(rule: Rule, here: Track) -> bool:
    return len(here.edges) >= rule.flap.changes
