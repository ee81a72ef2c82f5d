"""Faults planted in the simulated arm, to see whether the safety model notices them."""

from collections.abc import Callable

import numpy as np

from models.safety.record import Sabotage
from sim.lockstep import LockStep
from sim.robot_model import TOOL_BODY

PAYLOAD_KG = (0.3, 1.5)
FRICTION_NM = (3.0, 15.0)
STUCK_NM = 2000.0


def load(mass_kg: float) -> Sabotage:
    """Something heavy hangs on the tool."""

    def sabotage(run: LockStep) -> None:
        model = run.plant.scene.model
        model.body_mass[model.body(TOOL_BODY).id] += mass_kg

    return sabotage


def rub(joint: int, torque_nm: float) -> Sabotage:
    """A worn bearing: dry friction in one joint."""

    def sabotage(run: LockStep) -> None:
        _grip(run, joint, torque_nm)

    return sabotage


def jam(joint: int) -> Sabotage:
    """A joint that no motor can turn any more."""

    def sabotage(run: LockStep) -> None:
        _grip(run, joint, STUCK_NM)

    return sabotage


def _grip(run: LockStep, joint: int, torque_nm: float) -> None:
    run.plant.scene.model.dof_frictionloss[joint] = torque_nm


FAULTS: dict[str, Callable[[np.random.Generator], Sabotage]] = {
    **{f"payload_{mass:g}_kg": lambda rng, mass=mass: load(mass) for mass in PAYLOAD_KG},
    **{
        f"friction_{torque:g}_nm": lambda rng, torque=torque: rub(int(rng.integers(0, 4)), torque)
        for torque in FRICTION_NM
    },
    "stuck_joint": lambda rng: jam(int(rng.integers(0, 4))),
}
