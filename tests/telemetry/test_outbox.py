"""When a record is sent again: ever later while nobody answers, as at first when somebody does."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from records import TelemetryFrame
from runtime.telemetry.frame import Ack
from runtime.telemetry.outbox import Outbox, OutboxLimits, Sender
from runtime.telemetry.patience import LONGEST
from runtime.telemetry.ranges import expand
from tests.telemetry.spools import S, at, event, open_spool

RESEND_S = 5.0
STEP_S = 0.1
LATE_S = 1.2  # of a frame, which waits for the next second, and of the step


class Robot:
    """An outbox that is stepped ten times a second; the test is the fleet."""

    def __init__(self, name: str = "osaka-01") -> None:
        self.spool = open_spool(None)
        self.outbox = Outbox(
            Sender(name, "osaka", "sim_x86", "dev", "0" * 64),
            OutboxLimits(resend_ns=round(RESEND_S * S)),
        )
        self.outbox.add_spool(self.spool)
        self.seconds = 0.0
        self.frames: list[TelemetryFrame] = []
        self.sent_s: dict[int, list[float]] = {}  # of each number, since the connection was made

    def say(self) -> None:
        done = self.spool.commit([event()], at(self.seconds))
        self.outbox.note_commit(self.spool, done, round(self.seconds * S))

    def run(self, seconds: float, *, answered: bool = False) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.seconds += STEP_S
            for frame in self.outbox.next_frames(round(self.seconds * S)):
                self.frames.append(frame)
                for seq in expand(frame.ranges):
                    self.sent_s.setdefault(seq, []).append(self.seconds)
                if answered:
                    self.answer(frame)

    def answer(self, frame: TelemetryFrame) -> None:
        ack = Ack(self.spool.epoch, stored=frame.ranges)
        self.outbox.note_ack(ack, round(self.seconds * S))
        self.spool.settle(stored=frame.ranges, refused=(), thinned=())

    def reconnect(self) -> None:
        self.outbox.disconnect()
        self.sent_s.clear()

    @property
    def gaps_s(self) -> list[float]:
        return [round(b - a, 6) for times in self.sent_s.values() for a, b in pairwise(times)]

    @property
    def held(self) -> int:
        return sum(self.spool.depth().records.values())


def test_a_record_that_nobody_answers_is_sent_ever_later_up_to_a_bound() -> None:
    robot = Robot()
    robot.say()
    robot.run(600)
    first, *others = robot.gaps_s
    assert RESEND_S <= first <= RESEND_S + LATE_S
    assert all(gap > RESEND_S for gap in others)
    assert min(others[2:]) >= RESEND_S * LONGEST / 2
    assert max(others) <= RESEND_S * LONGEST + LATE_S
    assert len(set(others[2:])) > 1  # by chance


def test_two_robots_that_were_silent_together_do_not_call_together() -> None:
    times = []
    for name in ("osaka-01", "osaka-02"):
        robot = Robot(name)
        robot.say()
        robot.run(200)
        times.append(robot.sent_s[1])
    assert times[0][:2] == times[1][:2]
    assert times[0][3:] != times[1][3:]


STEPS = st.lists(
    st.one_of(
        st.sampled_from(("say", "answer", "reconnect")),
        st.floats(0.1, 90.0).map(lambda seconds: round(seconds, 1)),
    ),
    max_size=14,
)


@settings(max_examples=40)
@given(STEPS)
def test_no_record_is_sent_too_soon_or_too_late_and_one_answer_ends_the_waiting(
    steps: list[str | float],
) -> None:
    robot = Robot()
    for step in (*steps[:5], "say", "say", *steps[5:]):
        match step:
            case "say" if robot.spool.head < 5:  # within the window: none waits for another
                robot.say()
            case "answer" if robot.frames:
                robot.answer(robot.frames.pop())
            case "reconnect":
                robot.reconnect()
            case float():
                robot.run(step)
            case _:
                pass
        assert all(RESEND_S <= gap <= RESEND_S * LONGEST + LATE_S for gap in robot.gaps_s)
    robot.say()
    robot.run(1 + LATE_S)
    robot.answer(robot.frames[-1])
    robot.run(RESEND_S + LATE_S, answered=True)
    assert robot.held == 0
