"""All rules over all subjects. Pure but for being a place: samples in, changes and views out.

`state` and `restored` take it apart and put it together again; at whatever sample that happens,
what follows is the same.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from conf.schema.alerts import Alerts, Rule, Signal
from fleet.alerts.fold import Track, View, view
from fleet.alerts.lane import Bounds, Change, Lane, Past, Tracks, fold_all, seen, take
from fleet.alerts.sample import Sample, ns

Place = tuple[str, Signal]


@dataclass
class Counts:
    """Since start."""

    taken: int = 0
    duplicate: int = 0
    late: int = 0  # of no use any more, by their own time


@dataclass
class Engine:
    """One lane for each signal of each subject."""

    rules: Alerts
    lanes: dict[Place, Lane] = field(default_factory=dict[Place, Lane])
    counts: Counts = field(default_factory=Counts)
    _seen: dict[Place, Tracks] = field(default_factory=dict[Place, Tracks])
    _dirty: set[Place] = field(default_factory=set[Place])
    _due: dict[Place, int] = field(default_factory=dict[Place, int])
    _gaps: set[Place] = field(default_factory=set[Place])  # where the past has a gap

    def __post_init__(self) -> None:
        self._by_signal: dict[Signal, dict[str, Rule]] = {}
        for key, rule in self.rules.rules.items():
            self._by_signal.setdefault(rule.signal, {})[key] = rule
        self._bounds = Bounds(ns(self.rules.lateness_s), ns(self.rules.gap_s))

    def observe(self, samples: Iterable[Sample]) -> list[tuple[str, Change]]:
        """What is certain after these: subject and change, at the time of its own sample."""
        found: list[tuple[str, Change]] = []
        for sample in samples:
            rules = self._by_signal.get(sample.signal)
            if rules is None:
                continue
            place = (sample.subject, sample.signal)
            before = self.lanes.get(place) or Lane()
            lane, changes, used = take(before, rules, sample, self._bounds)
            self._count(before, sample, used=used)
            self._put(place, lane)
            self._see(place, rules, before, sample)
            found += [(sample.subject, change) for change in changes]
        return found

    def views(self, now_ns: int) -> Iterator[tuple[str, str, View]]:
        """Subject, rule, and how it stands; of every subject that was ever heard of."""
        for place in self.lanes:
            yield from self._views(place, now_ns)

    def news(self, now_ns: int) -> tuple[set[Place], list[tuple[str, str, View]]]:
        """Where something may stand otherwise than when this was asked last, and how."""
        due = {place for place, at_ns in self._due.items() if at_ns < now_ns}
        places = self._dirty | due
        self._dirty = set()
        found: list[tuple[str, str, View]] = []
        for place in places:
            found += self._views(place, now_ns)
            self._note_due(place, now_ns)
        return places, found

    def view(self, subject: str, key: str, now_ns: int) -> View:
        rule = self.rules.rules[key]
        tracks = self._tracks((subject, rule.signal))
        return view(rule, tracks.get(key, Track()), now_ns)

    def restore(self, lanes: Mapping[Place, Lane]) -> None:
        for place, lane in lanes.items():
            self._put(place, lane)
        self._dirty |= set(lanes)

    def begin(self, subject: str, signals: Iterable[Signal], at_ns: int) -> None:
        """It was heard until then: what is not known of the time since is a gap to be filled."""
        for signal in signals:
            if signal in self._by_signal:
                self.lanes.setdefault((subject, signal), Lane(at_ns, at_ns, at_ns))

    def with_gaps(self) -> set[str]:
        """Of whom something may be missing that would be of use yet."""
        return {subject for subject, _signal in self._gaps}

    def gap(self, subject: str, signals: Iterable[Signal]) -> tuple[int, int] | None:
        """From when until when something is missing that would be of use yet."""
        holes = [
            lane.past
            for signal in signals
            if (lane := self.lanes.get((subject, signal))) is not None
            and lane.gap is None
            and lane.past is not None
            and self._has_hole(lane.past)
        ]
        if not holes:
            return None
        return min(one.from_ns for one in holes), max(one.until_ns for one in holes)

    def forget(self, subject: str) -> None:
        """A robot that is no longer one of the fleet."""
        for place in [place for place in self.lanes if place[0] == subject]:
            del self.lanes[place]
            self._seen.pop(place, None)
            self._due.pop(place, None)
            self._dirty.discard(place)
            self._gaps.discard(place)

    def _put(self, place: Place, lane: Lane) -> None:
        self.lanes[place] = lane
        if lane.past is not None and self._has_hole(lane.past):
            self._gaps.add(place)
        else:
            self._gaps.discard(place)

    def _has_hole(self, past: Past) -> bool:
        return past.until_ns - past.newest_ns > self._bounds.gap_ns

    def _views(self, place: Place, now_ns: int) -> Iterator[tuple[str, str, View]]:
        tracks = self._tracks(place)
        for key, rule in self._by_signal.get(place[1], {}).items():
            yield place[0], key, view(rule, tracks.get(key, Track()), now_ns)

    def _note_due(self, place: Place, now_ns: int) -> None:
        """When silence alone will make it stand otherwise."""
        tracks = self._tracks(place)
        ends = [
            at_ns + ns(rule.no_data_after_s)
            for key, rule in self._by_signal.get(place[1], {}).items()
            if (at_ns := tracks.get(key, Track()).at_ns) is not None
        ]
        ahead = [end for end in ends if end >= now_ns]
        if ahead:
            self._due[place] = min(ahead)
        else:
            self._due.pop(place, None)

    def _see(self, place: Place, rules: Mapping[str, Rule], before: Lane, sample: Sample) -> None:
        """What comes in its turn is folded onto what was seen; after anything else, all anew."""
        self._dirty.add(place)
        in_turn = before.newest_ns is None or sample.at_ns > before.newest_ns
        if in_turn and place in self._seen:
            self._seen[place] = fold_all(rules, self._seen[place], (sample,))[0]
        else:
            self._seen.pop(place, None)

    def _tracks(self, place: Place) -> Tracks:
        if place not in self._seen:
            lane = self.lanes.get(place) or Lane()
            self._seen[place] = seen(lane, self._by_signal.get(place[1], {}))
        return self._seen[place]

    def _count(self, before: Lane, sample: Sample, *, used: bool) -> None:
        if used:
            self.counts.taken += 1
        elif before.done_ns is not None and sample.at_ns <= before.done_ns:
            self.counts.late += 1
        else:
            self.counts.duplicate += 1
