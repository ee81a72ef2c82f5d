"""What the simulated arm's sensors say: encoders, torques, temperatures, pressure, battery, button.

All noise comes from one seeded generator, so that a run can be repeated to the byte.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from runtime.hal.clock import NS_PER_MS
from sim.faults import (
    ESTOP_GAP_NS,
    ESTOP_PERIOD_NS,
    SENSOR_GAP_NS,
    SENSOR_PERIOD_NS,
    TEMPERATURE_GAP_NS,
    TEMPERATURE_PERIOD_NS,
    ActiveFault,
    Component,
    FaultSource,
    Kind,
)
from sim.layout import Array
from sim.suction import LINE_PRESSURE_KPA

ENCODER_STEP_RAD = 2.0 * np.pi / (1 << 20)
NOISE_BLOCK = 500
ENCODER_NOISE_RAD = 2e-5
VELOCITY_NOISE_RAD_S = 0.004
TORQUE_NOISE_NM = 0.15
PRESSURE_NOISE_KPA = 0.3
TEMPERATURE_NOISE_C = 0.1

AMBIENT_C = 24.0
RATED_RISE_C = 38.0  # of a motor that gives its full torque for ever
THERMAL_CONSTANT_S = 420.0

BATTERY_START = 0.92
BATTERY_DRAIN_PER_S = 0.08 / 3600
BATTERY_CHARGE_PER_S = 0.60 / 3600
BATTERY_CHARGE_BELOW, BATTERY_CHARGE_ABOVE = 0.35, 0.95

WRONG_JOINT = 1
WRONG_OFFSET_RAD = 0.2
WRONG_MOTOR, WRONG_MOTOR_C = 2, 92.0
SLOW_PERIOD_NS = 25 * NS_PER_MS
LATE_READINGS = 20


@dataclass
class Motors:
    """Winding temperatures: heat by the square of torque, cooling towards the room."""

    limits_nm: Array
    temp_c: Array

    def step(self, torque_nm: Array, step_s: float) -> None:
        heat = RATED_RISE_C * np.square(torque_nm / self.limits_nm)
        self.temp_c += (AMBIENT_C + heat - self.temp_c) * (step_s / THERMAL_CONSTANT_S)


@dataclass
class Battery:
    """A buffer battery that is charged when it is low and then drains again."""

    ratio: float = BATTERY_START
    charging: bool = False

    def step(self, step_s: float) -> None:
        if self.ratio <= BATTERY_CHARGE_BELOW:
            self.charging = True
        elif self.ratio >= BATTERY_CHARGE_ABOVE:
            self.charging = False
        rate = BATTERY_CHARGE_PER_S if self.charging else -BATTERY_DRAIN_PER_S
        self.ratio += rate * step_s


@dataclass
class Reading:
    """One set of sensor values, before it becomes a record."""

    q_rad: Array
    qd_rad_s: Array
    torque_nm: Array
    temp_c: Array
    pressure_kpa: float
    contact: bool
    estop: bool


@dataclass
class SensorSuite:
    """Adds noise and faults to the plant's truth."""

    joints: int
    rng: np.random.Generator
    faults: FaultSource
    _frozen: Reading | None = None
    _frozen_temp_c: Array | None = None
    _late: deque[Reading] = field(default_factory=lambda: deque(maxlen=LATE_READINGS))
    _written_ns: int = 0
    _row: int = 0
    _block: Array = field(default_factory=lambda: np.empty((0, 0)))

    def measure(
        self,
        q_rad: Array,
        qd_rad_s: Array,
        torque_nm: Array,
        temp_c: Array,
        pressure_kpa: float,
        *,
        contact: bool,
        now_ns: int,
    ) -> Reading | None:
        """What the sensors deliver now, or None when nothing arrives."""
        n, noise = self.joints, self._noise()
        reading = Reading(
            np.rint((q_rad + noise[:n]) / ENCODER_STEP_RAD) * ENCODER_STEP_RAD,
            qd_rad_s + noise[n : 2 * n],
            torque_nm + noise[2 * n : 3 * n],
            temp_c + noise[3 * n : 4 * n],
            max(0.0, pressure_kpa + float(noise[4 * n])),
            contact,
            self._estop(now_ns),
        )
        self._late.append(reading)
        self._spoil_temperature(reading, now_ns)
        self._spoil_pressure(reading)
        return self._spoil_joints(reading, now_ns)

    def _noise(self) -> Array:
        """The next row of noise; drawn in blocks, because a call costs more than a number."""
        if self._row >= len(self._block):
            n = self.joints
            self._row = 0
            self._block = self.rng.standard_normal((NOISE_BLOCK, 4 * n + 1)) * np.concatenate(
                [
                    np.full(n, ENCODER_NOISE_RAD),
                    np.full(n, VELOCITY_NOISE_RAD_S),
                    np.full(n, TORQUE_NOISE_NM),
                    np.full(n, TEMPERATURE_NOISE_C),
                    [PRESSURE_NOISE_KPA],
                ]
            )
        row = self._block[self._row]
        self._row += 1
        return row

    def _estop(self, now_ns: int) -> bool:
        fault = self.faults.active(Component.ESTOP)
        if fault is None:
            return False
        if fault.kind is Kind.INTERMITTENT:
            return fault.is_in_gap(now_ns, ESTOP_GAP_NS, ESTOP_PERIOD_NS)
        return True

    def _spoil_joints(self, reading: Reading, now_ns: int) -> Reading | None:
        fault = self.faults.active(Component.JOINT_SENSOR)
        if fault is None or fault.kind is not Kind.STUCK:
            self._frozen = None
        if fault is None:
            return reading
        match fault.kind:
            case Kind.OFF | Kind.INTERMITTENT | Kind.SLOW:
                return reading if self._arrives(fault, now_ns) else None
            case Kind.STUCK:
                self._frozen = self._frozen or reading
                return self._frozen
            case Kind.GARBAGE:
                reading.q_rad[WRONG_JOINT] = self.rng.uniform(-10.0, 10.0)
                reading.qd_rad_s[WRONG_JOINT] = self.rng.uniform(-50.0, 50.0)
                return reading
            case Kind.WRONG:
                reading.q_rad[WRONG_JOINT] += WRONG_OFFSET_RAD
                return reading
            case Kind.DELAYED:
                return self._late[0]

    def _arrives(self, fault: ActiveFault, now_ns: int) -> bool:
        if fault.kind is Kind.INTERMITTENT:
            return not fault.is_in_gap(now_ns, SENSOR_GAP_NS, SENSOR_PERIOD_NS)
        if fault.kind is Kind.OFF or now_ns - self._written_ns < SLOW_PERIOD_NS:
            return False
        self._written_ns = now_ns
        return True

    def _spoil_temperature(self, reading: Reading, now_ns: int) -> None:
        fault = self.faults.active(Component.MOTOR_TEMP)
        if fault is None or fault.kind is not Kind.STUCK:
            self._frozen_temp_c = None
        if fault is None:
            return
        if fault.kind is Kind.OFF or _is_away(fault, now_ns):
            reading.temp_c[:] = np.nan
        elif fault.kind is Kind.STUCK:
            if self._frozen_temp_c is None:
                self._frozen_temp_c = reading.temp_c.copy()
            reading.temp_c[:] = self._frozen_temp_c
        elif fault.kind is Kind.GARBAGE:
            reading.temp_c[:] = self.rng.uniform(-300.0, 1000.0, self.joints)
        elif fault.kind is Kind.WRONG:
            reading.temp_c[WRONG_MOTOR] = WRONG_MOTOR_C

    def _spoil_pressure(self, reading: Reading) -> None:
        fault = self.faults.active(Component.GRIPPER)
        if fault is None:
            return
        if fault.kind is Kind.GARBAGE:
            reading.pressure_kpa = float(self.rng.uniform(-50.0, 200.0))
        elif fault.kind is Kind.WRONG:
            reading.pressure_kpa = LINE_PRESSURE_KPA


def _is_away(fault: ActiveFault, now_ns: int) -> bool:
    return fault.kind is Kind.INTERMITTENT and fault.is_in_gap(
        now_ns, TEMPERATURE_GAP_NS, TEMPERATURE_PERIOD_NS
    )
