"""The referee counts what physics did, once each."""

import numpy as np
import pytest

from sim.render import Renderer, Segmentation
from sim.scene import Scene, SegKind
from sim.score import PartState, Referee, score_people, visible_people
from tests.sim.reach import go_to


@pytest.fixture
def scene() -> Scene:
    return Scene(4, people=2, parts=1)


def carry(scene: Scene, referee: Referee, goal: tuple[float, float], height_m: float) -> None:
    """Pick part 0 and let go of it above a point."""
    x, y, z = scene.parts()[0].position_m
    half = scene.look.parts[0].half_height_m

    def move(point: tuple[float, float, float]) -> None:
        go_to(scene, np.array(point), 700)
        referee.step()

    move((x, y, z + half + 0.08))
    move((x, y, z + half - 0.003))
    scene.suction(True)
    scene.step(250)
    move((x, y, 0.25))
    move((*goal, 0.25))
    move((*goal, height_m))
    scene.suction(False)
    for _ in range(30):
        scene.step(50)
        referee.step()


def test_a_part_that_ends_in_the_tray_is_placed_once(scene: Scene) -> None:
    referee = Referee(scene)
    referee.step()
    half = scene.look.parts[0].half_height_m
    carry(scene, referee, scene.layout.tray.center_m, 0.006 + 2 * half)
    assert referee.states[0] is PartState.IN_TRAY
    assert (referee.tally.picked, referee.tally.placed, referee.tally.dropped) == (1, 1, 0)
    assert referee.tally.cell_contacts == 0


def test_a_part_that_is_let_go_of_beside_the_tray_is_dropped(scene: Scene) -> None:
    referee = Referee(scene)
    referee.step()
    carry(scene, referee, (0.47, 0.0), 0.10)
    assert referee.states[0] is PartState.LOOSE
    assert (referee.tally.picked, referee.tally.placed, referee.tally.dropped) == (1, 0, 1)


def test_a_part_pushed_off_the_table_has_fallen(scene: Scene) -> None:
    referee = Referee(scene)
    referee.step()
    scene.place_part(0, (0.9, 0.0, 0.0))
    for _ in range(10):
        scene.step(30)
        referee.step()
    assert referee.tally.fallen == 1


def test_a_part_that_lies_in_the_tray_from_the_start_is_nobodys_success(scene: Scene) -> None:
    scene.place_part(0, (*scene.layout.tray.center_m, 0.04))
    referee = Referee(scene)
    for _ in range(30):
        scene.step(50)
        referee.step()
    assert referee.states[0] is PartState.IN_TRAY
    assert referee.tally.placed == 0


def test_touching_a_person_counts_once_a_touch() -> None:
    scene = Scene(1, people=1, parts=0, distractors=0)
    referee = Referee(scene)
    go_to(scene, np.array([0.6, 0.0, 0.3]))
    x, y = scene.tool_pose()[0][:2]
    scene.people.walk(0, [(x + 0.6, y), (x, y)], 0.6, start_s=scene.time_s, end="stay")
    for _ in range(40):
        scene.step(50)
        referee.step()
    assert referee.tally.person_contacts == 1


def test_detections_are_scored_against_people_who_show_enough_pixels(scene: Scene) -> None:
    scene.people.walk(0, [(2.0, -0.5), (2.0, 0.5)], 1.0, end="stay")
    scene.people.walk(1, [(3.0, -1.5), (3.0, -0.5)], 1.0, end="stay")
    scene.step(500)
    kinds = np.zeros((120, 160), np.uint8)
    instances = np.full((120, 160), -1, np.int16)
    kinds[:20, :20], instances[:20, :20] = SegKind.PERSON, 0  # 400 pixels
    kinds[50:60, :20], instances[50:60, :20] = SegKind.PERSON, 1  # 200 pixels
    seg = Segmentation(kinds, instances)
    assert visible_people(seg, 2) == [0]
    first, second = scene.stances()
    assert first is not None
    assert second is not None
    right = [*first.position_m, 0.2]
    small = [*second.position_m, 0.2]
    ghost = [3.5, 1.9, 0.2]
    score = score_people(scene, seg, np.array([right, small, ghost]))
    assert (score.seen, score.found, score.false) == (1, 1, 1)
    nothing = score_people(scene, seg, np.empty((0, 3)))
    assert (nothing.seen, nothing.found, nothing.false) == (1, 0, 0)


@pytest.mark.usefixtures("needs_gl")
def test_rendered_labels_name_the_person_who_is_near(scene: Scene) -> None:
    scene.people.walk(1, [(1.8, 0.3), (1.8, -0.3)], 0.5)
    scene.step(300)
    with Renderer(scene, (160, 120)) as renderer:
        assert visible_people(renderer.segmentation("cell"), 2) == [1]
