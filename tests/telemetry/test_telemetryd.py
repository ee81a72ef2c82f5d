"""telemetryd in lock-step: everything arrives, an hour's outage included, and is accounted for."""

from collections.abc import Callable

import orjson
import pytest

from fleet.metrics.measure import Took, reader_of
from records import Priority, Severity
from runtime.shm import StopLevel, StopReason, Trigger
from runtime.telemetry.frame import Ack, encode_ack
from runtime.telemetry.line import decode_line
from runtime.telemetry.ranges import SeqSet, expand
from runtime.telemetry.uplink import MemoryUplink
from runtime.uplink import read_uplink
from tests.telemetry.conftest import Robot

Make = Callable[..., Robot]


def stored(robot: Robot) -> SeqSet:
    return robot.uplink.stored.get(robot.process.journal.active.epoch, SeqSet())


def work_of(robot: Robot) -> Callable[[], None]:
    """About what a robot says: an event a second, a metric five times a second."""
    steps = iter(range(10**9))

    def work() -> None:
        step = next(steps)
        if step % 4 == 0:
            robot.client.metric("process", {"process": "visiond", "steps": step})
        if step % 20 == 0:
            robot.client.event("task.done", Severity.INFO, {"task_id": step // 20})

    return work


def test_records_reach_the_fleet_and_leave_the_spool(make_robot: Make) -> None:
    robot = make_robot()
    robot.run(30, work_of(robot))
    robot.run(3)
    spool = robot.process.journal.active
    assert spool.head > 150
    assert len(stored(robot)) >= spool.head - 2  # the newest may still be on their way
    assert sum(spool.depth().records.values()) <= 2


def test_frames_hold_about_a_second_of_records(make_robot: Make) -> None:
    robot = make_robot()
    robot.run(20, work_of(robot))
    frames = [f for f in robot.uplink.frames if f.priority is Priority.METRIC and f.lines]
    assert 15 <= len(frames) <= 25
    assert not any(frame.replayed for frame in frames)


def test_alert_is_sent_in_the_step_in_which_it_came(make_robot: Make) -> None:
    robot = make_robot()
    robot.run(1.25)
    robot.uplink.frames.clear()
    robot.client.event("stop.entered", Severity.CRITICAL, {"reason": "collision"})
    robot.run(0.05)
    assert [f.priority for f in robot.uplink.frames] == [Priority.ALERT]
    assert b"stop.entered" in robot.uplink.frames[0].lines[0]


def test_hour_without_broker_is_buffered_and_drained_with_every_number_accounted_for(
    make_robot: Make,
) -> None:
    robot = make_robot()
    work = work_of(robot)
    robot.run(20, work)
    robot.uplink.cut()
    cut_at = robot.process.journal.active.head
    for _ in range(60):
        robot.run(60, work)
    held = robot.process.journal.active
    assert sum(held.depth().records.values()) > 15_000
    before = len(robot.uplink.frames)
    robot.uplink.mend()
    robot.run(60, work)
    robot.run(5)
    assert len(robot.uplink.frames) > before
    assert set(expand(stored(robot))) >= set(range(1, held.head - 2))
    assert "thinned_metric" not in held.depth().counters
    assert len(robot.uplink.replayed) > 15_000
    assert min(expand(robot.uplink.replayed)) > cut_at - 60


def test_after_an_outage_alerts_come_first_and_live_records_are_not_marked(
    make_robot: Make,
) -> None:
    robot = make_robot()
    work = work_of(robot)
    robot.run(2, work)
    robot.uplink.cut()
    robot.run(60, work)
    robot.client.event("stop.entered", Severity.CRITICAL, {"reason": "collision"})
    robot.run(60, work)
    robot.uplink.frames.clear()
    robot.uplink.mend()
    robot.run(2, work)
    frames = robot.uplink.frames
    first = next(f for f in frames if f.replayed)
    assert first.priority is Priority.ALERT
    live = [f for f in frames if not f.replayed and f.priority is Priority.METRIC]
    newest = decode_line(live[-1].lines[-1]).time_ns
    assert robot.clock.wall_ns() - newest < 2_000_000_000
    for frame in frames:
        for line in frame.lines:
            age_ns = robot.clock.wall_ns() - decode_line(line).time_ns
            assert frame.replayed == (age_ns > 11_000_000_000) or 9e9 < age_ns < 13e9


def test_unacknowledged_frames_are_sent_again_and_puback_does_not_count(make_robot: Make) -> None:
    robot = make_robot(uplink=MemoryUplink(answers=False, keeps=True))
    robot.client.event("task.done", Severity.INFO, {"task_id": 1})
    robot.run(1.5)
    times = [f for f in robot.uplink.frames if f.priority is Priority.EVENT]
    assert len(times) == 1
    robot.run(18)
    again = [f for f in robot.uplink.frames if f.priority is Priority.EVENT]
    assert len(again) == 3
    assert {f.lines for f in again} == {times[0].lines}
    assert robot.process.journal.active.depth().records[Priority.EVENT] == 1


def test_ack_settles_what_it_names_and_nothing_else(make_robot: Make) -> None:
    robot = make_robot(uplink=MemoryUplink(answers=False, keeps=True))
    for task in range(10):
        robot.client.event("task.done", Severity.INFO, {"task_id": task})
    robot.run(1.5)
    spool = robot.process.journal.active
    events = [seq for seq, _ in spool.take(Priority.EVENT, 1, 99, rows=99, size=10**6)]
    robot.uplink.receive_ack(
        Ack(spool.epoch, stored=((events[0], events[2]),), refused=((events[5], events[5]),))
    )
    robot.run(0.1)
    left = [seq for seq, _ in spool.take(Priority.EVENT, 1, 99, rows=99, size=10**6)]
    assert left == [seq for seq in events if seq not in (*events[:3], events[5])]
    assert spool.depth().counters["settled_refused"] == 1


def test_acks_of_another_spool_or_of_nonsense_are_counted_and_change_nothing(
    make_robot: Make,
) -> None:
    robot = make_robot(uplink=MemoryUplink(answers=False))
    robot.client.event("task.done", Severity.INFO, {"task_id": 1})
    robot.run(1)
    head = robot.process.journal.active.head
    robot.uplink.receive_ack(Ack(12345, stored=((1, head),)))
    robot.uplink._acks += [b"", b"{}", b"\xff" * 50, encode_ack(Ack(5))[:-3]]
    robot.run(1)
    assert robot.process.journal.active.depth().records[Priority.EVENT] == 1
    assert robot.process.outbox.tally.acks_odd == 1


def test_same_run_twice_sends_identical_bytes(make_robot: Make) -> None:
    digests = []
    for name in ("first", "second"):
        robot = make_robot(name)
        work = work_of(robot)
        robot.run(10, work)
        robot.uplink.cut()
        robot.run(15, work)
        robot.uplink.mend()
        robot.run(10, work)
        digests.append(robot.uplink.digest)
    assert digests[0] == digests[1]


def test_status_file_says_when_the_fleet_was_heard(make_robot: Make) -> None:
    robot = make_robot()
    robot.run(3, work_of(robot))
    status = read_uplink(robot.context.paths.uplink)
    assert status is not None
    assert status.connected
    assert status.last_heard_ns is not None
    robot.uplink.cut()
    robot.run(2)
    later = read_uplink(robot.context.paths.uplink)
    assert later is not None
    assert not later.connected
    assert later.last_heard_ns == status.last_heard_ns or later.at_ns > status.at_ns


def write_state(robot: Robot, observed_age_ns: int = -1) -> None:
    writer = robot.context.shm.writer("state")
    state = writer.new()
    state["created_ns"] = robot.clock.now_ns()
    state["joints"] = 7
    state["stop_level"] = StopLevel.HOLD
    state["stop_reason"] = StopReason.COLLISION
    state["separation_m"] = float("inf")
    state["battery_ratio"] = float("nan")
    state["misses"] = 3
    state["observed_age_ns"] = observed_age_ns
    state["interventions"][1] = 42
    writer.write(state)
    scene = robot.context.shm.writer("scene")
    scene.write(
        created_ns=robot.clock.now_ns(),
        capture_ns=robot.clock.now_ns() - 20_000_000,
        level=2,
        triggers=int(Trigger.CONFIDENCE | Trigger.HUMAN_NEARBY),
        count=2,
    )


def test_live_message_shows_what_is_known_and_null_for_what_is_not(make_robot: Make) -> None:
    robot = make_robot()
    write_state(robot)
    robot.client.event("task.done", Severity.INFO, {"done_total": 12, "failed_total": 1})
    robot.run(0.5)
    live = orjson.loads(robot.uplink.latest["live"])
    assert live["control"]["stop"] == {"level": "hold", "reason": "collision"}
    assert live["control"]["separation"] == "nobody"
    assert live["control"]["separation_m"] is None
    assert live["control"]["battery_ratio"] is None
    assert live["control"]["interventions"]["velocity"] == 42
    assert len(live["control"]["joints"]) == 7
    assert live["perception"]["triggers"] == ["confidence", "human_nearby"]
    assert live["verdict"] is None
    assert live["tasks"] == {"done": 12, "failed": 1, "waiting": None}
    assert live["about"]["robot_id"] == "osaka-01"


def test_control_metrics_are_stored_once_a_second(make_robot: Make) -> None:
    robot = make_robot()
    write_state(robot)
    robot.run(10)
    lines = [line for frame in robot.uplink.frames for line in frame.lines]
    control = [decode_line(line) for line in lines if line.startswith(b"control,")]
    assert 9 <= len(control) <= 11
    assert control[0].fields["misses"] == 3.0
    assert "separation_m" not in control[0].fields


@pytest.mark.parametrize(("age_ns", "told"), [(120_000_000, [120.0]), (-1, [])])
def test_the_fleet_learns_how_long_it_takes_from_camera_to_motor(
    make_robot: Make, age_ns: int, told: list[float]
) -> None:
    robot = make_robot()
    write_state(robot, observed_age_ns=age_ns)
    robot.run(3)
    lines = [line for frame in robot.uplink.frames for line in frame.lines]
    read = reader_of(b"control")
    assert read is not None
    control = next(line for line in lines if line.startswith(b"control,"))
    assert (b"observed_age_ms" in control) is bool(told)
    said = read(control)
    assert [one.milliseconds for one in said if isinstance(one, Took)] == told


def test_telemetry_continues_after_a_restart_with_what_was_left(make_robot: Make) -> None:
    robot = make_robot("same", MemoryUplink(answers=False))
    robot.run(5, work_of(robot))
    spool = robot.process.journal.active
    held, head = sum(spool.depth().records.values()), spool.head
    robot.process.close()
    again = make_robot("same", MemoryUplink(keeps=True))
    again.run(5)
    assert again.process.journal.active.epoch == spool.epoch
    assert set(range(1, head + 1)) <= set(expand(stored(again)))
    assert held > 20
    assert len(again.uplink.replayed) >= held


def test_damaged_spool_is_set_aside_and_an_alert_says_so(make_robot: Make) -> None:
    robot = make_robot("same")
    path = robot.context.paths.spool
    robot.process.close()
    path.write_bytes(b"garbage" * 4000)
    again = make_robot("same")
    again.run(1)
    assert path.with_name("spool.sqlite.corrupt-1").exists()
    alerts = [f for f in again.uplink.frames if f.priority is Priority.ALERT]
    assert b"telemetry.spool_corrupt" in alerts[0].lines[0]


@pytest.mark.parametrize("jump_s", [7200, -7200])
def test_wall_clock_jumps_lose_nothing_and_repeat_no_time(make_robot: Make, jump_s: int) -> None:
    robot = make_robot()
    work = work_of(robot)
    robot.run(5, work)
    robot.clock.jump_wall(jump_s * 1_000_000_000)
    robot.run(5, work)
    robot.clock.jump_wall(-jump_s * 1_000_000_000)
    robot.run(5, work)
    robot.run(2)
    points = [decode_line(line) for f in robot.uplink.frames for line in f.lines]
    assert len({point.time_ns for point in points}) == len(points)
    head = robot.process.journal.active.head
    assert {int(point.fields["seq"]) for point in points} >= set(range(1, head - 1))
    assert any(point.fields.get("name") == "clock.wall_set_back" for point in points)
