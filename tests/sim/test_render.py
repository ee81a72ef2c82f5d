"""Cameras see what is there, at the distance where it is."""

import os
import subprocess
import sys
from ctypes.util import find_library

import numpy as np
import pytest

from sim.layout import CellLayout
from sim.render import Renderer
from sim.scene import Scene, SegKind

pytestmark = pytest.mark.usefixtures("needs_gl")
SIZE = (160, 120)


@pytest.fixture(scope="module")
def scene() -> Scene:
    made = Scene(3, people=2, distractors=1)
    made.park_distractor(0)
    return made


@pytest.fixture
def renderer(scene: Scene):
    with Renderer(scene, SIZE) as opened:
        yield opened


def pixels_of(scene: Scene, camera: str, points_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where points of the base frame appear, and their depth, by pose and intrinsics alone."""
    position, rotation = scene.camera_pose(camera)
    seen = (points_m - position) @ rotation
    projected = seen @ scene.intrinsics(camera, SIZE).T
    return projected[:, :2] / projected[:, 2:], seen[:, 2]


def test_bin_camera_sees_every_part_where_it_lies_and_as_far_as_it_is(
    scene: Scene, renderer: Renderer
) -> None:
    scene.reset(5, parts=4)
    _, depth = renderer.rgbd("bin")
    seg = renderer.segmentation("bin")
    for truth in scene.parts()[:4]:
        assert seg.visible_pixels(SegKind.PART, truth.index) > 20
        x, y, z = truth.position_m
        top = np.array([[x, y, z + scene.look.parts[truth.index].half_height_m]])
        pixel, distance = pixels_of(scene, "bin", top)
        column, row = np.rint(pixel[0] - 0.5).astype(int)
        assert seg.instance[row, column] == truth.index
        assert depth[row, column] == pytest.approx(distance[0], abs=0.003)


@pytest.mark.parametrize("x", [1.6, 2.2, 2.8])
def test_cell_camera_sees_a_near_person_with_300_pixels(
    scene: Scene, renderer: Renderer, x: float
) -> None:
    scene.reset(1)
    scene.people.walk(0, [(x, 0.4), (x, -0.4)], 0.8)
    scene.step(500)
    seg = renderer.segmentation("cell")
    assert seg.visible_pixels(SegKind.PERSON, 0) >= 300
    rows, columns = np.nonzero((seg.kind == SegKind.PERSON) & (seg.instance == 0))
    stance = scene.stances()[0]
    assert stance is not None
    middle = np.array([[*stance.position_m, scene.layout.floor_z_m + 0.95]])
    pixel, _ = pixels_of(scene, "cell", middle)
    assert abs(np.median(columns) - pixel[0, 0]) < 6
    assert rows.min() < pixel[0, 1] < rows.max()


def test_nobody_is_seen_where_nobody_is(scene: Scene, renderer: Renderer) -> None:
    scene.reset(2)
    seg = renderer.segmentation("cell")
    assert not (seg.kind == SegKind.PERSON).any()


def test_right_stereo_eye_is_one_baseline_to_the_right() -> None:
    scene = Scene(1)
    left, turn = scene.camera_pose("stereo_left")
    right, same = scene.camera_pose("stereo_right")
    assert np.allclose(turn, same)
    assert (right - left) @ turn == pytest.approx([0.1, 0.0, 0.0], abs=1e-12)


def test_grey_pictures_of_the_pair_differ_by_a_shift(scene: Scene, renderer: Renderer) -> None:
    scene.reset(1)
    left, right = renderer.grey("stereo_left"), renderer.grey("stereo_right")
    assert left.shape == (120, 160)
    assert left.dtype == np.uint8
    assert (left != right).any()


def test_two_renderers_of_other_sizes_show_the_same_cell(scene: Scene) -> None:
    scene.reset(4)
    with Renderer(scene, (160, 120)) as small, Renderer(scene, (320, 240)) as large:
        shown, larger = small.rgb("cell"), large.rgb("cell")
    shrunk = larger.reshape(120, 2, 160, 2, 3).mean(axis=(1, 3))
    assert larger.std() > 10
    assert np.abs(shrunk - shown).mean() < 6


def test_same_state_gives_the_same_picture_and_another_light_another(
    scene: Scene, renderer: Renderer
) -> None:
    scene.reset(6)
    first, again = renderer.rgbd("cell"), renderer.rgbd("cell")
    assert (first[0] == again[0]).all()
    assert (first[1] == again[1]).all()
    scene.reset(7)
    assert (renderer.rgb("cell") != first[0]).mean() > 0.3


def test_visual_meshes_are_refused_for_a_scene_without_them(scene: Scene) -> None:
    with pytest.raises(ValueError, match="Scene"):
        Renderer(scene, SIZE, "visual")


def test_unknown_camera_is_refused_with_the_known_names(renderer: Renderer) -> None:
    with pytest.raises(KeyError, match="stereo_left"):
        renderer.rgb("ceiling")


def test_arm_at_rest_hides_neither_bin_nor_tray(scene: Scene, renderer: Renderer) -> None:
    scene.reset(1, parts=0)
    seg = renderer.segmentation("bin")
    layout: CellLayout = scene.layout
    for tub in (layout.bin, layout.tray):
        corners = [
            (
                tub.center_m[0] + sx * tub.inner_m[0] / 2.2,
                tub.center_m[1] + sy * tub.inner_m[1] / 2.2,
            )
            for sx in (-1, 1)
            for sy in (-1, 1)
        ]
        pixels, _ = pixels_of(scene, "bin", np.array([[x, y, tub.floor_m] for x, y in corners]))
        left, top = np.ceil(pixels.min(axis=0)).astype(int)
        right, bottom = np.floor(pixels.max(axis=0)).astype(int)
        assert 0 <= left < right < SIZE[0]
        assert 0 <= top < bottom < SIZE[1]
        assert not (seg.kind[top:bottom, left:right] == SegKind.ROBOT).any()


DRAW = """
from sim.render import Renderer
from sim.scene import Scene
with Renderer(Scene(1, people=1), (160, 120)) as renderer:
    print(renderer.backend, renderer.rgb("cell").std() > 10)
"""


@pytest.mark.skipif(find_library("OSMesa") is None, reason="no OSMesa on this machine")
def test_osmesa_draws_where_egl_finds_no_driver() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "MUJOCO_GL"}
    environment |= {"__EGL_VENDOR_LIBRARY_FILENAMES": "/nonexistent", "PYTHONPATH": "."}
    drawn = subprocess.run(
        [sys.executable, "-c", DRAW], env=environment, capture_output=True, text=True, check=False
    )
    assert drawn.stdout.split() == ["osmesa", "True"], drawn.stderr[-2000:]
