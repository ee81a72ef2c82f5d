"""Which records go into the next frame, which are on their way, and which must be sent again.

Alerts first, then events, then fresh metrics, then the backlog of an outage at a pace that leaves
room for what is live. A record stays in the spool until the fleet names its number; what is not
named in time (`patience.py`) is sent again, as the same point. Time comes in as an argument.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from records import Priority, TelemetryFrame
from runtime.telemetry.frame import Ack
from runtime.telemetry.patience import Patience
from runtime.telemetry.ranges import Range, SeqSet, count, fold
from runtime.telemetry.spool import Commit, Spool

FRAME_ROWS = 1000
FRAME_BYTES = 131_072  # of lines, before compression
THINNED_RANGES = 500  # booked in one message
LIVE_RESERVE = 3  # of the window, which the backlog leaves to what is live
ORDER = (Priority.ALERT, Priority.EVENT, Priority.METRIC)


@dataclass(frozen=True)
class OutboxLimits:
    frame_period_ns: int = 1_000_000_000
    resend_ns: int = 5_000_000_000
    live_age_ns: int = 10_000_000_000  # older records are marked as replayed
    window_frames: int = 8  # on their way at once
    replay_bytes_s: float = 500_000.0  # of compressed backlog, so that it never crowds out the rest


@dataclass(frozen=True)
class Sender:
    """Who the frames are from."""

    robot_id: str
    site: str
    hardware: str
    artifact_name: str
    config_hash: str


@dataclass
class Outgoing:
    """A frame on its way."""

    spool: Spool
    frame: TelemetryFrame
    left: SeqSet
    sent_ns: int
    due_ns: int  # to be sent again


@dataclass
class Lane:
    """One spool's records that wait to be sent. Ranges may cover numbers of other priorities."""

    spool: Spool
    pending: dict[Priority, SeqSet]
    top: dict[Priority, int]
    heads: deque[tuple[int, int]] = field(default_factory=deque)  # (time, last number by then)
    live_after: int = 0  # numbers above are live


@dataclass
class Tally:
    """What the uplink did since start."""

    frames_sent: int = 0
    frames_resent: int = 0
    records_stored: int = 0
    records_refused: int = 0
    acks_odd: int = 0  # acknowledgements of a spool that is not ours any more


