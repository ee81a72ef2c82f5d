"""The whole cycle on a virtual clock: what reaches the drives, and what does not."""

from pathlib import Path

import numpy as np
import pytest

from runtime.shm import Check, ExecState, Realtime, Reject, Source, StopLevel, StopReason
from tests.controld.robots import MS, LockstepRobot


def refused(robot: LockstepRobot, reason: Reject) -> int:
    return int(robot.state["rejected"][reason])


@pytest.fixture
def armed(robot: LockstepRobot) -> LockstepRobot:
    robot.arm()
    assert robot.state["exec_state"] == ExecState.EXECUTING
    return robot


def test_boot_holds_until_the_first_rearm(robot: LockstepRobot) -> None:
    robot.run(300)
    state = robot.state
    assert (state["stop_level"], state["stop_reason"]) == (StopLevel.HOLD, StopReason.BOOT)
    assert state["realtime"] == Realtime.LOCKSTEP
    robot.surroundings.agent.rearm()
    robot.run(50)
    assert robot.state["exec_state"] == ExecState.EXECUTING
    assert robot.state["source"] == Source.POLICY


def test_an_armed_arm_follows_its_policy(armed: LockstepRobot) -> None:
    armed.run(1000)
    moved = np.abs(armed.state["q"][:7] - armed.policy.home[:7])
    assert (moved > 0.05).all()
    assert np.abs(armed.state["q_cmd"] - armed.state["q"]).max() < 0.01


def test_the_state_says_how_old_the_picture_is_that_the_arm_follows(armed: LockstepRobot) -> None:
    assert armed.state["observed_age_ns"] < 0, "the swing looks at nothing"
    armed.surroundings.policy = None
    for age_ns in (40 * MS, 250 * MS):
        armed.command(observed_ns=armed.now_ns - age_ns)
        armed.run(1)
        assert age_ns <= armed.state["observed_age_ns"] <= age_ns + MS
    armed.run(400)
    assert armed.state["source"] == Source.NONE
    assert armed.state["observed_age_ns"] < 0, "nothing is followed any more"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"q": np.full(8, np.nan)}, Reject.NOT_FINITE),
        ({"qd": np.full(8, np.inf)}, Reject.NOT_FINITE),
        ({"gripper": np.nan}, Reject.NOT_FINITE),
        ({"epoch": 0}, Reject.OLD_EPOCH),
        ({"epoch": 7}, Reject.OLD_EPOCH),
        ({"created_ns": 1}, Reject.EXPIRED),
        ({"created_ns": 2**62}, Reject.FUTURE),
        ({"source": Source.FALLBACK}, Reject.INVALID),
        ({"q": np.full(8, 1e6)}, Reject.INVALID),
    ],
)
def test_a_command_that_must_not_be_followed_is_counted_and_moves_nothing(
    armed: LockstepRobot, fields: dict[str, object], reason: Reject
) -> None:
    armed.surroundings.policy = None
    armed.run(400)  # the swing has stopped by itself
    before, at = refused(armed, reason), armed.state["q_cmd"].copy()
    for _ in range(5):
        armed.command(**fields)
        armed.run(1)
    assert refused(armed, reason) - before == 5
    assert armed.state["exec_state"] != ExecState.EXECUTING
    assert np.abs(armed.state["q_cmd"] - at).max() < 1e-9


def test_a_number_below_the_last_is_refused_while_that_command_lives(
    armed: LockstepRobot,
) -> None:
    before = refused(armed, Reject.OUT_OF_ORDER)
    for _ in range(5):
        armed.command(seq=1)
        armed.run(1)
    assert refused(armed, Reject.OUT_OF_ORDER) > before
    assert armed.state["exec_state"] == ExecState.EXECUTING


def test_a_scribbled_number_locks_its_source_out_for_20_ms_and_no_longer(
    armed: LockstepRobot,
) -> None:
    armed.command(seq=2**64 - 1)
    armed.run(1)
    before = refused(armed, Reject.OUT_OF_ORDER)
    commands = armed.policy.commands
    commands.write(armed.shm.reader("command.policy").latest(), seq=1)  # its writer counts on
    armed.run(60)
    assert refused(armed, Reject.OUT_OF_ORDER) > before
    assert armed.state["exec_state"] == ExecState.EXECUTING
    assert armed.state["source"] == Source.POLICY


def brakings(armed: LockstepRobot, period_ms: int, latest_ms: int, ms: int = 1500) -> int:
    """How often the arm begins to brake with a command made every period and arriving late."""
    armed.surroundings.policy = None
    arrivals: dict[int, int] = {}
    draw, count, before = np.random.default_rng(5), 0, ExecState.EXECUTING
    for tick in range(ms):
        if tick % period_ms == 0:
            arrivals[tick + int(draw.integers(0, latest_ms + 1))] = armed.now_ns
        if tick in arrivals:
            armed.policy.step(arrivals.pop(tick))
        armed.run(1)
        state = armed.state["exec_state"]
        count += before == ExecState.EXECUTING and state == ExecState.BRAKING
        before = state
    return count


def test_commands_every_10_ms_may_come_9_ms_late_and_the_arm_never_brakes(
    armed: LockstepRobot,
) -> None:
    assert brakings(armed, period_ms=10, latest_ms=9) == 0


def test_commands_every_20_ms_would_make_the_arm_brake_between_any_two_that_come_late(
    armed: LockstepRobot,
) -> None:
    """Why modes slow the policy's decisions, and not its commands."""
    assert brakings(armed, period_ms=20, latest_ms=9) > 20


