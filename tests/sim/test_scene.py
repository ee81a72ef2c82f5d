"""The cell: drives follow, brakes hold, suction needs contact, and a seed decides everything."""

import numpy as np
import pytest

from sim.layout import Rectangle
from sim.robot_model import Arm
from sim.scene import Scene, SegKind
from sim.suction import LINE_PRESSURE_KPA
from tests.sim.reach import go_to, reach


@pytest.mark.parametrize("arm", list(Arm))
def test_drives_follow_a_moving_target(arm: Arm) -> None:
    scene = Scene(1, arm, people=1, distractors=0)
    home = scene.home_rad
    for step in range(1500):
        t = step / 1000
        target, speed = home.copy(), np.zeros(scene.joints)
        target[0] += 0.4 * np.sin(2 * t)
        speed[0] = 0.8 * np.cos(2 * t)
        scene.set_joint_targets(target, speed)
        scene.step_once()
    assert np.abs(scene.q - target).max() < 0.01


@pytest.mark.parametrize("arm", list(Arm))
def test_without_power_the_brakes_hold_the_arm_against_gravity(arm: Arm) -> None:
    scene = Scene(1, arm, people=1, distractors=0)
    scene.set_power(False)
    start = scene.q.copy()
    scene.step(2000)
    assert np.abs(scene.q - start).max() < 1e-3
    assert np.abs(scene.motor_torque_nm).max() == 0.0


def test_same_seed_and_calls_give_the_same_bytes() -> None:
    def run(seed: int) -> bytes:
        scene = Scene(seed, clutter=True)
        scene.people.walk(0, [(2.0, -1.0), (2.0, 1.0)])
        target = scene.home_rad.copy()
        target[0] += 0.3
        scene.set_joint_targets(target)
        scene.step(400)
        return scene.capture().tobytes() + scene.model.geom_rgba.tobytes()

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_reset_with_the_seed_of_another_scene_gives_that_scene() -> None:
    fresh, reused = Scene(8, parts=4), Scene(1)
    reused.reset(8, parts=4)
    assert fresh.capture().tobytes() == reused.capture().tobytes()
    assert fresh.model.geom_rgba.tobytes() == reused.model.geom_rgba.tobytes()
    assert fresh.model.body_inertia.tobytes() == reused.model.body_inertia.tobytes()


@pytest.mark.parametrize("seed", range(5))
def test_parts_lie_in_the_bin_apart_from_one_another(seed: int) -> None:
    scene = Scene(seed, parts=4)
    before = [truth.position_m for truth in scene.parts() if truth.in_play]
    scene.step(300)
    after = [truth for truth in scene.parts() if truth.in_play]
    assert len(after) == 4
    for truth, was in zip(after, before, strict=True):
        assert scene.layout.bin.holds(truth.position_m)
        assert truth.position_m == pytest.approx(was, abs=0.003)


def test_a_heap_of_parts_stays_in_the_bin() -> None:
    scene = Scene(2, parts=4, clutter=True)
    assert all(scene.layout.bin.holds(t.position_m) for t in scene.parts() if t.in_play)


def test_suction_in_the_air_builds_no_pressure_and_holds_nothing() -> None:
    scene = Scene(1, people=1)
    scene.suction(True)
    scene.step(500)
    assert scene.suction_cup.pressure_kpa < 10.0
    assert scene.suction_cup.held is None
    assert not scene.suction_cup.touching


def test_suction_near_a_part_without_touching_it_takes_nothing() -> None:
    scene = Scene(1, people=1, parts=1)
    go_to(scene, above(part_top(scene, 0), 0.01))
    scene.suction(True)
    scene.step(500)
    assert scene.suction_cup.held is None
    assert scene.suction_cup.pressure_kpa < 10.0


def above(point: np.ndarray, height_m: float) -> np.ndarray:
    return point + np.array([0.0, 0.0, height_m])


def part_top(scene: Scene, part: int) -> np.ndarray:
    truth = scene.parts()[part]
    return above(np.array(truth.position_m), scene.look.parts[part].half_height_m)


