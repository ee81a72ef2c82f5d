"""What is done with a message: identity, store, books, acknowledgement. No network in here.

The order is the promise: points are in the store, then the books say so, then the robot hears of
it. A crash in between leaves the robot with records to send again, and that changes nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy.engine import Connection

from fleet.clock import Clock
from fleet.events import log as events
from fleet.metrics.measure import Measure, measures_of_event, reader_of, time_of
from fleet.metrics.rollup import Origin, Sums
from fleet.store.books import Books, Poison, Report, Settlement, parse_account
from fleet.store.series import SeriesStore
from fleet.traces import log as traces
from records import TelemetryFrame
from runtime.telemetry.frame import Ack, FrameError, decode_frame, encode_ack
from runtime.telemetry.ranges import SeqSet, expand, fold
from runtime.topics import TopicName, address, parse


@dataclass(frozen=True)
class Incoming:
    topic: str
    payload: bytes
    said: Sequence[tuple[str, str]] = ()  # beside it: MQTT 5 user properties
    received_ns: int = 0  # by the fleet's clock; 0: not noted


@dataclass(frozen=True)
class Outgoing:
    topic: str
    payload: bytes


@dataclass
class IngestCounts:
    """Since start; a health figure for the one who runs the fleet."""

    messages: int = 0
    frames: int = 0
    known: int = 0  # of them, sent again though all of it was stored
    points_stored: int = 0
    points_refused: int = 0
    poison: int = 0
    batches: int = 0


@dataclass
class _Gathered:
    """One batch, sorted; frames that are stored already stand behind those that are not."""

    frames: list[TelemetryFrame] = field(default_factory=list)
    arrivals: list[traces.Arrival] = field(default_factory=list)  # of each frame
    known: int = 0  # so many of the last frames
    reports: list[Report] = field(default_factory=list)
    poison: list[Poison] = field(default_factory=list)

    @property
    def new(self) -> list[TelemetryFrame]:
        return self.frames[: len(self.frames) - self.known]


class Ingest:
    """Raises StoreUnavailableError when nothing was decided: try the same batch again."""

    def __init__(self, store: SeriesStore, books: Books, clock: Clock) -> None:
        self.counts = IngestCounts()
        self._store = store
        self._books = books
        self._clock = clock

    def process(self, batch: Sequence[Incoming]) -> list[Outgoing]:
        gathered = _Gathered()
        for message in batch:
            self._sort(message, gathered)
        self._put_aside_known(gathered)
        lines = [line for frame in gathered.new for line in frame.lines]
        refused = self._store.write(lines) if lines else {}
        settled = _settle(gathered, refused)
        if settled.items or gathered.reports or gathered.poison:
            also = _Also(gathered, settled, self._clock.wall_ns())
            self._books.settle(settled.items, also, gathered.reports, gathered.poison)
        self._count(batch, gathered, len(lines), len(refused))
        return _acknowledge(gathered.frames, settled)

    def _sort(self, message: Incoming, gathered: _Gathered) -> None:
        where = _parse(message.topic)
        try:
            if where is None:
                raise FrameError("a topic that is not in the table")
            match where.topic.name:
                case TopicName.FRAMES:
                    frame = decode_frame(message.payload)
                    _check_identity(frame, where.site, where.robot_id)
                    gathered.frames.append(frame)
                    gathered.arrivals.append(traces.Arrival(message.said, message.received_ns))
                case TopicName.ACCOUNT:
                    account = parse_account(message.payload)
                    now_ns = self._clock.wall_ns()
                    gathered.reports.append(Report(where.robot_id, *account, now_ns))
                case _:
                    raise FrameError(f"topic {where.topic.name} is not for an ingester")
        except ValueError as error:  # FrameError is one
            now_ns = self._clock.wall_ns()
            aside = Poison(message.topic, str(error), message.payload, now_ns)
            gathered.poison.append(aside)

    def _put_aside_known(self, gathered: _Gathered) -> None:
        """What is sent again is mostly stored already: then it need not be written again.

        The books know a number only after the store has its point, so their word is enough.
        """
        frames = gathered.frames
        late = [at for at, frame in enumerate(frames) if frame.replayed and frame.lines]
        if not late:
            return
        asked = [(frames[at].robot_id, frames[at].epoch, SeqSet(frames[at].ranges)) for at in late]
        known = {at for at, has in zip(late, self._books.have(asked), strict=True) if has}
        order = sorted(range(len(frames)), key=known.__contains__)
        gathered.frames = [frames[at] for at in order]
        gathered.arrivals = [gathered.arrivals[at] for at in order]
        gathered.known = len(known)

    def _count(
        self, batch: Sequence[Incoming], gathered: _Gathered, lines: int, refused: int
    ) -> None:
        self.counts.batches += 1
        self.counts.messages += len(batch)
        self.counts.frames += len(gathered.frames)
        self.counts.known += gathered.known
        self.counts.poison += len(gathered.poison)
        self.counts.points_stored += lines - refused
        self.counts.points_refused += refused


_parse = lru_cache(maxsize=8192)(parse)  # a robot says all on the same few


class _Reading(NamedTuple):
    """What one line says beside being stored."""

    seq: int
    at_ns: int
    said: Sequence[Measure]
    event: events.Logged | None


class _Told(NamedTuple):
    """What one frame says beside being stored."""

    settlement: int
    origin: Origin
    newest_ns: int  # 0: it carries nothing but numbers that were given up
    readings: Sequence[_Reading]
    journey: traces.Delivery | None


@dataclass
class _Settled:
    """What came of a batch; frames of one spool in a row that share no number are one."""

    items: list[Settlement] = field(default_factory=list)
    of_frame: list[int] = field(default_factory=list)


class _Also:
    """Numbers, events and journeys of one batch: lines are read before the books are held."""

    def __init__(self, gathered: _Gathered, settled: _Settled, arrived_ns: int) -> None:
        self._arrived_ns = arrived_ns
        self._items = settled.items
        frames, new = gathered.frames, len(gathered.new)
        self._told = [
            _tell(frame, at, arrival, is_new=number < new)
            for number, (frame, at, arrival) in enumerate(
                zip(frames, settled.of_frame, gathered.arrivals, strict=True)
            )
        ]

    def __call__(self, connection: Connection, fresh: Sequence[SeqSet]) -> None:
        sums = Sums(self._arrived_ns)
        logged: list[events.Logged] = []
        whole = [
            numbers is item.stored and not item.refused
            for numbers, item in zip(fresh, self._items, strict=True)
        ]
        for told in self._told:
            if told.newest_ns:
                sums.note_frame(told.origin, told.newest_ns)
            numbers, all_of_it = fresh[told.settlement], whole[told.settlement]
            for seq, at_ns, said, event in told.readings if numbers else ():
                if all_of_it or seq in numbers:
                    sums.add(told.origin, at_ns, said)
                    if event is not None:
                        logged.append(event)
        sums.write(connection)
        events.write(connection, logged, self._arrived_ns)
        journeys = [(one.journey, fresh[one.settlement]) for one in self._told if one.journey]
        traces.write(connection, journeys, self._arrived_ns)


def _tell(
    frame: TelemetryFrame, settlement: int, arrival: traces.Arrival, *, is_new: bool
) -> _Told:
    origin = _origin(
        frame.robot_id,
        frame.site,
        frame.hardware,
        frame.artifact_name,
        frame.config_hash,
        frame.replayed,
    )
    newest_ns = time_of(frame.lines[-1]) if frame.lines else 0
    if not is_new:
        return _Told(settlement, origin, newest_ns, (), None)
    measurements = [line[: line.find(b",")] for line in frame.lines]
    has_spans = traces.MEASUREMENT in measurements
    journey = traces.delivery_of(frame, origin, arrival) if has_spans else None
    readings = list(_read(frame, measurements, origin))
    return _Told(settlement, origin, newest_ns, readings, journey)


_origin = lru_cache(maxsize=8192)(Origin)  # each is of thousands of frames


def _read(
    frame: TelemetryFrame, measurements: Sequence[bytes], origin: Origin
) -> Iterator[_Reading]:
    for seq, line, measurement in zip(expand(frame.ranges), frame.lines, measurements, strict=True):
        if measurement == events.MEASUREMENT:
            event = events.read_event(line, origin, frame.epoch, seq)
            if event is not None:
                yield _Reading(seq, event.at_ns, measures_of_event(event.fields), event)
        elif (read := reader_of(measurement)) is not None and (said := read(line)):
            yield _Reading(seq, time_of(line), said, None)


def _check_identity(frame: TelemetryFrame, site: str, robot_id: str) -> None:
    """The broker vouches for the topic; the frame must not speak for anybody else."""
    if (frame.site, frame.robot_id) != (site, robot_id):
        raise FrameError(
            f"frame of {frame.site}/{frame.robot_id} on the branch of {site}/{robot_id}"
        )


def _settle(gathered: _Gathered, refused: Mapping[int, str]) -> _Settled:
    """Line by line: the n-th line of a frame has the n-th of its sequence numbers."""
    settled = _Settled()
    newest: dict[tuple[str, int], int] = {}  # of each spool: the order of its frames stays
    index, new = 0, len(gathered.new)
    for number, frame in enumerate(gathered.frames):
        at = newest.get((frame.robot_id, frame.epoch))
        if at is None or not _joins(frame, settled.items[at]):
            at = newest[frame.robot_id, frame.epoch] = len(settled.items)
            settled.items.append(_settlement(frame))
        settled.of_frame.append(at)
        _book(frame, settled.items[at])
        if refused and number < new:
            _refuse(frame, settled.items[at], index, refused)
        index += len(frame.lines)
    return settled


def _settlement(frame: TelemetryFrame) -> Settlement:
    return Settlement(frame.robot_id, frame.epoch, frame.config_hash, frame.artifact_name)


def _joins(frame: TelemetryFrame, item: Settlement) -> bool:
    """Sent twice, a number is new the first time only: then one is settled after the other."""
    if (frame.config_hash, frame.artifact_name) != (item.config_hash, item.artifact_name):
        return False
    return not any(
        item.stored.meets(first, last) or any(first <= seq <= last for seq in item.refused)
        for first, last in frame.ranges
    )


def _book(frame: TelemetryFrame, item: Settlement) -> None:
    for first, last in frame.ranges:
        item.stored.add(first, last)
        if frame.replayed:
            item.replayed.add(first, last)
    for first, last in frame.thinned:
        item.thinned.add(first, last)


def _refuse(
    frame: TelemetryFrame, item: Settlement, index: int, refused: Mapping[int, str]
) -> None:
    for at, (seq, line) in enumerate(zip(expand(frame.ranges), frame.lines, strict=True), index):
        reason = refused.get(at)
        if reason is not None:
            item.refused[seq] = (reason, line)
            item.stored.remove(seq, seq)


def _acknowledge(frames: Sequence[TelemetryFrame], settled: _Settled) -> list[Outgoing]:
    """One for each spool, however many of its frames came together."""
    said: dict[tuple[str, int], tuple[SeqSet, SeqSet, SeqSet]] = {}
    told: set[int] = set()
    for frame, at in zip(frames, settled.of_frame, strict=True):
        if at in told:
            continue
        told.add(at)
        item = settled.items[at]
        to = address(TopicName.ACK, frame.site, frame.robot_id)
        stored, refused, thinned = said.setdefault(
            (to, frame.epoch), (SeqSet(), SeqSet(), SeqSet())
        )
        stored.update(item.stored)
        thinned.update(item.thinned)
        if item.refused:
            refused.update(SeqSet(fold(sorted(item.refused))))
    return [
        Outgoing(to, encode_ack(Ack(epoch, *(numbers.ranges() for numbers in found))))
        for (to, epoch), found in said.items()
    ]
