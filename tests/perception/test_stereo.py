"""Stereo on rendered pairs: a person stands out, an empty cell stays empty, doubt is told."""

from collections.abc import Iterator

import numpy as np
import pytest

from models.perception.evaluate import panda_shape
from models.perception.stage import PEOPLE, SIZE, Stage
from runtime.perception.arm import ArmMask
from runtime.perception.geometry import View
from runtime.perception.stereo import StereoEye
from sim.appearance import Style
from sim.people import Stance
from sim.robot_model import Arm

pytestmark = pytest.mark.usefixtures("needs_gl")


class Pair:
    """A cell with a stereo pair in front of it, and an eye that has learned it empty."""

    def __init__(self, seed: int) -> None:
        self.stage = Stage(seed, Arm.PANDA, Style.TRAIN)
        self.stage.reset(seed, Style.TRAIN)
        self.rng = np.random.default_rng(seed)
        self.q = self.stage.scene.home_rad
        scene = self.stage.scene
        position, rotation = scene.camera_pose("stereo_left")
        focal = float(scene.intrinsics("stereo_left", SIZE)[0, 0])
        view = View(position, rotation, focal, *SIZE, scene.layout.floor_z_m)
        self.eye = StereoEye(view, 0.1, ArmMask(panda_shape(), view, 1))
        for person in range(PEOPLE):
            self.stage.pose_person(person, None)

    def grab(self) -> tuple[np.ndarray, np.ndarray]:
        self.stage.pose_arm(self.q)
        self.stage.settle()
        renderer = self.stage.renderer
        return self.noisy(renderer.grey("stereo_left")), self.noisy(renderer.grey("stereo_right"))

    def noisy(self, picture: np.ndarray) -> np.ndarray:
        noise = self.rng.normal(0, 2, picture.shape)
        return np.clip(picture + noise, 0, 255).astype(np.uint8)

    def learn(self, times: int = 4) -> None:
        for _ in range(times):
            self.q = self.stage.scene.home_rad + self.rng.normal(0, 0.15, 7)
            self.eye.learn(self.grab()[0], self.q)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    pair = Pair(5)
    pair.learn()
    yield pair
    pair.stage.close()


@pytest.mark.parametrize("spot", [(1.5, 0.3), (2.2, -0.6), (2.8, 0.4)])
def test_person_is_a_volume_at_the_right_place(pair: Pair, spot: tuple[float, float]) -> None:
    pair.stage.pose_person(0, Stance(spot, 1.0, (0.8, 0.6), 0.3))
    look = pair.eye.look(*pair.grab(), pair.q)
    pair.stage.pose_person(0, None)
    assert look.known
    gaps = [float(np.hypot(*(v.position_m[:2] - np.array(spot)))) for v in look.volumes]
    assert min(gaps) < 0.6


def test_empty_cell_holds_no_volume_while_the_arm_moves(pair: Pair) -> None:
    pair.q = pair.stage.scene.home_rad + 0.1
    look = pair.eye.look(*pair.grab(), pair.q)
    assert look.known
    assert look.volumes == []


def test_without_a_learned_background_it_cannot_tell() -> None:
    pair = Pair(6)
    look = pair.eye.look(*pair.grab(), pair.q)
    assert not look.known
    assert "no background" in look.why
    pair.stage.close()


def test_change_of_light_is_told_and_not_taken_for_people(pair: Pair) -> None:
    left, right = pair.grab()
    brighter = np.clip(left.astype(int) + 60, 0, 255).astype(np.uint8)
    look = pair.eye.look(brighter, right, pair.q)
    assert not look.known
    assert "light" in look.why


def test_change_that_cannot_be_measured_is_not_clear(pair: Pair) -> None:
    pair.stage.pose_person(0, Stance((2.0, 0.0), 1.0, (0.8, 0.6), 0.3))
    left, _ = pair.grab()
    pair.stage.pose_person(0, None)
    # The right eye sees nothing that matches: somebody is there, and nobody knows where.
    look = pair.eye.look(left, np.zeros_like(left), pair.q)
    assert not look.known
