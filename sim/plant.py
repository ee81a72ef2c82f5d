"""The simulated arm and cell as a process: drives in, sensors out, a thousand times a second.

`python -m sim.plant --run-dir R --data-dir D`. The physics keep step with the clock: a late wake-up
is made up for, up to a bound; beyond it simulated time is given up, and the process says so.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from runtime.daemon import Context, Process, run_daemon
from runtime.hal.clock import NS_PER_MS, NS_PER_S
from runtime.shm import Shm
from sim.director import Director
from sim.faults import VACUUM_GAP_NS, VACUUM_PERIOD_NS, Component, FaultSource, Kind
from sim.layout import Array
from sim.processes import SIM_PROCESSES
from sim.scenario import Scenario, scenario_of_run, scene_of
from sim.score import TallyWriter
from sim.sensors import Battery, Motors, Reading, SensorSuite
from sim.suction import EVACUATE_S
from sim.truth import FaultReader, SceneWriter, truth_memory

log = logging.getLogger(__name__)

PHYSICS_NS = NS_PER_MS
CATCH_UP_STEPS = 50  # more than this behind, and simulated time is given up
HOLD_AFTER_NS = 50 * NS_PER_MS  # drives hold their position when nothing fresh arrives
BRAKE_AFTER_NS = 250 * NS_PER_MS  # then they close their brakes
SLOW_EVERY = 50  # steps between two looks at people, parts, temperatures: 20 Hz
SCENE_EVERY = 10  # steps between two states for the cameras: 100 Hz
FAULTS_EVERY = 20
VALVE_DELAY_STEPS = 400
REPORT_EVERY_NS = 10 * NS_PER_S
SLOW_VACUUM = 8.0


@dataclass(frozen=True)
class Setpoint:
    created_ns: int
    q_rad: Array
    qd_rad_s: Array


def between(first: Setpoint, second: Setpoint, now_ns: int) -> tuple[Array, Array]:
    """Position and velocity on the cubic that joins two setpoints; `now_ns` lies between them."""
    span_s = (second.created_ns - first.created_ns) / NS_PER_S
    if span_s <= 0:
        return second.q_rad, second.qd_rad_s
    s = min(1.0, max(0.0, (now_ns - first.created_ns) / NS_PER_S / span_s))
    way = second.q_rad - first.q_rad
    start, end = first.qd_rad_s * span_s, second.qd_rad_s * span_s
    square, cube = 3 * way - 2 * start - end, start + end - 2 * way
    q_rad = first.q_rad + s * (start + s * (square + s * cube))
    return q_rad, (start + s * (2 * square + s * 3 * cube)) / span_s


class Drives:
    """What the arm's motor controllers do with commands, stale ones included."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._reader = plant.shm.reader("hal.actuators")
        self.fault = False
        self._obeyed: Setpoint | None = None
        self._lag_ns = 0
        self._valve: deque[float] = deque([0.0] * VALVE_DELAY_STEPS, maxlen=VALVE_DELAY_STEPS)

    def step(self, now_ns: int) -> None:
        scene, n = self._plant.scene, self._plant.scene.joints
        record = self._reader.latest()
        if record is None or now_ns - int(record["created_ns"]) > BRAKE_AFTER_NS:
            scene.set_power(False)
            scene.suction_cup.command = 0.0
            return
        targets = np.concatenate([record["q_des"][:n], record["qd_des"][:n], record["tau_ff"][:n]])
        if not math.isfinite(float(targets.sum())):  # one bad number spoils the sum
            self.fault = True
            scene.set_power(False)
            return
        self.fault = False
        scene.set_power(bool(record["power"]))
        age_ns = now_ns - int(record["created_ns"])
        if age_ns > HOLD_AFTER_NS:
            scene.set_joint_targets(scene.q)
        else:
            command = Setpoint(int(record["created_ns"]), targets[:n], targets[n : 2 * n])
            q_des, qd_des = self._setpoint_at(now_ns, command)
            scene.set_joint_targets(q_des, qd_des, targets[2 * n :])
        self._open_valve(float(record["gripper"]))

    def _setpoint_at(self, now_ns: int, newest: Setpoint) -> tuple[Array, Array]:
        """A step that is made up for lies before the newest command: then the drives were told
        something between that and the last one obeyed. Without this a backlog kicks the arm."""
        if now_ns >= newest.created_ns or self._obeyed is None:
            self._obeyed = newest
            self._lag_ns = min(PHYSICS_NS, max(0, now_ns - newest.created_ns))
            return newest.q_rad, newest.qd_rad_s
        # A command is as old here as it is in a step on time.
        return between(self._obeyed, newest, now_ns - self._lag_ns)

    def _open_valve(self, command: float) -> None:
        self._valve.append(command)
        fault = self._plant.faults.active(Component.GRIPPER)
        late = fault is not None and fault.kind is Kind.DELAYED
        self._plant.scene.suction_cup.command = self._valve[0] if late else command


