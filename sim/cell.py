"""Builds the MuJoCo model of a picking cell around an arm; looks are filled in later, per seed."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass, field
from enum import StrEnum

import mujoco
import numpy as np

from sim.layout import CameraMount, CellLayout, Rectangle, Tub, camera_axes
from sim.people import ELLIPSOIDS, LIMBS, PARKED_M
from sim.robot_model import TOOL_BODY, Arm, Group, Meshes, load_arm

# Collision rules: a pair touches when one's type meets the other's affinity.
# Robot 1/0, cell 0/3, parts 2/3, people 0/1: the robot touches all but itself, and parts touch
# all but people.
CELL_BITS, PART_BITS, PERSON_BITS, NO_BITS = (0, 3), (2, 3), (0, 1), (0, 0)
FLOOR_PATTERNS = ("floor_plain", "floor_checker", "floor_speckle")
PHYSICS_STEP_S = 0.001
MAX_IMAGE_WIDTH, MAX_IMAGE_HEIGHT = 1280, 960


class PartShape(StrEnum):
    CUBE = "cube"
    BRICK = "brick"
    SLAB = "slab"
    CYLINDER = "cylinder"
    DISC = "disc"


class DistractorKind(StrEnum):
    BOX = "box"
    CART = "cart"
    PILLAR = "pillar"


DISTRACTOR_CYCLE = (DistractorKind.PILLAR, DistractorKind.CART, DistractorKind.BOX)


@dataclass(frozen=True)
class CellSpec:
    """Everything that decides a cell's structure: two cells of one spec differ in numbers only."""

    arm: Arm = Arm.PANDA
    meshes: Meshes = Meshes.COLLISION
    people: int = 3
    parts: int = 6  # the pool; those not in play wait out of sight
    distractors: int = 3
    layout: CellLayout = field(default_factory=CellLayout)


def build_cell(spec: CellSpec) -> mujoco.MjModel:
    """A model of its own for each caller, from a cache of compiled ones."""
    return copy.copy(
        _compiled(
            spec.arm,
            spec.meshes,
            spec.people,
            spec.parts,
            spec.distractors,
            _LayoutKey(spec.layout),
        )
    )


class _LayoutKey:
    """Layouts hold a dict of cameras, so they are cached by their text."""

    def __init__(self, layout: CellLayout) -> None:
        self.layout = layout
        self._text = repr(layout)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _LayoutKey) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@functools.lru_cache(maxsize=8)
def _compiled(
    arm: Arm, meshes: Meshes, people: int, parts: int, distractors: int, key: _LayoutKey
) -> mujoco.MjModel:
    layout = key.layout
    spec = load_arm(arm, meshes)
    _set_options(spec)
    _add_materials(spec)
    _add_room(spec, layout)
    _add_table(spec, layout)
    _add_tub(spec, "bin", layout.bin)
    _add_tub(spec, "tray", layout.tray)
    for index in range(parts):
        _add_part(spec, index)
    for index in range(people):
        _add_person(spec, index)
    for index in range(distractors):
        _add_distractor(spec, index)
    for name, mount in layout.cameras.items():
        _add_camera(spec, name, mount)
    return spec.compile()


def _set_options(spec: mujoco.MjSpec) -> None:
    spec.option.timestep = PHYSICS_STEP_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.iterations = 30
    visual = spec.visual
    visual.global_.offwidth, visual.global_.offheight = MAX_IMAGE_WIDTH, MAX_IMAGE_HEIGHT
    # Round shapes of few faces and no oversampling: a software renderer pays for each.
    visual.quality.numslices, visual.quality.numstacks, visual.quality.numquads = 14, 8, 2
    visual.quality.offsamples = 0
    visual.quality.shadowsize = 0
    visual.headlight.diffuse = [0.0, 0.0, 0.0]
    visual.headlight.specular = [0.0, 0.0, 0.0]
    spec.stat.extent = 2.0  # fixes the clipping planes to 0.05 m and 20 m, whatever the scene holds
    visual.map.znear, visual.map.zfar = 0.025, 10.0
    spec.worldbody.add_light(
        name="key",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=[0, 0, 4],
        dir=[0, 0, -1],
        castshadow=False,
        specular=[0.1, 0.1, 0.1],
    )


def _add_materials(spec: mujoco.MjSpec) -> None:
    spec.add_material(name=FLOOR_PATTERNS[0], specular=0.1, shininess=0.1)
    checker = spec.add_texture(
        name="checker",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=[1.0, 1.0, 1.0],
        rgb2=[0.78, 0.78, 0.78],
        width=64,
        height=64,
    )
    speckle = spec.add_texture(
        name="speckle",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
        mark=mujoco.mjtMark.mjMARK_RANDOM,
        random=0.08,
        rgb1=[1.0, 1.0, 1.0],
        markrgb=[0.55, 0.55, 0.55],
        width=128,
        height=128,
    )
    for name, texture in zip(FLOOR_PATTERNS[1:], (checker, speckle), strict=True):
        material = spec.add_material(name=name, specular=0.1, shininess=0.1, texrepeat=[6, 6])
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = texture.name


def _add_box(
    body: mujoco.MjsBody, name: str, low: list[float], high: list[float], bits: tuple[int, int]
) -> mujoco.MjsGeom:
    low_m, high_m = np.asarray(low), np.asarray(high)
    return body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=(low_m + high_m) / 2,
        size=(high_m - low_m) / 2,
        contype=bits[0],
        conaffinity=bits[1],
        group=Group.CELL,
    )


