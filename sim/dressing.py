"""Gives a compiled cell its sizes, shapes and colours for one seed, without compiling anew."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from sim.appearance import (
    RANGES,
    PersonLook,
    Rgb,
    RoomLook,
    Style,
    draw,
    draw_color,
    draw_person,
    draw_room,
)
from sim.cell import DISTRACTOR_CYCLE, FLOOR_PATTERNS, CellSpec, DistractorKind, PartShape
from sim.layout import Array
from sim.people import LIMBS, limb_color, limb_sizes

PART_DENSITY_KG_M3 = 500.0
# Half sizes of boxes, or radius and half height of round parts, before scaling.
PART_SIZES: dict[PartShape, tuple[float, float, float]] = {
    PartShape.CUBE: (0.025, 0.025, 0.025),
    PartShape.BRICK: (0.038, 0.022, 0.022),
    PartShape.SLAB: (0.035, 0.030, 0.013),
    PartShape.CYLINDER: (0.025, 0.027, 0.0),
    PartShape.DISC: (0.032, 0.011, 0.0),
}
ROUND_PARTS = {PartShape.CYLINDER, PartShape.DISC}


@dataclass(frozen=True)
class PartLook:
    shape: PartShape
    scale: float
    color: Rgb

    @property
    def size(self) -> Array:
        return np.array(PART_SIZES[self.shape]) * self.scale

    @property
    def half_height_m(self) -> float:
        return float(self.size[1] if self.shape in ROUND_PARTS else self.size[2])

    @property
    def reach_m(self) -> float:
        """Radius of the circle around its outline, seen from above."""
        size = self.size
        return float(size[0] if self.shape in ROUND_PARTS else np.hypot(size[0], size[1]))


@dataclass(frozen=True)
class DistractorLook:
    kind: DistractorKind
    half_m: tuple[float, float, float]
    main: Rgb
    detail: Rgb


@dataclass(frozen=True)
class Look:
    """All that a seed decides about a cell's appearance."""

    room: RoomLook
    people: list[PersonLook]
    parts: list[PartLook]
    distractors: list[DistractorLook]


def draw_look(rng: np.random.Generator, style: Style, spec: CellSpec) -> Look:
    return Look(
        room=draw_room(rng, style, len(FLOOR_PATTERNS)),
        people=[draw_person(rng, style) for _ in range(spec.people)],
        parts=[_draw_part(rng, style) for _ in range(spec.parts)],
        distractors=[_draw_distractor(rng, style, i) for i in range(spec.distractors)],
    )


def _draw_part(rng: np.random.Generator, style: Style) -> PartLook:
    shapes = tuple(PartShape)
    ranges = RANGES[style]
    return PartLook(
        shape=shapes[int(rng.integers(len(shapes)))],
        scale=draw(rng, ranges.part_scale),
        color=draw_color(rng, ranges, grey_share=0.15),
    )


def _draw_distractor(rng: np.random.Generator, style: Style, index: int) -> DistractorLook:
    kind = DISTRACTOR_CYCLE[index % len(DISTRACTOR_CYCLE)]
    match kind:
        case DistractorKind.PILLAR:
            radius = float(rng.uniform(0.08, 0.22))
            half = (radius, radius, float(rng.uniform(0.6, 1.1)))
        case DistractorKind.CART:
            half = (
                float(rng.uniform(0.25, 0.40)),
                float(rng.uniform(0.18, 0.30)),
                float(rng.uniform(0.20, 0.45)),
            )
        case DistractorKind.BOX:
            low, high = (0.15, 0.15, 0.15), (0.4, 0.4, 0.9)
            x, y, z = rng.uniform(low, high)
            half = (float(x), float(y), float(z))
    ranges = RANGES[style]
    return DistractorLook(kind, half, draw_color(rng, ranges), draw_color(rng, ranges))


def apply_look(model: mujoco.MjModel, look: Look) -> None:
    _apply_room(model, look.room)
    for index, person in enumerate(look.people):
        sizes = limb_sizes(person)
        for limb in LIMBS:
            geom = model.geom(f"person{index}_{limb}").id
            _resize(model, geom, sizes[limb])
            _paint(model, geom, limb_color(person, limb))
    for index, part in enumerate(look.parts):
        _apply_part(model, index, part)
    for index, distractor in enumerate(look.distractors):
        _apply_distractor(model, index, distractor)
    mujoco.mj_setConst(model, mujoco.MjData(model))


