"""The depth cue: what is new and near is change until full looks have cleared it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.perception.change import STEP, TILE, ChangeRule, DepthChange, tiles_of_boxes

RULE = ChangeRule(near_m=0.1)
HEIGHT, WIDTH = 120, 160
NOBODY = np.zeros((HEIGHT // TILE, WIDTH // TILE), bool)


def room(depth_m: float = 3.0) -> np.ndarray:
    return np.full((HEIGHT, WIDTH), depth_m, np.float32)


def with_box(depth_m: float, at: tuple[int, int] = (40, 60), size: int = 24) -> np.ndarray:
    picture = room()
    picture[at[0] : at[0] + size, at[1] : at[1] + size] = depth_m
    return picture


@pytest.fixture
def cue() -> DepthChange:
    cue = DepthChange(RULE, HEIGHT, WIDTH)
    cue.look(room(), None)
    cue.settle(NOBODY)
    return cue


def test_without_a_background_it_cannot_tell() -> None:
    assert not DepthChange(RULE, HEIGHT, WIDTH).look(room(), None).known


def test_unchanged_room_is_quiet(cue: DepthChange) -> None:
    change = cue.look(room(), None)
    assert change.known
    assert change.pixels() == 0


def test_somebody_nearer_than_the_background_is_change_where_he_stands(cue: DepthChange) -> None:
    change = cue.look(with_box(2.0), None)
    assert change.pixels() == pytest.approx(24 * 24, rel=0.1)
    assert change.pixels(tiles_of_boxes([(60, 40, 84, 64)], change.tiles.shape, 4)) == 0


def test_the_arm_is_left_out(cue: DepthChange) -> None:
    arm = with_box(2.0)[::STEP, ::STEP] < 2.5
    assert cue.look(with_box(2.0), arm).pixels() == 0


def test_camera_that_lost_most_of_its_depth_cannot_tell(cue: DepthChange) -> None:
    blind = room()
    blind[:70] = 0.0
    assert not cue.look(blind, None).known


def test_another_view_altogether_cannot_tell(cue: DepthChange) -> None:
    assert not cue.look(room(1.2), None).known


def test_left_over_cart_becomes_background_after_full_looks_only(cue: DepthChange) -> None:
    for _ in range(100):
        assert cue.look(with_box(2.0), None).pixels() > 0  # time alone clears nothing
    for _ in range(RULE.absorb_looks):
        cue.clear(cue.look(with_box(2.0), None), NOBODY)
    assert cue.look(with_box(2.0), None).pixels() == 0


def test_person_never_becomes_background(cue: DepthChange) -> None:
    for _ in range(50):
        change = cue.look(with_box(2.0), None)
        cue.clear(change, tiles_of_boxes([(60, 40, 84, 64)], change.tiles.shape, 4))
    assert cue.look(with_box(2.0), None).pixels() > 0


def test_body_is_found_where_something_stands_in_a_box_at_the_expected_distance(
    cue: DepthChange,
) -> None:
    cue.look(with_box(2.0), None)
    u, v, depth_m, pixels = cue.body_at((50, 30, 90, 70), 2.1, 0.5) or (0, 0, 0, 0)
    assert (u, v, depth_m) == pytest.approx((72, 52, 2.0), abs=STEP)
    assert pixels == pytest.approx(24 * 24, rel=0.1)
    assert cue.body_at((50, 30, 90, 70), 2.8, 0.5) is None  # another distance
    assert cue.body_at((100, 30, 140, 70), 2.0, 0.5) is None  # another place
    cue.look(room(), None)
    assert cue.body_at((50, 30, 90, 70), 2.1, 0.5) is None  # gone


def test_place_where_a_person_stood_at_the_start_is_no_background() -> None:
    cue = DepthChange(RULE, HEIGHT, WIDTH)
    cue.look(with_box(2.0), None)
    cue.settle(tiles_of_boxes([(60, 40, 84, 64)], (HEIGHT // TILE, WIDTH // TILE), 4))
    assert cue.look(with_box(2.0), None).pixels() > 0


@given(st.integers(0, 2**32 - 1))
def test_sensor_noise_is_no_change(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cue = DepthChange(RULE, HEIGHT, WIDTH)
    sigma = 0.0008 + 0.0012 * 9.0

    def noisy() -> np.ndarray:
        return (room() + sigma * rng.standard_normal((HEIGHT, WIDTH))).astype(np.float32)

    cue.look(noisy(), None)
    cue.settle(NOBODY)
    assert all(cue.look(noisy(), None).pixels() == 0 for _ in range(5))
