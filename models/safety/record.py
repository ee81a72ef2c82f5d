"""Recorded runs: what the control state said a hundred times a second while the robot worked."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.policy.robot import working_robot
from runtime.daemon import Context
from runtime.safety.features import Sample, sample_of
from runtime.shm import ExecState, Verdict
from sim.lockstep import LockStep
from sim.robot_model import ARMS, Arm
from sim.scenario import load_scenario

SCENARIOS = ("picking", "rush_hour", "clutter")
STEP_S = 0.01

# Called once with the running robot, to break something in it.
Sabotage = Callable[[LockStep], None]


class AlwaysOk:
    """Stands where safetyd would be while its model is still to be made: an arm at full speed."""

    rate_hz = 100.0

    def __init__(self, context: Context) -> None:
        self._out = context.shm.writer("verdict")

    def step(self, now_ns: int) -> None:
        self._out.write(
            created_ns=now_ns,
            expires_ns=now_ns + 50_000_000,
            verdict=int(Verdict.OK),
            speed_scale=1.0,
        )

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True)
class Recording:
    """Consecutive samples of one run."""

    seed: int
    scenario: str
    samples: tuple[Sample, ...]


def record_run(
    arm: Arm,
    seed: int,
    seconds: float,
    *,
    sabotage: Sabotage | None = None,
    sabotage_at_s: float = 0.0,
) -> Recording:
    """One run on duty without a safety model. From `sabotage_at_s` on something is broken."""
    name = SCENARIOS[seed % len(SCENARIOS)]
    joints = len(ARMS[arm].home_rad)
    samples: list[Sample] = []
    with working_robot(arm, seed, load_scenario(name), builders={"safetyd": AlwaysOk}) as run:
        reader = run.shm.state_reader()

        def keep(now_ns: int) -> None:
            state = reader.latest()
            if state is not None and int(state["exec_state"]) != ExecState.STARTING:
                samples.append(sample_of(state, joints))

        run.add_hook(STEP_S, keep)
        if sabotage is None:
            run.run(seconds)
        else:
            run.run(sabotage_at_s)
            sabotage(run)
            run.run(seconds - sabotage_at_s)
    return Recording(seed, name, tuple(samples))


def pairs(recording: Recording, horizon: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Model inputs, what was measured `horizon` steps later, and whether the cup touched then."""
    from runtime.safety.features import measured, model_input

    samples = recording.samples
    rows = range(1, len(samples) - horizon)
    return (
        np.stack([model_input(samples[i - 1], samples[i]) for i in rows]).astype(np.float32),
        np.stack([measured(samples[i + horizon]) for i in rows]).astype(np.float32),
        np.array([samples[i + horizon].touching for i in rows]),
    )