class Plant:
    """Physics, sensors and scenario on one millisecond grid."""

    rate_hz = 1000.0

    def __init__(self, context: Context, scenario: Scenario, faults: FaultSource) -> None:
        self.shm: Shm = context.shm
        self.faults = faults
        self.scene = scene_of(context.config, scenario)
        self._context = context
        self.director = Director(
            self.scene, scenario, faults, context.config.facility.people_expected
        )
        n = self.scene.joints
        limits = self.scene.model.actuator_forcerange[:n, 1].copy()
        self._motors = Motors(limits, np.full(n, 31.0))
        self._battery = Battery()
        rng = np.random.default_rng([scenario.seed, 2])
        self._sensors = SensorSuite(n, rng, faults)
        self._drives = Drives(self)
        self._truth = truth_memory(context.paths)
        self._writer = self.shm.writer("hal.sensors")
        self._record = self._writer.new()
        state = self.scene.capture()
        self._scene_writer = SceneWriter(self._truth, len(state))
        self._tally_writer = TallyWriter(self._truth)
        self._tick = 0
        self._started_ns: int | None = None
        self._given_up = 0
        self._reported_ns = 0
        self._torque = np.zeros(n)

    def step(self, now_ns: int) -> None:
        """Bring the physics up to now."""
        if self._started_ns is None:
            self._started_ns = now_ns - PHYSICS_NS
            self._reported_ns = now_ns
        due = (now_ns - self._started_ns) // PHYSICS_NS
        if due > CATCH_UP_STEPS:
            lost = due - CATCH_UP_STEPS
            self._given_up += lost
            self._started_ns += lost * PHYSICS_NS
            due = CATCH_UP_STEPS
        self._started_ns += due * PHYSICS_NS
        for left in reversed(range(due)):
            self._step_once(now_ns - left * PHYSICS_NS)
        if now_ns - self._reported_ns >= REPORT_EVERY_NS:
            self._report(now_ns)

    def close(self) -> None:
        """Nothing is held but memory."""

    def _step_once(self, now_ns: int) -> None:
        if self._tick % FAULTS_EVERY == 0 and isinstance(self.faults, FaultReader):
            self.faults.refresh()
        if self._tick % SLOW_EVERY == 0:
            self._step_slow(now_ns)
        self._drives.step(now_ns)
        self._spoil_vacuum(now_ns)
        self.scene.step_once()
        self._torque += 0.02 * (np.abs(self.scene.motor_torque_nm) - self._torque)
        self._write_sensors(now_ns)
        if self._tick % SCENE_EVERY == 0:
            self._scene_writer.write(self.scene.capture(), now_ns)
        self._tick += 1

    def _step_slow(self, now_ns: int) -> None:
        step_s = SLOW_EVERY * PHYSICS_NS / NS_PER_S
        self.director.step()
        self._motors.step(self._torque, step_s)
        self._battery.step(step_s)
        self._tally_writer.write(self.director.referee.tally, now_ns)

    def _spoil_vacuum(self, now_ns: int) -> None:
        cup, fault = self.scene.suction_cup, self.faults.active(Component.GRIPPER)
        kind = None if fault is None else fault.kind
        away = (
            fault is not None
            and kind is Kind.INTERMITTENT
            and fault.is_in_gap(now_ns, VACUUM_GAP_NS, VACUUM_PERIOD_NS)
        )
        cup.leak_ratio = 1.0 if kind is Kind.OFF or away else 0.0
        cup.stuck_on = kind is Kind.STUCK
        cup.evacuate_s = EVACUATE_S * (SLOW_VACUUM if kind is Kind.SLOW else 1.0)

    def _write_sensors(self, now_ns: int) -> None:
        scene, cup = self.scene, self.scene.suction_cup
        reading = self._sensors.measure(
            scene.q,
            scene.qd,
            scene.motor_torque_nm,
            self._motors.temp_c,
            cup.pressure_kpa,
            contact=cup.touching,
            now_ns=now_ns,
        )
        if reading is not None:
            self._write(reading, now_ns)

    def _write(self, reading: Reading, now_ns: int) -> None:
        record, n = self._record, self.scene.joints
        record["created_ns"] = now_ns
        record["tick"] = self._tick + 1
        record["q"][:n] = reading.q_rad
        record["qd"][:n] = reading.qd_rad_s
        record["tau"][:n] = reading.torque_nm
        record["motor_temp_c"][:n] = reading.temp_c
        record["gripper_pressure_kpa"] = reading.pressure_kpa
        record["gripper_contact"] = reading.contact
        record["battery_ratio"] = self._battery.ratio
        record["estop"] = reading.estop
        record["drive_fault"] = self._drives.fault
        record["powered"] = self.scene.powered
        self._writer.write(record)

    def _report(self, now_ns: int) -> None:
        self._reported_ns = now_ns
        if self._given_up:
            log.warning("fell behind the clock: %d ms of simulated time given up", self._given_up)
        self._context.telemetry.metric("plant", {"given_up_ms": self._given_up})
        self._given_up = 0

    # For those who step it in lock-step or judge it

    @property
    def tick(self) -> int:
        return self._tick

    def encoder_truth(self) -> Array:
        return self.scene.q.copy()


def build(context: Context) -> Process:
    scenario = scenario_of_run(context.paths.run)
    return Plant(context, scenario, FaultReader(truth_memory(context.paths)))


if __name__ == "__main__":
    run_daemon("plant", build, SIM_PROCESSES)
