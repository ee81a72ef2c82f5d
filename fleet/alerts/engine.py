"""All rules over all subjects. Pure but for being a place: samples in, changes and views out.

`state` and `restored` take it apart and put it together again; at whatever sample that happens,
what follows is the same.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from conf.schema.alerts import Alerts, Rule, Signal
from fleet.alerts.fold import Track, View, view
from fleet.alerts.lane import Bounds, Change, Lane, Tracks, seen, take
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
            before = self.lanes.get(place, Lane())
            lane, changes, used = take(before, rules, sample, self._bounds)
            self._count(before, sample, used=used)
            self.lanes[place] = lane
            self._seen.pop(place, None)
            found += [(sample.subject, change) for change in changes]
        return found

    def views(self, now_ns: int) -> Iterator[tuple[str, str, View]]:
        """Subject, rule, and how it stands; of every subject that was ever heard of."""
        for (subject, signal), lane in self.lanes.items():
            rules = self._by_signal.get(signal, {})
            tracks = self._tracks((subject, signal), lane, rules)
            for key, rule in rules.items():
                yield subject, key, view(rule, tracks.get(key, Track()), now_ns)

    def view(self, subject: str, key: str, now_ns: int) -> View:
        rule = self.rules.rules[key]
        place = (subject, rule.signal)
        lane = self.lanes.get(place, Lane())
        tracks = self._tracks(place, lane, self._by_signal[rule.signal])
        return view(rule, tracks.get(key, Track()), now_ns)

    def forget(self, subject: str) -> None:
        """A robot that is no longer one of the fleet."""
        for place in [place for place in self.lanes if place[0] == subject]:
            del self.lanes[place]
            self._seen.pop(place, None)

    def _tracks(self, place: Place, lane: Lane, rules: Mapping[str, Rule]) -> Tracks:
        """Folded once for each sample that comes, however often it is looked at."""
        if place not in self._seen:
            self._seen[place] = seen(lane, rules)
        return self._seen[place]

    def _count(self, before: Lane, sample: Sample, *, used: bool) -> None:
        if used:
            self.counts.taken += 1
        elif before.done_ns is not None and sample.at_ns <= before.done_ns:
            self.counts.late += 1
        else:
            self.counts.duplicate += 1
