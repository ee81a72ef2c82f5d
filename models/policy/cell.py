"""The arm and the cell that a policy is made for, from the simulator's own declarations."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from models.policy.chain import Chain, forward, make_chain
from models.policy.law import CHUNK_STEPS, EXECUTE_STEPS, Law
from models.policy.rehearsal import Cell, Noise, Setting
from sim.compile_robot import compile_arm
from sim.layout import CellLayout, Tub
from sim.robot_model import ARMS, Arm

PART_HEIGHT_MAX_M = 0.12  # of the top of a part above the table, heaps included
EDGE_M = 0.01  # targets are drawn a little beyond the walls' reach


@dataclass(frozen=True)
class Frame:
    """A link or the tool, as the compiler writes it."""

    pos_m: tuple[float, float, float]
    quat_wxyz: tuple[float, float, float, float]
    axis: tuple[float, float, float] = (0.0, 0.0, 1.0)


def arm_chain(arm: Arm) -> Chain:
    model = compile_arm(arm)
    links = [Frame(link["pos_m"], link["quat_wxyz"], link["axis"]) for link in model["links"]]
    return make_chain(links, Frame(model["tool"]["pos_m"], model["tool"]["quat_wxyz"]))


def make_setting(arm: Arm, law: Law | None = None, noise: Noise | None = None) -> Setting:
    chain = arm_chain(arm)
    home = np.array(ARMS[arm].home_rad, np.float32)
    layout = CellLayout()
    pick_low, pick_high = _corners(layout.bin, 0.0)
    place_low, place_high = _corners(layout.tray, 0.01)
    return Setting(
        chain=chain,
        home_rad=home,
        home_tip_m=np.asarray(forward(chain, jnp.asarray(home)).position_m),
        cell=Cell(pick_low, pick_high, place_low, place_high),
        law=law or Law(),
        noise=noise or Noise(),
        chunk_steps=CHUNK_STEPS,
        execute_steps=EXECUTE_STEPS,
    )


def _corners(tub: Tub, low_m: float) -> tuple[np.ndarray, np.ndarray]:
    half = np.array(tub.inner_m) / 2 + EDGE_M
    center = np.array(tub.center_m)
    return (
        np.array([*(center - half), low_m], np.float32),
        np.array([*(center + half), PART_HEIGHT_MAX_M], np.float32),
    )
