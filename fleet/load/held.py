"""What a simulated robot holds until the fleet names it: numbers, frames, resends, accounts.

It keeps the rules of the robot's own spool, in memory: a number is given once, a record leaves when
it is acknowledged, what is not named in time is sent again, and beyond the cap the oldest metrics
are given up and booked. What it holds is lost with the process, as it would not be on a robot.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson

from fleet.load.story import Said
from records import Priority, TelemetryFrame
from runtime.telemetry.frame import Ack
from runtime.telemetry.line import encode_line, encode_tags
from runtime.telemetry.patience import Patience
from runtime.telemetry.ranges import SeqSet, expand, fold

HARDWARE = "sim_x86"
FRAME_ROWS = 1000
WINDOW_FRAMES = 8
THINNED_RANGES = 500


@dataclass(frozen=True)
class Answered:
    """A frame that was acknowledged: how long after its sending, and after its oldest record."""

    sent_ns: int
    made_ns: int
    late: bool


@dataclass
class Away:
    """A frame on its way; `left` is what is not acknowledged of it."""

    sent_ns: int
    due_ns: int  # to be sent again
    made_ns: int
    late: bool
    left: SeqSet


@dataclass(frozen=True)
class Held:
    line: bytes
    version: str
    priority: Priority
    at_ns: int


class Spool:
    """Times come in as arguments."""

    def __init__(
        self, robot_id: str, site: str, epoch: int, *, cap: int = 200_000, resend_s: float = 5.0
    ) -> None:
        self.head = 0
        self.refused = 0
        self.resent = 0
        self.thinned = SeqSet()  # in all
        self.held: dict[int, Held] = {}
        self._robot_id, self._site, self.epoch = robot_id, site, epoch
        self._cap = cap
        self._patience = Patience(round(resend_s * 1e9), f"{site}/{robot_id}")
        self._waiting = SeqSet()
        self._away: list[Away] = []
        self.answered: list[Answered] = []
        self._unbooked = SeqSet()
        self._stamp_ns = 0
        self._tags: dict[str, bytes] = {}

    def add(self, said: Iterable[Said], version: str) -> None:
        if version not in self._tags:
            tags = {"robot": self._robot_id, "site": self._site}
            self._tags[version] = encode_tags({**tags, "hardware": HARDWARE, "version": version})
        for item in said:
            self.head += 1
            self._stamp_ns = max(self._stamp_ns + 1000, item.at_ns)  # unique on this robot
            line = encode_line(
                item.measurement,
                self._tags[version],
                item.fields,
                seq=self.head,
                epoch=self.epoch,
                time_ns=self._stamp_ns,
            )
            self.held[self.head] = Held(line, version, item.priority, item.at_ns)
            self._waiting.add(self.head, self.head)
        self._thin()

    def frames(self, now_ns: int, live_age_s: float = 10.0) -> list[TelemetryFrame]:
        """What may be sent now; each record waits for its acknowledgement from here on."""
        late = [away for away in self._away if now_ns >= away.due_ns]
        self._patience.note_late((away.sent_ns for away in late), now_ns)
        self._take_back(late)
        made: list[TelemetryFrame] = []
        while (self._waiting or self._unbooked) and len(self._away) < WINDOW_FRAMES:
            chosen = self._next()
            booked = SeqSet(self._unbooked.ranges()[:THINNED_RANGES])
            if not chosen and not booked:
                break
            frame = self._frame(chosen, booked, now_ns, live_age_s)
            made.append(frame)
            for first, last in frame.ranges:
                self._waiting.remove(first, last)
            oldest_ns = min((self.held[seq].at_ns for seq in chosen), default=now_ns)
            due_ns = now_ns + self._patience.wait_ns()
            left = SeqSet(frame.ranges)
            self._away.append(Away(now_ns, due_ns, oldest_ns, frame.replayed, left))
            if not chosen:
                break
        return made

    def note_ack(self, ack: Ack, now_ns: int | None = None) -> None:
        if ack.epoch != self.epoch:
            return
        self._patience.reset()
        for seq in expand((*ack.stored, *ack.refused)):
            self.held.pop(seq, None)
        self.refused += sum(1 for _ in expand(ack.refused))
        for first, last in (*ack.stored, *ack.refused):
            self._waiting.remove(first, last)
            for away in self._away:
                away.left.remove(first, last)
        for first, last in ack.thinned:
            self._unbooked.remove(first, last)
        if now_ns is not None:
            self.answered += [
                Answered(now_ns - away.sent_ns, now_ns - away.made_ns, away.late)
                for away in self._away
                if not away.left
            ]
        self._away = [away for away in self._away if away.left]
        if now_ns is not None:
            for away in self._away:
                away.due_ns = self._patience.sooner_ns(away.due_ns, now_ns)

    def disconnect(self) -> None:
        """What was on its way may be lost."""
        self._take_back(self._away)
        self._patience.reset()

    def account(self) -> bytes:
        pending = SeqSet(fold(sorted(self.held)))
        pending.update(self._unbooked)
        counters = {"frames_resent": self.resent}
        return orjson.dumps(
            {"v": 1, "epoch": self.epoch, "head": self.head, "pending": pending.ranges(),
             "counters": counters}
        )  # fmt: skip

    @property
    def is_empty(self) -> bool:
        return not self.held and not self._unbooked

    def _take_back(self, gone: Sequence[Away]) -> None:
        self._away = [away for away in self._away if not any(away is one for one in gone)]
        self.resent += len(gone)
        for away in gone:
            for seq in expand(away.left.ranges()):
                if seq in self.held:
                    self._waiting.add(seq, seq)

    def _next(self) -> list[int]:
        """The oldest that wait, of one version: a frame's tags are of one."""
        chosen: list[int] = []
        for seq in expand(self._waiting.ranges()):
            if chosen and (
                self.held[seq].version != self.held[chosen[0]].version or len(chosen) >= FRAME_ROWS
            ):
                break
            chosen.append(seq)
        return chosen

    def _frame(
        self, chosen: list[int], booked: SeqSet, now_ns: int, live_age_s: float
    ) -> TelemetryFrame:
        records = [self.held[seq] for seq in chosen]
        versions = [record.version for record in records] or list(self._tags)
        priorities = [record.priority for record in records]
        late = any(now_ns - record.at_ns > live_age_s * 1e9 for record in records)
        return TelemetryFrame(
            robot_id=self._robot_id,
            site=self._site,
            hardware=HARDWARE,
            artifact_name=versions[0],
            config_hash=profile(versions[0]),
            epoch=self.epoch,
            priority=Priority.EVENT if Priority.EVENT in priorities else Priority.METRIC,
            replayed=late,
            ranges=fold(chosen),
            thinned=booked.ranges(),
            lines=tuple(record.line for record in records),
        )

    def _thin(self) -> None:
        surplus = len(self.held) - self._cap
        if surplus <= 0:
            return
        metrics = (s for s, record in self.held.items() if record.priority is Priority.METRIC)
        for seq in [seq for seq, _ in zip(metrics, range(surplus), strict=False)]:
            del self.held[seq]
            self._waiting.remove(seq, seq)
            for away in self._away:
                away.left.remove(seq, seq)
            self._unbooked.add(seq, seq)
            self.thinned.add(seq, seq)


def profile(version: str) -> str:
    """A made-up hash of a made-up configuration, the same for the same version."""
    return (version.encode().hex() * 64)[:64]
