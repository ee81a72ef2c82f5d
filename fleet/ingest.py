"""What is done with a message: identity, store, books, acknowledgement. No network in here.

The order is the promise: points are in the store, then the books say so, then the robot hears of
it. A crash in between leaves the robot with records to send again, and that changes nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.engine import Connection

from fleet.clock import Clock
from fleet.events.log import Logged, read_event
from fleet.events.log import write as write_events
from fleet.metrics.measure import Measure, measures, time_of
from fleet.metrics.rollup import Origin, Sums
from fleet.store.books import Books, Poison, Report, Settlement, parse_account
from fleet.store.series import SeriesStore
from records import TelemetryFrame
from runtime.telemetry.frame import Ack, FrameError, decode_frame, encode_ack
from runtime.telemetry.ranges import SeqSet, expand
from runtime.topics import TopicName, address, parse


@dataclass(frozen=True)
class Incoming:
    topic: str
    payload: bytes


@dataclass(frozen=True)
class Outgoing:
    topic: str
    payload: bytes


@dataclass
class IngestCounts:
    """Since start; a health figure for the one who runs the fleet."""

    messages: int = 0
    frames: int = 0
    points_stored: int = 0
    points_refused: int = 0
    poison: int = 0
    batches: int = 0


@dataclass
class _Gathered:
    """One batch, sorted; the lines of its frames lie one after the other."""

    frames: list[TelemetryFrame] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    poison: list[Poison] = field(default_factory=list)


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
        refused = self._store.write(gathered.lines) if gathered.lines else {}
        settlements = _settle(gathered, refused)
        if settlements:
            self._books.settle(settlements, _Also(gathered.frames, self._clock.wall_ns()))
        # Last: a batch that has to be tried again must not set its poison aside twice.
        self._books.note(gathered.reports, gathered.poison)
        self._count(batch, gathered, len(refused))
        return [_acknowledge(f, s) for f, s in zip(gathered.frames, settlements, strict=True)]

    def _sort(self, message: Incoming, gathered: _Gathered) -> None:
        where = parse(message.topic)
        try:
            if where is None:
                raise FrameError("a topic that is not in the table")
            match where.topic.name:
                case TopicName.FRAMES:
                    frame = decode_frame(message.payload)
                    _check_identity(frame, where.site, where.robot_id)
                    gathered.frames.append(frame)
                    gathered.lines.extend(frame.lines)
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

    def _count(self, batch: Sequence[Incoming], gathered: _Gathered, refused: int) -> None:
        self.counts.batches += 1
        self.counts.messages += len(batch)
        self.counts.frames += len(gathered.frames)
        self.counts.poison += len(gathered.poison)
        self.counts.points_stored += len(gathered.lines) - refused
        self.counts.points_refused += refused


@dataclass(frozen=True)
class _Reading:
    """What one line says beside being stored."""

    seq: int
    at_ns: int
    said: list[Measure]
    event: Logged | None


class _Also:
    """Numbers and events of one batch: lines are read before the books are held."""

    def __init__(self, frames: Sequence[TelemetryFrame], arrived_ns: int) -> None:
        self._arrived_ns = arrived_ns
        self._newest_ns = [time_of(frame.lines[-1]) if frame.lines else 0 for frame in frames]
        self._found = [(origin, list(_read(frame, origin))) for frame, origin in _origins(frames)]

    def __call__(self, connection: Connection, fresh: Sequence[SeqSet]) -> None:
        sums = Sums(self._arrived_ns)
        events: list[Logged] = []
        for at_ns, (origin, readings), numbers in zip(
            self._newest_ns, self._found, fresh, strict=True
        ):
            if at_ns:  # a frame may carry nothing but numbers that were given up
                sums.note_frame(origin, at_ns)
            for reading in readings:
                if reading.seq not in numbers:
                    continue
                sums.add(origin, reading.at_ns, reading.said)
                if reading.event is not None:
                    events.append(reading.event)
        sums.write(connection)
        write_events(connection, events, self._arrived_ns)


def _origins(frames: Sequence[TelemetryFrame]) -> Iterator[tuple[TelemetryFrame, Origin]]:
    for frame in frames:
        yield (
            frame,
            Origin(
                robot=frame.robot_id,
                site=frame.site,
                hardware=frame.hardware,
                version=frame.artifact_name,
                config_hash=frame.config_hash,
                replayed=frame.replayed,
            ),
        )


def _read(frame: TelemetryFrame, origin: Origin) -> Iterator[_Reading]:
    for seq, line in zip(expand(frame.ranges), frame.lines, strict=True):
        event = read_event(line, origin, frame.epoch, seq)
        said = measures(line)
        if said or event is not None:
            yield _Reading(seq, time_of(line), said, event)


def _check_identity(frame: TelemetryFrame, site: str, robot_id: str) -> None:
    """The broker vouches for the topic; the frame must not speak for anybody else."""
    if (frame.site, frame.robot_id) != (site, robot_id):
        raise FrameError(
            f"frame of {frame.site}/{frame.robot_id} on the branch of {site}/{robot_id}"
        )


def _settle(gathered: _Gathered, refused: Mapping[int, str]) -> list[Settlement]:
    """Line by line: the n-th line of a frame has the n-th of its sequence numbers."""
    settlements: list[Settlement] = []
    index = 0
    for frame in gathered.frames:
        item = Settlement(frame.robot_id, frame.epoch, frame.config_hash, frame.artifact_name)
        item.stored, item.thinned = SeqSet(frame.ranges), SeqSet(frame.thinned)
        item.replayed = SeqSet(frame.ranges if frame.replayed else ())
        for seq, line in zip(expand(frame.ranges), frame.lines, strict=True):
            reason = refused.get(index)
            index += 1
            if reason is not None:
                item.refused[seq] = (reason, line)
                item.stored.remove(seq, seq)
        settlements.append(item)
    return settlements


def _acknowledge(frame: TelemetryFrame, item: Settlement) -> Outgoing:
    ack = Ack(
        epoch=frame.epoch,
        stored=item.stored.ranges(),
        refused=SeqSet((seq, seq) for seq in sorted(item.refused)).ranges(),
        thinned=frame.thinned,
    )
    return Outgoing(address(TopicName.ACK, frame.site, frame.robot_id), encode_ack(ack))
