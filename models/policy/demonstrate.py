"""Demonstrations with physics: the expert picks simulated parts, and its answers are recorded.

The drives follow the commanded joints with noise on top, the cup must touch and evacuate, and the
target is a detection off by some millimetres. A network can be tried the same way.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

from models.policy.chain import forward
from models.policy.expert import Situation, expert_chunk
from models.policy.law import STEP_S
from models.policy.rehearsal import Setting
from runtime.policy.observation import Observed, Stage, build_observation
from sim.appearance import Style
from sim.layout import Vec3
from sim.robot_model import Arm
from sim.scene import PartTruth, Scene

CONTACT_KPA = 10.0
HOLDING_KPA = 30.0
HOLDING_STEPS = 4
RELEASE_ABOVE_M = 0.008
PHYSICS_STEPS = 10
TASK_STEPS_MAX = 1500
HOME_RAD = 0.03

# Velocities and suction of a chunk for an observation and what the expert reads.
Driver = Callable[[np.ndarray, Situation, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass
class Outcome:
    placed: bool
    reason: str
    steps: int


@dataclass
class Recording:
    """What each inference saw, and what the expert answered."""

    observations: list[np.ndarray] = field(default_factory=list)
    velocities: list[np.ndarray] = field(default_factory=list)
    suctions: list[np.ndarray] = field(default_factory=list)


def top_of(scene: Scene, part: PartTruth) -> np.ndarray:
    """The middle of a part's upper side."""
    geom = scene.model.geom(f"part{part.index}_geom").id
    up = np.abs(scene.data.geom_xmat[geom].reshape(3, 3)[2])
    size = scene.model.geom_size[geom]
    round_part = scene.model.geom_size[geom][2] == 0 or scene.model.geom_type[geom] == 5
    half = up[2] * size[1] + np.hypot(up[0], up[1]) * size[0] if round_part else up @ size
    x, y, z = part.position_m
    return np.array([x, y, z + float(half)])


