"""The arm's shape: where its balls are, and that they hide the arm but nobody else."""

import numpy as np
import pytest

from conf.control import control_bytes
from conf.schema import Config
from models.perception.evaluate import view_of_stage
from models.perception.stage import SIZE, Stage
from runtime.perception.arm import ArmMask, ArmShape
from runtime.perception.change import STEP, ChangeRule, DepthChange
from runtime.shm import _native
from sim.appearance import Style
from sim.people import Stance
from sim.robot_model import Arm


def test_balls_are_where_tier_1_has_them(config: Config) -> None:
    model = _native.dynamics.RobotModel(control_bytes(config))
    shape = ArmShape(config.robot.model)
    rng = np.random.default_rng(1)
    for _ in range(20):
        q = rng.uniform(-2.0, 2.0, shape.joints)
        centers, radii = shape.balls(q)
        theirs = model.sphere_positions(list(q))
        # The last ball is the tool with what hangs on it, which only the eyes add.
        assert np.allclose(centers[:-1], [center for center, _ in theirs], atol=1e-9)
        assert np.allclose(radii[:-1], [radius for _, radius in theirs])


@pytest.mark.usefixtures("needs_gl")
def test_moving_arm_is_no_change_and_a_person_behind_it_is(config: Config) -> None:
    stage = Stage(3, Arm.PANDA, Style.TRAIN)
    shape = ArmShape(config.robot.model)
    mask = ArmMask(shape, view_of_stage(stage), STEP)
    cue = DepthChange(ChangeRule(near_m=0.1), *SIZE[::-1])
    rng = np.random.default_rng(2)
    nobody = np.zeros(cue.tile_shape, bool)

    def look() -> int:
        q = stage.scene.home_rad + rng.normal(0, 0.25, 7)
        stage.pose_arm(q)
        stage.settle()
        _, depth = stage.rgbd("cell")
        change = cue.look(depth, mask.paint(q, depth[::STEP, ::STEP]))
        if not cue.has_background:
            cue.settle(nobody)
        elif stage.scene.time_s == 0.0:
            cue.clear(change, nobody)
        return change.pixels()

    for _ in range(30):  # what the arm hid at first is seen and cleared
        look()
    stage.scene.data.time = 1.0
    quiet = [look() for _ in range(10)]
    loud: list[int] = []
    for _ in range(10):
        spot = (1.6, float(rng.uniform(-0.6, 0.6)))
        stage.pose_person(0, Stance(spot, 0.5, (1.0, 0.2), 0.4))
        loud.append(look())
    stage.close()
    assert sorted(quiet)[-2] < 60
    assert min(loud) > 300
