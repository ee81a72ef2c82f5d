"""People walk where they were sent, in one piece, and nowhere else."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.appearance import Style, draw_person
from sim.people import LIMBS, Limb, People, Walk, WalkEnd, limb_poses, limb_sizes, stance_at

FLOOR_M = -0.75
spots = st.tuples(st.floats(-3, 3), st.floats(-3, 3))


def person(seed: int = 1):
    return draw_person(np.random.default_rng(seed), Style.TRAIN)


@given(
    points=st.lists(spots, min_size=2, max_size=5),
    speed=st.floats(0.2, 2.5),
    end=st.sampled_from(WalkEnd),
    pause=st.floats(0, 2),
    time=st.floats(0, 60),
)
def test_walk_never_leaves_the_box_around_its_waypoints(
    points: list[tuple[float, float]], speed: float, end: WalkEnd, pause: float, time: float
) -> None:
    stance = stance_at(Walk(tuple(points), speed, end=end, pause_s=pause), time)
    if stance is None:
        assert end is WalkEnd.LEAVE
        return
    for axis in (0, 1):
        values = [point[axis] for point in points]
        assert min(values) - 1e-9 <= stance.position_m[axis] <= max(values) + 1e-9
    assert math.hypot(*stance.velocity_m_s) <= speed + 1e-9


def test_walk_has_its_speed_and_ends_where_it_should() -> None:
    walk = Walk(((0.0, 0.0), (3.0, 0.0)), speed_m_s=1.5, start_s=1.0, end=WalkEnd.REACH)
    assert stance_at(walk, 0.99) is None
    halfway, arrived = stance_at(walk, 2.0), stance_at(walk, 9.0)
    assert halfway is not None
    assert arrived is not None
    assert halfway.position_m == pytest.approx((1.5, 0.0))
    assert arrived.position_m == (3.0, 0.0)
    assert arrived.reaching


def test_walk_that_leaves_is_gone_and_a_loop_comes_round_again() -> None:
    square = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    assert stance_at(Walk(square, 1.0), 3.01) is None
    around = stance_at(Walk(square, 1.0, end=WalkEnd.LOOP), 4.5)
    assert around is not None
    assert around.position_m == pytest.approx((0.5, 0.0))


@given(walked=st.floats(0, 20), speed=st.floats(0, 2), heading=st.floats(-3, 3))
def test_limbs_hang_together_and_feet_stay_on_the_floor(
    walked: float, speed: float, heading: float
) -> None:
    from sim.people import Stance

    look = person()
    velocity = (speed * math.cos(heading), speed * math.sin(heading))
    poses = limb_poses(look, Stance((1.0, 2.0), heading, velocity, walked), FLOOR_M)
    assert set(poses) == set(LIMBS)
    for point, quat in poses.values():
        assert math.hypot(point[0] - 1.0, point[1] - 2.0) < 0.6 * look.height_m
        assert math.isclose(sum(part * part for part in quat), 1.0, abs_tol=1e-9)
    heights = {limb: poses[limb][0][2] - FLOOR_M for limb in LIMBS}
    assert heights[Limb.HEAD] == pytest.approx(0.93 * look.height_m, abs=0.02 * look.height_m)
    assert min(heights[Limb.FOOT_LEFT], heights[Limb.FOOT_RIGHT]) < 0.12
    assert min(heights.values()) > -0.02


def test_walking_swings_the_legs_and_standing_does_not() -> None:
    people = People([person()], FLOOR_M)
    people.walk(0, [(0.0, 0.0), (2.0, 0.0)], 1.2, end="stay")
    feet = [people.poses(0, t / 20)[Limb.FOOT_LEFT][0][2] for t in range(30)]  # type: ignore[index]
    still = [people.poses(0, 5 + t / 20)[Limb.FOOT_LEFT][0][2] for t in range(5)]  # type: ignore[index]
    assert max(feet) - min(feet) > 0.05
    assert max(still) == min(still)


def test_broader_people_have_broader_limbs() -> None:
    look = person()
    wide = limb_sizes(look.__class__(**{**look.__dict__, "build": look.build * 1.2}))
    assert wide[Limb.TORSO][1] > limb_sizes(look)[Limb.TORSO][1]
