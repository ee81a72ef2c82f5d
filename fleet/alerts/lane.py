"""Samples of one signal of one subject, put into the order of their own time. Pure.

What lies further back than the lateness bound is folded for good. The rest waits, and is folded
anew each time somebody looks: an alert is seen at once, and a late sample still counts.

Of what comes later than that, only what fills a gap is of use: after an outage the live values
come first, and those of the outage behind them. They are folded apart, from the state before the
gap; what they find has its place in the past and fires nothing. When they reach the gap's end, a
condition that has held through it gets its true beginning.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from conf.schema.alerts import Rule
from fleet.alerts.fold import Phase, Track, fold
from fleet.alerts.sample import Sample

Rules = Mapping[str, Rule]
Tracks = Mapping[str, Track]


class Turn(StrEnum):
    FIRED = "fired"
    ENDED = "ended"


@dataclass(frozen=True)
class Change:
    """A rule began or ceased to fire, at the time of the sample that made it so."""

    rule: str
    turn: Turn
    at_ns: int
    value: float | None
    past: bool = False  # found in what came after the fact
    flapping: bool = False


@dataclass(frozen=True)
class Past:
    """A gap that is being filled."""

    from_ns: int
    until_ns: int
    newest_ns: int
    done_ns: int
    tracks: Tracks
    waiting: tuple[Sample, ...] = ()


@dataclass(frozen=True)
class Lane:
    """`done_ns`: everything up to here is folded, and nothing older is awaited any more."""

    newest_ns: int | None = None
    done_ns: int | None = None
    folded_ns: int | None = None  # of the newest sample that is folded
    tracks: Tracks = field(default_factory=dict[str, Track])
    waiting: tuple[Sample, ...] = ()
    gap: Past | None = None  # may still close: something may come that lies in it
    past: Past | None = None


@dataclass(frozen=True)
class Bounds:
    lateness_ns: int
    gap_ns: int


def take(
    lane: Lane, rules: Rules, sample: Sample, bounds: Bounds
) -> tuple[Lane, list[Change], bool]:
    """The lane after a sample, what is certain now, and whether the sample was of use."""
    if lane.done_ns is not None and sample.at_ns <= lane.done_ns:
        return _take_late(lane, rules, sample, bounds)
    newest_ns = max(sample.at_ns, lane.newest_ns or sample.at_ns)
    waiting, used = insert(lane.waiting, sample)
    done_ns = newest_ns - bounds.lateness_ns
    cut = _count_until(waiting, done_ns)
    ready, rest = waiting[:cut], waiting[cut:]
    tracks, changes = fold_all(rules, lane.tracks, ready)
    folded_ns = ready[-1].at_ns if ready else lane.folded_ns
    past = lane.gap if ready and lane.gap is not None else lane.past
    gap = _gap(lane.gap, tracks, rest, folded_ns, bounds)
    return Lane(newest_ns, done_ns, folded_ns, tracks, rest, gap, past), changes, used


def seen(lane: Lane, rules: Rules) -> Tracks:
    """The tracks with everything that has come, also what may yet be joined by something late."""
    return fold_all(rules, lane.tracks, lane.waiting)[0]


def insert(waiting: tuple[Sample, ...], sample: Sample) -> tuple[tuple[Sample, ...], bool]:
    """Two words about one time are one: the higher in rank, whichever came first."""
    if not waiting or waiting[-1].at_ns < sample.at_ns:
        return (*waiting, sample), True
    index = bisect_left(waiting, sample.at_ns, key=lambda one: one.at_ns)
    if waiting[index].at_ns != sample.at_ns:
        return (*waiting[:index], sample, *waiting[index:]), True
    if waiting[index].rank >= sample.rank:
        return waiting, False
    return (*waiting[:index], sample, *waiting[index + 1 :]), True


def fold_all(
    rules: Rules, tracks: Tracks, samples: tuple[Sample, ...], *, past: bool = False
) -> tuple[Tracks, list[Change]]:
    changes: list[Change] = []
    if not samples:
        return tracks, changes
    after: dict[str, Track] = {}
    for key, rule in rules.items():
        track = tracks.get(key, Track())
        for sample in samples:
            before, track = track, fold(rule, track, sample)
            if (before.phase is Phase.FIRING) != (track.phase is Phase.FIRING):
                changes.append(_change(key, track, past=past))
        after[key] = track
    return after, changes


def _change(key: str, track: Track, *, past: bool) -> Change:
    turn = Turn.FIRED if track.phase is Phase.FIRING else Turn.ENDED
    return Change(key, turn, track.at_ns or 0, track.value, past, track.flapping)


def _count_until(waiting: tuple[Sample, ...], until_ns: int) -> int:
    count = 0
    for sample in waiting:
        if sample.at_ns > until_ns:
            break
        count += 1
    return count


def _gap(
    open_gap: Past | None,
    tracks: Tracks,
    waiting: tuple[Sample, ...],
    folded_ns: int | None,
    bounds: Bounds,
) -> Past | None:
    """What lies open between what is folded and what is awaited; it moves with what still comes."""
    if folded_ns is None or not waiting:
        return None
    begins_ns = waiting[0].at_ns
    if begins_ns - folded_ns <= bounds.gap_ns:
        return None
    if open_gap is not None and open_gap.from_ns == folded_ns:
        return replace(open_gap, until_ns=begins_ns)
    return Past(folded_ns, begins_ns, folded_ns, folded_ns, tracks)


def _take_late(
    lane: Lane, rules: Rules, sample: Sample, bounds: Bounds
) -> tuple[Lane, list[Change], bool]:
    hole = lane.gap or lane.past
    if hole is None or not hole.done_ns < sample.at_ns < hole.until_ns:
        return lane, [], False
    newest_ns = max(hole.newest_ns, sample.at_ns)
    waiting, used = insert(hole.waiting, sample)
    is_whole = hole.until_ns - newest_ns <= bounds.gap_ns
    done_ns = newest_ns if is_whole else max(hole.done_ns, newest_ns - bounds.lateness_ns)
    cut = _count_until(waiting, done_ns)
    tracks, changes = fold_all(rules, hole.tracks, waiting[:cut], past=True)
    filled = replace(
        hole, newest_ns=newest_ns, done_ns=done_ns, tracks=tracks, waiting=waiting[cut:]
    )
    lane = replace(lane, gap=filled) if lane.gap is hole else replace(lane, past=filled)
    return (_spliced(lane, rules, filled) if is_whole else lane), changes, used


def _spliced(lane: Lane, rules: Rules, filled: Past) -> Lane:
    """What has been pending since the gap's end has held for as long as the gap says it has."""
    tracks = dict(lane.tracks)
    for key in rules:
        old, new = filled.tracks.get(key), tracks.get(key)
        if old is None or old.phase not in (Phase.PENDING, Phase.FIRING):
            continue
        if new is None or lane.folded_ns == filled.from_ns:
            tracks[key] = old  # nothing after the gap is folded yet
        elif new.phase is Phase.PENDING and new.since_ns == filled.until_ns:
            tracks[key] = replace(new, since_ns=old.since_ns)
    return replace(lane, tracks=tracks)