def _add_room(spec: mujoco.MjSpec, layout: CellLayout) -> None:
    world, room, z = spec.worldbody, layout.room, layout.floor_z_m
    (x0, y0), (x1, y1) = room.min_m, room.max_m
    floor = _add_box(world, "floor", [x0, y0, z - 0.1], [x1, y1, z], CELL_BITS)
    floor.material = FLOOR_PATTERNS[0]
    top = z + 2.6
    _add_box(world, "wall_front", [x1, y0, z], [x1 + 0.1, y1, top], NO_BITS)
    _add_box(world, "wall_right", [x0, y0 - 0.1, z], [x1, y0, top], NO_BITS)
    _add_box(world, "wall_left", [x0, y1, z], [x1, y1 + 0.1, top], NO_BITS)


def _add_table(spec: mujoco.MjSpec, layout: CellLayout) -> None:
    (x0, y0), (x1, y1) = layout.table_min_m, layout.table_max_m
    world = spec.worldbody
    _add_box(world, "table", [x0, y0, -0.04], [x1, y1, -0.002], CELL_BITS)
    inset = 0.06
    _add_box(
        world,
        "table_frame",
        [x0 + inset, y0 + inset, layout.floor_z_m],
        [x1 - inset, y1 - inset, -0.04],
        NO_BITS,
    )


def _add_tub(spec: mujoco.MjSpec, name: str, tub: Tub) -> None:
    body = spec.worldbody.add_body(name=name, pos=[*tub.center_m, 0.0])
    x, y = tub.inner_m[0] / 2, tub.inner_m[1] / 2
    t, h = tub.wall_m, tub.wall_height_m
    _add_box(
        body, f"{name}_floor", [-x - t, -y - t, -0.001], [x + t, y + t, tub.floor_m], CELL_BITS
    )
    _add_box(body, f"{name}_near", [-x - t, -y - t, 0], [-x, y + t, h], CELL_BITS)
    _add_box(body, f"{name}_far", [x, -y - t, 0], [x + t, y + t, h], CELL_BITS)
    _add_box(body, f"{name}_right", [-x, -y - t, 0], [x, -y, h], CELL_BITS)
    _add_box(body, f"{name}_left", [-x, y, 0], [x, y + t, h], CELL_BITS)


def _add_part(spec: mujoco.MjSpec, index: int) -> None:
    """A free body with one geometry, and the weld that stands for a suction cup's hold on it."""
    body = spec.worldbody.add_body(name=f"part{index}", pos=[0.3 * index, 0.0, PARKED_M[2]])
    body.add_freejoint(name=f"part{index}_free")
    body.add_geom(
        name=f"part{index}_geom",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[0.025, 0.025, 0.025],
        density=500.0,
        contype=PART_BITS[0],
        conaffinity=PART_BITS[1],
        group=Group.CELL,
        friction=[0.8, 0.01, 0.001],
    )
    weld = spec.add_equality(
        name=f"hold{index}",
        type=mujoco.mjtEq.mjEQ_WELD,
        name1=TOOL_BODY,
        name2=f"part{index}",
        objtype=mujoco.mjtObj.mjOBJ_BODY,
        active=False,
    )
    weld.solref = [0.004, 1.0]


def _add_person(spec: mujoco.MjSpec, index: int) -> None:
    for limb in LIMBS:
        name = f"person{index}_{limb}"
        body = spec.worldbody.add_body(name=name, mocap=True, pos=PARKED_M)
        round_shape = limb in ELLIPSOIDS
        body.add_geom(
            name=name,
            type=mujoco.mjtGeom.mjGEOM_ELLIPSOID if round_shape else mujoco.mjtGeom.mjGEOM_CAPSULE,
            size=[0.1, 0.1, 0.1] if round_shape else [0.05, 0.1, 0],
            contype=PERSON_BITS[0],
            conaffinity=PERSON_BITS[1],
            group=Group.CELL,
        )


def _add_distractor(spec: mujoco.MjSpec, index: int) -> None:
    """Two geometries each: a pillar's shaft and cap, a cart's bed and handle, a box and its lid."""
    name = f"distractor{index}"
    body = spec.worldbody.add_body(name=name, mocap=True, pos=PARKED_M)
    kind = DISTRACTOR_CYCLE[index % len(DISTRACTOR_CYCLE)]
    pillar = kind is DistractorKind.PILLAR
    for part, offset_m in (("main", 0.1), ("detail", 0.5)):
        body.add_geom(
            name=f"{name}_{part}",
            type=mujoco.mjtGeom.mjGEOM_CYLINDER if pillar else mujoco.mjtGeom.mjGEOM_BOX,
            size=[0.1, 0.1, 0.1],
            # Off the body's own frame, or the compiler would drop the position for good.
            pos=[offset_m, offset_m, offset_m],
            contype=NO_BITS[0],
            conaffinity=NO_BITS[1],
            group=Group.CELL,
        )


def _add_camera(spec: mujoco.MjSpec, name: str, mount: CameraMount) -> None:
    position, rotation = camera_axes(mount)
    # MuJoCo's cameras look along -z with y up; ours look along z with y down.
    turned = rotation @ np.diag([1.0, -1.0, -1.0])
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, turned.flatten())
    spec.worldbody.add_camera(name=name, pos=position, quat=quat, fovy=mount.fovy_deg)


def area_center(area: Rectangle) -> tuple[float, float]:
    return (area.min_m[0] + area.max_m[0]) / 2, (area.min_m[1] + area.max_m[1]) / 2