def _paint(model: mujoco.MjModel, geom: int, color: Rgb) -> None:
    model.geom_rgba[geom] = [*color, 1.0]


def _resize(model: mujoco.MjModel, geom: int, size: Array) -> None:
    """A geometry's size together with the bounds that rendering and collision cull by."""
    model.geom_size[geom] = size
    half = np.array(size, dtype=np.float64)
    kind = model.geom_type[geom]
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        half = np.array([size[0], size[0], size[1]])
    elif kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        half = np.array([size[0], size[0], size[1] + size[0]])
    model.geom_aabb[geom] = [0.0, 0.0, 0.0, *half]
    round_kinds = (mujoco.mjtGeom.mjGEOM_ELLIPSOID, mujoco.mjtGeom.mjGEOM_CAPSULE)
    model.geom_rbound[geom] = half.max() if kind in round_kinds else np.linalg.norm(half)


def _apply_room(model: mujoco.MjModel, room: RoomLook) -> None:
    floor = model.geom("floor").id
    material = model.material(FLOOR_PATTERNS[room.pattern]).id
    model.geom_matid[floor] = material
    model.mat_rgba[material] = [*room.floor, 1.0]
    _paint(model, floor, room.floor)
    for name in ("wall_front", "wall_right", "wall_left"):
        _paint(model, model.geom(name).id, room.wall)
    _paint(model, model.geom("table").id, room.table)
    red, green, blue = (0.6 * value for value in room.table)
    _paint(model, model.geom("table_frame").id, (red, green, blue))
    for tub, color in (("bin", room.bin), ("tray", room.tray)):
        for side in ("floor", "near", "far", "right", "left"):
            _paint(model, model.geom(f"{tub}_{side}").id, color)
    level = np.cos(room.elevation_rad)
    model.light_dir[0] = [
        level * np.cos(room.azimuth_rad),
        level * np.sin(room.azimuth_rad),
        -np.sin(room.elevation_rad),
    ]
    model.light_diffuse[0] = room.light
    model.vis.headlight.ambient[:] = room.ambient
    # A faint light from the camera, so that what faces away from the lamp keeps some shape.
    model.vis.headlight.diffuse[:] = 0.25


def _apply_part(model: mujoco.MjModel, index: int, part: PartLook) -> None:
    geom, body = model.geom(f"part{index}_geom").id, model.body(f"part{index}").id
    size = part.size
    is_round = part.shape in ROUND_PARTS
    model.geom_type[geom] = (
        mujoco.mjtGeom.mjGEOM_CYLINDER if is_round else mujoco.mjtGeom.mjGEOM_BOX
    )
    _resize(model, geom, size)
    _paint(model, geom, part.color)
    if is_round:
        radius, half = size[0], size[1]
        mass = PART_DENSITY_KG_M3 * np.pi * radius**2 * 2 * half
        side = mass * (3 * radius**2 + (2 * half) ** 2) / 12
        inertia = [side, side, mass * radius**2 / 2]
    else:
        mass = PART_DENSITY_KG_M3 * 8 * float(np.prod(size))
        x, y, z = (2 * size) ** 2
        inertia = [mass * (y + z) / 12, mass * (x + z) / 12, mass * (x + y) / 12]
    model.body_mass[body] = mass
    model.body_inertia[body] = inertia


def _apply_distractor(model: mujoco.MjModel, index: int, look: DistractorLook) -> None:
    main, detail = (model.geom(f"distractor{index}_{part}").id for part in ("main", "detail"))
    x, y, z = look.half_m
    match look.kind:
        case DistractorKind.PILLAR:
            main_size, main_pos = [x, z, 0], [0, 0, z]
            detail_size, detail_pos = [1.25 * x, 0.04, 0], [0, 0, 2 * z]
        case DistractorKind.CART:
            main_size, main_pos = [x, y, z / 2], [0, 0, z]
            detail_size, detail_pos = [0.02, y, 0.35], [-x, 0, z + 0.35]
        case DistractorKind.BOX:
            main_size, main_pos = [x, y, z], [0, 0, z]
            detail_size, detail_pos = [0.8 * x, 0.8 * y, 0.03], [0, 0, 2 * z + 0.03]
    for geom, size, pos, color in (
        (main, main_size, main_pos, look.main),
        (detail, detail_size, detail_pos, look.detail),
    ):
        _resize(model, geom, np.array(size, dtype=np.float64))
        model.geom_pos[geom] = pos
        _paint(model, geom, color)