def test_without_commands_the_arm_brakes_then_holds_and_needs_a_rearm(
    armed: LockstepRobot,
) -> None:
    armed.surroundings.policy = None
    armed.run(30)
    assert armed.state["exec_state"] == ExecState.BRAKING
    armed.run(1000)
    state = armed.state
    assert (state["stop_level"], state["stop_reason"]) == (
        StopLevel.HOLD,
        StopReason.STALE_COMMAND,
    )


def test_an_agent_that_falls_silent_stops_the_arm(armed: LockstepRobot) -> None:
    class Silent:
        def step(self, now_ns: int) -> None: ...

    armed.surroundings.agent = Silent()  # type: ignore[assignment]
    armed.run(1500)
    assert armed.state["stop_level"] >= StopLevel.CONTROLLED
    assert armed.state["stop_reason"] == StopReason.LIVENESS


def test_an_agent_that_repeats_an_old_answer_does_not_count_as_alive(
    armed: LockstepRobot,
) -> None:
    agent = armed.surroundings.agent
    frozen = armed.shm.reader("directive").latest()
    assert frozen is not None

    class Frozen:
        def step(self, now_ns: int) -> None:
            agent.directives.write(frozen, created_ns=now_ns, seq=0)

    armed.surroundings.agent = Frozen()  # type: ignore[assignment]
    armed.run(1500)
    assert armed.state["stop_reason"] == StopReason.LIVENESS


def test_dead_drives_are_noticed_and_stop_the_arm(armed: LockstepRobot) -> None:
    class Dead:
        def step(self, now_ns: int) -> None: ...

    armed.surroundings.drives = Dead()  # type: ignore[assignment]
    armed.run(300)
    assert armed.state["stop_reason"] == StopReason.STALE_SENSORS
    assert armed.state["sensors_age_ns"] > 100 * MS


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_garbage_from_the_joints_stops_the_arm_and_is_never_commanded(
    armed: LockstepRobot, value: float
) -> None:
    drives = armed.surroundings.drives
    step = drives.step

    def lying(now_ns: int) -> None:
        step(now_ns)
        record = drives.record.copy()
        record["q"][2] = value
        record["created_ns"] = now_ns
        drives.sensors.write(record)

    drives.step = lying  # type: ignore[method-assign]
    armed.run(300, lambda: None)
    assert armed.state["stop_reason"] == StopReason.INVALID_SENSORS
    actuators = armed.shm.reader("hal.actuators").latest()
    assert actuators is not None
    assert np.isfinite(actuators["q_des"]).all()
    assert np.isfinite(armed.state["q"]).all()


def test_a_directive_that_asks_for_a_stop_gets_it(armed: LockstepRobot) -> None:
    armed.surroundings.agent.stop_request = StopLevel.HOLD
    armed.run(500)
    state = armed.state
    assert (state["stop_level"], state["stop_reason"]) == (StopLevel.HOLD, StopReason.REQUESTED)
    armed.surroundings.agent.rearm()
    armed.run(100)
    assert armed.state["stop_level"] == StopLevel.HOLD, "the request still stands"
    armed.surroundings.agent.stop_request = StopLevel.NONE
    armed.run(100)
    armed.surroundings.agent.rearm()
    armed.run(100)
    assert armed.state["stop_level"] == StopLevel.NONE


def test_stopping_the_process_brakes_first_and_then_takes_the_power(armed: LockstepRobot) -> None:
    armed.run(700)
    armed.core.stop()
    powers = []
    speeds = []

    def note() -> None:
        actuators = armed.shm.reader("hal.actuators").latest()
        assert actuators is not None
        powers.append(int(actuators["power"]))
        speeds.append(float(np.abs(actuators["qd_des"]).max()))

    armed.run(1500, note)
    assert armed.core.stopped
    assert powers[-1] == 0
    assert armed.state["stop_reason"] == StopReason.SHUTDOWN
    off = powers.index(0)
    assert speeds[off] < 0.06
    assert powers[off:] == [0] * len(powers[off:])


def test_a_used_rearm_does_not_arm_a_restarted_process(armed: LockstepRobot) -> None:
    used = armed.surroundings.agent.rearm_count
    assert armed.state["rearm_count"] == used
    cycle, rejected = int(armed.state["cycle"]), armed.state["rejected"].copy()
    armed.restart()
    armed.run(1000)
    state = armed.state
    assert state["epoch"] == 2
    assert state["stop_level"] == StopLevel.HOLD
    assert state["rearm_count"] == used
    assert state["cycle"] == cycle + 1000
    assert (state["rejected"] >= rejected).all()
    armed.surroundings.agent.rearm()
    armed.run(100)
    assert armed.state["stop_level"] == StopLevel.NONE


def test_equal_runs_write_equal_bytes(tmp_path: Path, control_path: Path) -> None:
    def run(name: str) -> bytes:
        robot = LockstepRobot(tmp_path / name, control_path)
        robot.arm()
        robot.run(500)
        return (tmp_path / name / "state").read_bytes()

    assert run("one") == run("two")


def test_speed_scale_slows_the_arm_and_the_intervention_is_counted(
    armed: LockstepRobot,
) -> None:
    armed.surroundings.agent.speed_scale = 0.02
    armed.run(1500)
    fastest = 0.0

    def note() -> None:
        nonlocal fastest
        fastest = max(fastest, float(np.abs(armed.state["qd_cmd"]).max()))

    armed.run(2000, note)
    assert fastest < 0.06
    assert armed.state["interventions"][Check.DIRECTIVE] > 0
    assert armed.state["speed_limit_ratio"] == pytest.approx(0.02)