class Outbox:
    """Used by one thread. `settle` is how records leave a spool."""

    def __init__(self, sender: Sender, limits: OutboxLimits) -> None:
        self.tally = Tally()
        self._sender = sender
        self._limits = limits
        self._lanes: dict[int, Lane] = {}
        self._outgoing: list[Outgoing] = []
        self._metrics_due_ns = -(2**62)
        self._budget_bytes = 0.0
        self._budget_ns: int | None = None
        self._patience = Patience(limits.resend_ns, f"{sender.site}/{sender.robot_id}")

    @property
    def on_their_way(self) -> int:
        return len(self._outgoing)

    def add_spool(self, spool: Spool) -> None:
        """A spool just opened: all it holds waits, and none of it is live."""
        lane = Lane(spool, {}, {}, live_after=spool.head)
        for priority in Priority:
            span = spool.span(priority)
            lane.pending[priority] = SeqSet(() if span is None else (span,))
            lane.top[priority] = spool.head
        self._lanes[spool.epoch] = lane

    def note_commit(self, spool: Spool, commit: Commit, now_ns: int) -> None:
        if spool.epoch not in self._lanes:
            self.add_spool(spool)
            lane = self._lanes[spool.epoch]
            lane.live_after = min((g[0] for g in commit.ranges.values() if g), default=1) - 1
        lane = self._lanes[spool.epoch]
        for priority, given in commit.ranges.items():
            if given:
                first = max(lane.top[priority] + 1, 1)
                lane.pending[priority].add(min(first, given[0]), given[-1])
                lane.top[priority] = given[-1]
        self._age(lane, now_ns)

    def disconnect(self) -> None:
        """What was on its way may be lost with the connection."""
        for outgoing in self._outgoing:
            self._put_back(outgoing)
        self._outgoing.clear()
        self._patience.reset()

    def next_frames(self, now_ns: int) -> list[TelemetryFrame]:
        """Frames to send now; they count as on their way until acknowledged or timed out."""
        self._expire(now_ns)
        self._refill(now_ns)
        frames: list[TelemetryFrame] = []
        due = now_ns >= self._metrics_due_ns
        if due:
            self._metrics_due_ns = now_ns + self._limits.frame_period_ns
        for lane in list(self._lanes.values()):
            self._age(lane, now_ns)
            self._send_books(lane, now_ns, frames)
            self._send_live(lane, now_ns, frames, due=due)
        for lane in list(self._lanes.values()):
            self._send_backlog(lane, now_ns, frames)
        self.tally.frames_sent += len(frames)
        return frames

    def unsent(self, frame: TelemetryFrame) -> None:
        """The uplink did not take it."""
        for outgoing in list(self._outgoing):
            if outgoing.frame is frame:
                self._put_back(outgoing)
                self._outgoing.remove(outgoing)
                self.tally.frames_sent -= 1

    def note_ack(self, ack: Ack, now_ns: int) -> Spool | None:
        """The spool that the acknowledgement settles; None when it is none of ours."""
        lane = self._lanes.get(ack.epoch)
        if lane is None:
            self.tally.acks_odd += 1
            return None
        settled = (*ack.stored, *ack.refused)
        for first, last in settled:
            for outgoing in self._outgoing:
                if outgoing.spool is lane.spool:
                    outgoing.left.remove(first, last)
        self._outgoing = [item for item in self._outgoing if item.left or not item.frame.lines]
        if ack.thinned:
            self._outgoing = [i for i in self._outgoing if i.frame.lines]
        self._patience.reset()
        for outgoing in self._outgoing:
            outgoing.due_ns = self._patience.sooner_ns(outgoing.due_ns, now_ns)
        self.tally.records_stored += count(ack.stored)
        self.tally.records_refused += count(ack.refused)
        return lane.spool

    def drop_emptied(self, active: Spool) -> list[Spool]:
        """Spools that are no longer in use and hold nothing: the caller closes them."""
        gone = [
            lane.spool
            for lane in self._lanes.values()
            if lane.spool is not active and not sum(lane.spool.depth().records.values())
        ]
        for spool in gone:
            del self._lanes[spool.epoch]
        return gone

    # Choosing.

    def _age(self, lane: Lane, now_ns: int) -> None:
        """Moves the border between live and replayed along with time."""
        if not lane.heads or now_ns - lane.heads[-1][0] >= 250_000_000:
            lane.heads.append((now_ns, lane.spool.head))
        while lane.heads and now_ns - lane.heads[0][0] > self._limits.live_age_ns:
            lane.live_after = max(lane.live_after, lane.heads.popleft()[1])

    def _has_window(self, reserve: int = 0) -> bool:
        return len(self._outgoing) < self._limits.window_frames - reserve

    def _send_live(
        self, lane: Lane, now_ns: int, frames: list[TelemetryFrame], *, due: bool
    ) -> None:
        for priority in ORDER:
            if priority is Priority.ALERT or due:
                span = (lane.live_after + 1, 2**62)
                self._send_span(lane, priority, span, now_ns, frames, replayed=False)

    def _send_backlog(self, lane: Lane, now_ns: int, frames: list[TelemetryFrame]) -> None:
        for priority in ORDER:
            while self._has_window(LIVE_RESERVE) and self._budget_bytes > 0:
                span = (1, lane.live_after)
                sent = self._send_span(lane, priority, span, now_ns, frames, replayed=True)
                if not sent:
                    break
                self._budget_bytes -= sent

    def _send_span(
        self,
        lane: Lane,
        priority: Priority,
        span: Range,
        now_ns: int,
        frames: list[TelemetryFrame],
        *,
        replayed: bool,
    ) -> int:
        """One frame of this lane; returns about how many bytes it takes on the wire."""
        pending = lane.pending[priority]
        for first, last in pending.within(*span):
            if not self._has_window():
                return 0
            rows = lane.spool.take(priority, first, last, rows=FRAME_ROWS, size=FRAME_BYTES)
            if not rows:
                pending.remove(first, last)
                continue
            pending.remove(first, rows[-1][0])
            ranges = fold(seq for seq, _line in rows)
            lines = tuple(line for _seq, line in rows)
            frame = self._frame(lane, priority, ranges, lines, replayed=replayed)
            self._send(lane, frame, now_ns, frames)
            return sum(len(line) for line in lines) // 5  # zlib finds four fifths to be repetition
        return 0

    def _send_books(self, lane: Lane, now_ns: int, frames: list[TelemetryFrame]) -> None:
        """Numbers given up travel in a frame without lines."""
        if any(o.spool is lane.spool and o.frame.thinned for o in self._outgoing):
            return
        thinned = lane.spool.thinned(THINNED_RANGES) if self._has_window() else ()
        if thinned:
            frame = self._frame(lane, Priority.METRIC, (), (), replayed=True, thinned=thinned)
            self._send(lane, frame, now_ns, frames)

    def _send(
        self, lane: Lane, frame: TelemetryFrame, now_ns: int, frames: list[TelemetryFrame]
    ) -> None:
        due_ns = now_ns + self._patience.wait_ns()
        self._outgoing.append(Outgoing(lane.spool, frame, SeqSet(frame.ranges), now_ns, due_ns))
        frames.append(frame)

    def _frame(
        self,
        lane: Lane,
        priority: Priority,
        ranges: tuple[Range, ...],
        lines: tuple[bytes, ...],
        *,
        replayed: bool,
        thinned: tuple[Range, ...] = (),
    ) -> TelemetryFrame:
        return TelemetryFrame(
            config_hash=self._sender.config_hash,
            artifact_name=self._sender.artifact_name,
            robot_id=self._sender.robot_id,
            site=self._sender.site,
            hardware=self._sender.hardware,
            epoch=lane.spool.epoch,
            priority=priority,
            replayed=replayed,
            ranges=ranges,
            thinned=thinned,
            lines=lines,
        )

    # Waiting.

    def _expire(self, now_ns: int) -> None:
        late = [o for o in self._outgoing if now_ns >= o.due_ns]
        self._patience.note_late((o.sent_ns for o in late), now_ns)
        for outgoing in late:
            self._put_back(outgoing)
            self._outgoing.remove(outgoing)
            self.tally.frames_resent += 1

    def _put_back(self, outgoing: Outgoing) -> None:
        lane = self._lanes.get(outgoing.spool.epoch)
        if lane is None:
            return
        for first, last in outgoing.left:
            lane.pending[outgoing.frame.priority].add(first, last)

    def _refill(self, now_ns: int) -> None:
        if self._budget_ns is not None:
            passed_s = (now_ns - self._budget_ns) / 1e9
            self._budget_bytes += passed_s * self._limits.replay_bytes_s
        self._budget_ns = now_ns
        self._budget_bytes = min(self._budget_bytes, self._limits.replay_bytes_s)

    def depths(self) -> Mapping[int, Spool]:
        return {epoch: lane.spool for epoch, lane in self._lanes.items()}
