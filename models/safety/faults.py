"""Faults planted in the simulated arm, to see whether the safety model notices them."""

from collections.abc import Callable

import numpy as np

from models.safety.record import Sabotage
from sim.lockstep import LockStep
from sim.robot_model import TOOL_BODY

PAYLOAD_KG = 1.5
FRICTION_NM = 15.0
STUCK_NM = 2000.0


def add_payload(run: LockStep) -> None:
    """Something heavy hangs on the tool."""
    model = run.plant.scene.model
    model.body_mass[model.body(TOOL_BODY).id] += PAYLOAD_KG


def rub(joint: int) -> Sabotage:
    """A worn bearing: dry friction in one joint."""

    def sabotage(run: LockStep) -> None:
        _grip(run, joint, FRICTION_NM)

    return sabotage


def jam(joint: int) -> Sabotage:
    """A joint that no motor can turn any more."""

    def sabotage(run: LockStep) -> None:
        _grip(run, joint, STUCK_NM)

    return sabotage


def _grip(run: LockStep, joint: int, torque_nm: float) -> None:
    run.plant.scene.model.dof_frictionloss[joint] = torque_nm


FAULTS: dict[str, Callable[[np.random.Generator], Sabotage]] = {
    "payload_1.5_kg": lambda rng: add_payload,
    "friction_15_nm": lambda rng: rub(int(rng.integers(0, 4))),
    "stuck_joint": lambda rng: jam(int(rng.integers(0, 4))),
}