@pytest.mark.parametrize("arm", list(Arm))
def test_suction_on_a_part_takes_it_carries_it_and_lets_it_go(arm: Arm) -> None:
    scene = Scene(4, arm, people=1, parts=1)
    top = part_top(scene, 0)
    go_to(scene, above(top, 0.08))
    go_to(scene, above(top, -0.003))
    assert scene.suction_cup.held is None
    scene.suction(True)
    scene.step(250)
    assert scene.suction_cup.held == 0
    assert scene.suction_cup.pressure_kpa == pytest.approx(LINE_PRESSURE_KPA, abs=0.5)
    go_to(scene, above(top, 0.15))
    assert scene.parts()[0].position_m[2] > 0.10
    scene.suction(False)
    scene.step(400)
    assert scene.suction_cup.held is None
    assert scene.suction_cup.pressure_kpa < 5.0
    assert scene.parts()[0].position_m[2] < 0.06


def test_suction_lets_go_of_a_part_that_is_pulled_too_hard() -> None:
    scene = Scene(4, people=1, parts=1)
    top = part_top(scene, 0)
    go_to(scene, above(top, 0.08))
    go_to(scene, above(top, -0.003))
    scene.suction(True)
    scene.step(250)
    go_to(scene, above(top, 0.15))
    assert scene.suction_cup.held == 0
    body = scene.model.body("part0").id
    scene.data.xfrc_applied[body, 2] = -40.0  # N; a sealed cup of this size holds 56
    scene.step(50)
    assert scene.suction_cup.held == 0
    scene.data.xfrc_applied[body, 2] = -80.0
    scene.step(50)
    assert scene.suction_cup.held is None


def test_suction_beside_the_middle_of_a_part_leaks() -> None:
    scene = Scene(4, people=1, parts=1)
    top = part_top(scene, 0)
    edge = top + np.array([scene.look.parts[0].reach_m + 0.012, 0.0, 0.0])
    go_to(scene, above(edge, 0.06))
    go_to(scene, above(edge, -0.002))
    scene.suction(True)
    scene.step(300)
    assert scene.suction_cup.held is None


def test_a_person_in_the_way_is_felt_by_the_arm() -> None:
    scene = Scene(1, people=1, distractors=0, parts=0)
    scene.set_joint_targets(reach(scene, np.array([0.6, 0.0, 0.35])))
    scene.step(1500)
    free = scene.motor_torque_nm.copy()
    x, y = scene.tool_pose()[0][:2]
    scene.people.walk(0, [(x + 0.5, y), (x + 0.05, y)], 0.5, start_s=scene.time_s, end="stay")
    scene.step(1500)
    kinds, _ = scene.geom_labels()
    touched = {SegKind(int(kinds[g])) for pair in scene.data.contact.geom for g in pair}
    assert SegKind.PERSON in touched
    assert np.abs(scene.motor_torque_nm - free).max() > 5.0


def test_parked_parts_stay_away_and_come_back_when_called() -> None:
    scene = Scene(1, parts=2, pool=3)
    scene.step(300)
    assert scene.parts()[2].position_m[2] < -30.0
    assert scene.spawn_part(2, scene.layout.tray)
    scene.step(200)
    assert scene.layout.tray.holds(scene.parts()[2].position_m)


def test_restore_shows_a_captured_state_in_another_scene() -> None:
    first, second = Scene(5), Scene(5)
    first.people.walk(0, [(2.0, -1.0), (2.0, 1.0)])
    first.step(300)
    second.restore(first.capture())
    assert np.allclose(second.data.geom_xpos, first.data.geom_xpos, atol=2e-3)


def test_rectangle_samples_lie_inside_it() -> None:
    area = Rectangle((1.0, -2.0), (3.0, 2.0))
    rng = np.random.default_rng(0)
    assert all(area.holds(area.sample(rng)) for _ in range(50))
    assert not area.holds((0.9, 0.0))