class Pick:
    """One pick and place in a scene, driven by chunks."""

    def __init__(self, scene: Scene, setting: Setting, seed: int, *, noisy: bool) -> None:
        self._scene, self._setting = scene, setting
        self._rng = np.random.default_rng(seed)
        self._noise = setting.noise.velocity_rad_s if noisy else 0.0
        self.q = np.asarray(setting.home_rad, np.float64).copy()
        self.qd = np.zeros_like(self.q)
        self.stage = Stage.REACH
        self.gripper = 0.0
        self._held_steps = 0
        self._fk = jax.jit(lambda q: forward(setting.chain, q)[:2])
        self._push = np.zeros_like(self.q)
        part = self._choose_part()
        self._part = part.index
        off = np.clip(self._rng.normal(0, setting.noise.detection_m, 3), -0.01, 0.01)
        self._detected = top_of(scene, part) + off
        self._place = self._draw_place()

    def run(self, driver: Driver, record: Recording | None = None) -> Outcome:
        index, chunk = 0, None
        before = self._readings()
        for step in range(TASK_STEPS_MAX):
            ended = self._advance_stage()
            if ended is not None:
                return self._outcome(ended, step)
            now = self._readings()
            if chunk is None or index >= self._setting.execute_steps or now != before:
                chunk, index = self._infer(driver, record), 0
            before = now
            velocity, suction = chunk[0][index], chunk[1][index]
            index += 1
            self._move(np.asarray(velocity, np.float64), float(suction > 0.5))
        return self._outcome("timeout", TASK_STEPS_MAX)

    def _choose_part(self) -> PartTruth:
        parts = [part for part in self._scene.parts() if part.in_play]
        return max(parts, key=lambda part: (round(top_of(self._scene, part)[2], 2), -part.index))

    def _draw_place(self) -> Vec3:
        tray = self._scene.layout.tray
        half = np.array(tray.inner_m) / 2 - 0.05
        x, y = np.array(tray.center_m) + self._rng.uniform(-half, half)
        return float(x), float(y), float(self._detected[2]) + RELEASE_ABOVE_M

    def _readings(self) -> tuple[Stage, bool]:
        return self.stage, self._scene.suction_cup.pressure_kpa > CONTACT_KPA

    def _advance_stage(self) -> str | None:
        holding = self._scene.suction_cup.pressure_kpa >= HOLDING_KPA
        if self.stage is Stage.REACH:
            self._held_steps = self._held_steps + 1 if holding else 0
            if self._held_steps >= HOLDING_STEPS:
                self.stage = Stage.CARRY
        elif self.stage is Stage.CARRY and not holding:
            if self.gripper > 0.5:
                return "lost"
            self.stage = Stage.RETREAT
        elif self.stage is Stage.RETREAT and self._is_home():
            return "home"
        return None

    def _is_home(self) -> bool:
        return bool(np.max(np.abs(self.q - self._setting.home_rad)) < HOME_RAD)

    def _infer(self, driver: Driver, record: Recording | None) -> tuple[np.ndarray, np.ndarray]:
        tip, rotation = self._fk(self.q.astype(np.float32))
        goal = {
            Stage.REACH: self._detected + self._rng.normal(0, self._setting.noise.jitter_m, 3),
            Stage.CARRY: np.array(self._place),
            Stage.RETREAT: self._setting.home_tip_m,
        }[self.stage].astype(np.float32)
        contact = float(self._readings()[1])
        seen = Observed(
            q_rad=self.q,
            qd_rad_s=self.qd,
            tip_m=np.asarray(tip),
            tool_axis=np.asarray(rotation)[:, 2],
            goal_m=goal,
            stage=int(self.stage),
            gripper=np.float64(self.gripper),
            contact=np.float64(contact),
            holding=np.float64(self.stage is Stage.CARRY),
        )
        observation = build_observation(seen).astype(np.float32)
        numbers = (jnp.asarray(goal), int(self.stage), contact, self.gripper)
        situation = Situation(*(jnp.asarray(number) for number in numbers))
        answer = driver(observation, situation, self.q, self.qd)
        if record is not None:
            record.observations.append(observation)
            record.velocities.append(np.asarray(answer[0]))
            record.suctions.append(np.asarray(answer[1]))
        return answer

    def _move(self, velocity: np.ndarray, gripper: float) -> None:
        if self._rng.random() < 0.1:
            self._push = self._rng.normal(0, 1, velocity.shape) * self._noise
        self._push *= 0.95
        self.qd, self.gripper = velocity, gripper
        total = velocity + self._push
        self._scene.suction(gripper)
        for tick in range(PHYSICS_STEPS):
            at = self.q + total * STEP_S * (tick + 1) / PHYSICS_STEPS
            self._scene.set_joint_targets(at, total)
            self._scene.step_once()
        self.q = self.q + total * STEP_S

    def _outcome(self, reason: str, steps: int) -> Outcome:
        part = self._scene.parts()[self._part]
        placed = self._scene.layout.tray.holds(part.position_m) and not part.held
        return Outcome(placed and reason == "home", reason, steps)


def make_expert(setting: Setting) -> Driver:
    answer = jax.jit(
        lambda q, qd, seen: expert_chunk(
            setting.chain, setting.home_rad, setting.law, q, qd, seen, setting.chunk_steps
        )
    )

    def drive(
        observation: np.ndarray, seen: Situation, q: np.ndarray, qd: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        chunk = answer(jnp.asarray(q, jnp.float32), jnp.asarray(qd, jnp.float32), seen)
        return np.asarray(chunk[0]), np.asarray(chunk[1])

    return drive


def demonstrate(
    arm: Arm, setting: Setting, episodes: int, seed: int
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], float]:
    """The recorded demonstrations and the share of them that ended with the part in the tray."""
    scene = Scene(0, arm, Style.TRAIN, people=1, parts=3, distractors=0)
    expert, record, placed = make_expert(setting), Recording(), 0
    for episode in range(episodes):
        scene.reset(seed + episode, parts=3, clutter=episode % 4 == 3)
        placed += Pick(scene, setting, seed + episode, noisy=True).run(expert, record).placed
    arrays = (
        np.stack(record.observations),
        np.stack(record.velocities),
        np.stack(record.suctions),
    )
    return arrays, placed / max(1, episodes)
