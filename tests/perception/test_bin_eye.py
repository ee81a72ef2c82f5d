"""Parts over time: what the network overlooks for a while is not forgotten without a reason."""

import numpy as np
import pytest

from runtime.perception.bin_eye import HIDDEN_NS, STANDS_NS, BinEye
from runtime.perception.geometry import View
from runtime.perception.parts import Part

S = 1_000_000_000
KEEP_NS = S // 2
CAMERA_M, TOP_M, TRAY_M = 1.2, 0.05, 0.0


@pytest.fixture
def eye() -> BinEye:
    """A camera that looks straight down."""
    down = np.column_stack([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    return BinEye(View(np.array([0.0, 0.0, CAMERA_M]), down, 150.0, 160, 120, 0.0), KEEP_NS)


def seen_at(height_m: float) -> np.ndarray:
    return np.full((120, 160), CAMERA_M - height_m, np.float32)


def part(score: float = 0.6) -> Part:
    place, size = np.array([0.0, 0.0, TOP_M]), np.array([0.06, 0.04, TOP_M])
    return Part(score, (70.0, 50.0, 90.0, 70.0), place, size, 0.0, measured=True)


def after(eye: BinEye, height_m: float, until_ns: int) -> int:
    """How many parts are known after looks ten times a second in which the network saw none."""
    for capture_ns in range(eye.capture_ns + S // 10, until_ns + 1, S // 10):
        eye.take(capture_ns, [], seen_at(height_m))
    return len(eye.parts)


def test_a_part_whose_top_is_still_measured_is_still_there(eye: BinEye) -> None:
    eye.take(0, [part()], seen_at(TOP_M))
    assert after(eye, TOP_M, 10 * S) == 1
    assert eye.parts[0].confidence < 0.1, "it is known to be there, not to be worth a grasp"
    eye.take(11 * S, [part(0.7)], seen_at(TOP_M))
    assert (eye.parts[0].id, eye.parts[0].confidence) == (1, 0.7)


def test_a_part_that_was_taken_away_is_forgotten_soon(eye: BinEye) -> None:
    eye.take(0, [part()], seen_at(TOP_M))
    assert after(eye, TRAY_M, KEEP_NS + S // 5) == 0


def test_a_part_behind_the_arm_is_remembered_for_a_while(eye: BinEye) -> None:
    eye.take(0, [part()], seen_at(TOP_M))
    assert after(eye, TOP_M + 0.3, HIDDEN_NS) == 1
    assert after(eye, TOP_M + 0.3, HIDDEN_NS + S) == 0


def test_without_depth_nobody_can_tell_that_it_is_gone(eye: BinEye) -> None:
    eye.take(0, [part()], seen_at(TOP_M))
    assert after(eye, CAMERA_M, HIDDEN_NS) == 1


def test_what_no_network_names_again_is_forgotten_in_the_end(eye: BinEye) -> None:
    eye.take(0, [part()], seen_at(TOP_M))
    assert after(eye, TOP_M, STANDS_NS + S) == 0
