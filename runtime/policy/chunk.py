"""Playing back an action chunk: along its path, at a pace that others may lower at any time.

The player keeps a reference pose of its own. Slowing down never bends the path: the phase of the
chunk advances more slowly, down to standing still. A leash keeps the reference near what Tier 1
really commands, so that an arm held back is waited for and not run away from.
"""

from dataclasses import dataclass

import numpy as np

from runtime.policy.kinematics import Array

STEP_S = 0.01  # what one step of a chunk stands for
PACE_SLEW_PER_S = 5.0  # full pace to standstill in 0.2 s
LEASH_RAD = 0.04
LEASH_LAG_S = 0.03  # Tier 1 follows this much behind without anybody holding it back
LOST_RAD = 0.20


@dataclass(frozen=True)
class Chunk:
    """Velocities (steps × joints) at full pace and suction (steps)."""

    velocities_rad_s: Array
    suction: Array
    execute_steps: int


@dataclass(frozen=True)
class Reference:
    """Where the policy wants the arm now. `nominal_rad_s` is the velocity at full pace."""

    q_rad: Array
    nominal_rad_s: Array
    pace: float
    suction: float


@dataclass(frozen=True)
class Playback:
    reference: Reference
    chunk: Chunk | None
    phase: float

    @property
    def wants_inference(self) -> bool:
        return self.chunk is None or self.phase >= self.chunk.execute_steps

    @property
    def velocity_rad_s(self) -> Array:
        return self.reference.nominal_rad_s * self.reference.pace


def begin(q_rad: Array, suction: float) -> Playback:
    """At rest where the arm is commanded to be."""
    return Playback(Reference(q_rad.copy(), np.zeros_like(q_rad), 0.0, suction), None, 0.0)


def load(playback: Playback, chunk: Chunk) -> Playback:
    return Playback(playback.reference, chunk, 0.0)


def advance(playback: Playback, wanted_pace: float, q_cmd_rad: Array, dt_s: float) -> Playback:
    """One control step. Without a chunk the reference brakes and stands."""
    reference = playback.reference
    pace = slew(reference.pace, wanted_pace * leash(reference, q_cmd_rad), dt_s)
    chunk = playback.chunk
    if chunk is None:
        nominal, suction = reference.nominal_rad_s, reference.suction
        pace = slew(reference.pace, 0.0, dt_s)
    else:
        nominal, suction = sample(chunk, playback.phase)
    moved = reference.q_rad + nominal * (pace * dt_s)
    phase = playback.phase + pace * dt_s / STEP_S
    return Playback(Reference(moved, nominal, pace, suction), chunk, phase)


def sample(chunk: Chunk, phase: float) -> tuple[Array, float]:
    """Velocity interpolated between steps; suction of the step that is being played."""
    last = len(chunk.velocities_rad_s) - 1
    index = min(int(phase), last)
    share = min(max(phase - index, 0.0), 1.0)
    after = chunk.velocities_rad_s[min(index + 1, last)]
    velocity = (1 - share) * chunk.velocities_rad_s[index] + share * after
    return velocity, float(chunk.suction[index] > 0.5)


def slew(pace: float, wanted: float, dt_s: float) -> float:
    wanted = min(max(wanted, 0.0), 1.0) if np.isfinite(wanted) else 0.0
    step = PACE_SLEW_PER_S * dt_s
    return min(max(wanted, pace - step), pace + step)


def leash(reference: Reference, q_cmd_rad: Array) -> float:
    """1 near the commanded pose, falling to 0 as the reference gets ahead of it."""
    lag = np.abs(reference.nominal_rad_s) * (reference.pace * LEASH_LAG_S)
    ahead = float(np.max(np.abs(reference.q_rad - q_cmd_rad) - lag))
    return min(max(2.0 - ahead / LEASH_RAD, 0.0), 1.0)


def is_lost(playback: Playback, q_cmd_rad: Array) -> bool:
    """Tier 1 is somewhere else altogether: begin again from where it is."""
    return not np.max(np.abs(playback.reference.q_rad - q_cmd_rad)) <= LOST_RAD
