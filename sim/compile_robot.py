"""Compiles an arm's MJCF into the rigid-body model of the profile, so that no robot parses XML.

`python -m sim.compile_robot` writes conf/robot/model/<arm>.yaml; a test asserts they are fresh.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from sim.layout import Array
from sim.robot_model import (
    CUP_GEOM,
    CUP_RADIUS_M,
    TOOL_LENGTH_M,
    TOOL_SITE,
    Arm,
    Meshes,
    load_arm,
)

MODEL_FOLDER = Path(__file__).resolve().parents[1] / "conf" / "robot" / "model"
GRAVITY_M_S2 = (0.0, 0.0, -9.81)
SPHERE_TARGET_RADIUS_M = 0.085
MAX_SPHERES_PER_GEOM = 5
DIGITS = 12  # of what was computed; far below any tolerance, and free of the last bit's noise
HEADER = """\
# Rigid-body model of {title}: compiled from the published MJCF with its suction tool by
# `python -m sim.compile_robot`. Do not edit: change the source and compile again.
"""


@dataclass(frozen=True)
class Inertia:
    """Mass, its centre and the tensor about that centre, all in one frame."""

    mass_kg: float
    com_m: Array
    tensor_kgm2: Array


def compile_arm(arm: Arm) -> dict[str, Any]:
    """The `model` section of the control file for one arm."""
    model = load_arm(arm, Meshes.COLLISION).compile()
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    bodies = [int(model.jnt_bodyid[joint]) for joint in range(model.njnt)]
    links = [_link(model, data, joint, bodies) for joint in range(model.njnt)]
    site = model.site(TOOL_SITE).id
    position, quat = _relative(data, bodies[-1], data.site_xpos[site], data.site_xmat[site])
    return {
        "name": str(arm),
        "gravity_m_s2": list(GRAVITY_M_S2),
        "links": links,
        "tool": {"pos_m": _plain(position), "quat_wxyz": _plain(quat)},
        "spheres": _spheres(model, data, bodies),
    }


def _plain(values: Any) -> list[float]:
    return [float(np.round(value, DIGITS)) + 0.0 for value in np.asarray(values).ravel()]


def _frame(data: mujoco.MjData, body: int) -> tuple[Array, Array]:
    return data.xpos[body], data.xmat[body].reshape(3, 3)


def _relative(
    data: mujoco.MjData, body: int, position: Array, rotation: Array
) -> tuple[Array, Array]:
    """A pose of the world seen from a body; the base frame is the world's."""
    origin, axes = _frame(data, body) if body > 0 else (np.zeros(3), np.eye(3))
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, (axes.T @ rotation.reshape(3, 3)).ravel())
    return axes.T @ (position - origin), quat


def _link(
    model: mujoco.MjModel, data: mujoco.MjData, joint: int, bodies: list[int]
) -> dict[str, Any]:
    body = bodies[joint]
    if model.jnt_type[joint] != mujoco.mjtJoint.mjJNT_HINGE or model.jnt_pos[joint].any():
        raise ValueError(
            f"joint {model.joint(joint).name}: only hinges at their body's origin can be compiled"
        )
    before = bodies[joint - 1] if joint else 0
    position, quat = _relative(data, before, *_frame(data, body))
    inertia = _merged_inertia(model, data, body, set(bodies))
    tensor = inertia.tensor_kgm2
    dof = int(model.jnt_dofadr[joint])
    return {
        "name": model.body(body).name,
        "pos_m": _plain(position),
        "quat_wxyz": _plain(quat),
        "axis": _plain(model.jnt_axis[joint]),
        "mass_kg": float(np.round(inertia.mass_kg, DIGITS)),
        "com_m": _plain(inertia.com_m),
        "inertia_kgm2": _plain(
            [*np.diag(tensor), tensor[0, 1], tensor[0, 2], tensor[1, 2]],
        ),
        "armature_kgm2": float(model.dof_armature[dof]),
        "damping_nms_rad": float(model.dof_damping[dof]),
        "friction_nm": float(model.dof_frictionloss[dof]),
    }


def _fixed_to(model: mujoco.MjModel, body: int, moving: set[int]) -> list[int]:
    """The body and all that is bolted to it (hand, tool)."""
    found = [body]
    for other in range(body + 1, model.nbody):
        if other not in moving and int(model.body_parentid[other]) in found:
            found.append(other)
    return found


def _merged_inertia(
    model: mujoco.MjModel, data: mujoco.MjData, body: int, moving: set[int]
) -> Inertia:
    origin, axes = _frame(data, body)
    pieces: list[Inertia] = []
    for other in _fixed_to(model, body, moving):
        turn = axes.T @ data.ximat[other].reshape(3, 3)
        pieces.append(
            Inertia(
                float(model.body_mass[other]),
                axes.T @ (data.xipos[other] - origin),
                turn @ np.diag(model.body_inertia[other]) @ turn.T,
            )
        )
    mass = sum(piece.mass_kg for piece in pieces)
    com = sum((piece.mass_kg * piece.com_m for piece in pieces), np.zeros(3)) / mass
    tensor = np.zeros((3, 3))
    for piece in pieces:
        arm = piece.com_m - com
        tensor += piece.tensor_kgm2 + piece.mass_kg * (arm @ arm * np.eye(3) - np.outer(arm, arm))
    return Inertia(mass, com, tensor)


# Collision spheres


def _spheres(model: mujoco.MjModel, data: mujoco.MjData, bodies: list[int]) -> list[dict[str, Any]]:
    """Spheres that hold every collision hull of the moving links, and the tool up to its rim."""
    spheres: list[dict[str, Any]] = []
    for link, body in enumerate(bodies):
        for other in _fixed_to(model, body, set(bodies)):
            for geom in range(model.ngeom):
                if model.geom_bodyid[geom] != other:
                    continue
                if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
                    points = _to_frame(data, body, geom, _hull_points(model, geom))
                    spheres += [_sphere(link, *ball) for ball in _cover(points)]
                elif model.geom(geom).name == CUP_GEOM:
                    spheres += _tool_spheres(model, data, link, body)
    return spheres


def _sphere(link: int, center: Array, radius: float) -> dict[str, Any]:
    # Rounded up, so that the cover holds in spite of rounding.
    radius_m = float(np.ceil(radius * 1e4) / 1e4)
    return {"link": link, "center_m": [round(float(c), 5) for c in center], "radius_m": radius_m}


def _tool_spheres(
    model: mujoco.MjModel, data: mujoco.MjData, link: int, body: int
) -> list[dict[str, Any]]:
    """Balls a little wider than the cup along the tool; none reaches past the cup's rim."""
    radius = 1.25 * CUP_RADIUS_M
    site = model.site(TOOL_SITE).id
    axis = data.site_xmat[site].reshape(3, 3)[:, 2]
    origin, axes = _frame(data, body)
    count = int(np.ceil(TOOL_LENGTH_M / radius))
    steps = np.linspace(radius, TOOL_LENGTH_M, count)
    centers = [axes.T @ (data.site_xpos[site] - step * axis - origin) for step in steps]
    return [_sphere(link, center, radius) for center in centers]


def _hull_points(model: mujoco.MjModel, geom: int, spacing_m: float = 0.01) -> Array:
    """Points all over the surface of a mesh's convex hull, at most a spacing apart."""
    mesh = int(model.geom_dataid[geom])
    start = int(model.mesh_vertadr[mesh])
    vertices = model.mesh_vert[start : start + int(model.mesh_vertnum[mesh])].astype(np.float64)
    graph = model.mesh_graph[int(model.mesh_graphadr[mesh]) :]
    corners, faces = int(graph[0]), int(graph[1])
    used = graph[2 + corners : 2 + 2 * corners]
    first = 2 + 3 * corners + 3 * faces
    triangles = graph[first : first + 3 * faces].reshape(-1, 3)
    points = [vertices[used]]
    for a, b, c in vertices[triangles]:
        longest = max(np.linalg.norm(b - a), np.linalg.norm(c - a), np.linalg.norm(c - b))
        count = max(1, int(np.ceil(longest / spacing_m)))
        u, v = np.meshgrid(np.arange(count + 1), np.arange(count + 1))
        inside = u + v <= count
        weights = np.stack([u[inside], v[inside]], axis=1) / count
        points.append(a + weights[:, :1] * (b - a) + weights[:, 1:] * (c - a))
    return np.vstack(points)


def _to_frame(data: mujoco.MjData, body: int, geom: int, points: Array) -> Array:
    origin, axes = _frame(data, body)
    world = data.geom_xpos[geom] + points @ data.geom_xmat[geom].reshape(3, 3).T
    return (world - origin) @ axes


def _cover(points: Array) -> list[tuple[Array, float]]:
    """As few balls as keep below the target radius, side by side along the longest direction."""
    centered = points - points.mean(axis=0)
    axis = np.linalg.svd(centered, full_matrices=False)[2][0]
    along = centered @ axis
    balls: list[tuple[Array, float]] = []
    for count in range(1, MAX_SPHERES_PER_GEOM + 1):
        edges = np.linspace(along.min(), along.max(), count + 1)
        which = np.clip(np.searchsorted(edges, along, side="right") - 1, 0, count - 1)
        balls = [_enclosing_ball(points[which == i]) for i in range(count) if (which == i).any()]
        if max(radius for _, radius in balls) <= SPHERE_TARGET_RADIUS_M:
            break
    return balls


def _enclosing_ball(points: Array, rounds: int = 400) -> tuple[Array, float]:
    """Nearly the smallest ball around points: walk towards the farthest, in ever smaller steps."""
    center = (points.min(axis=0) + points.max(axis=0)) / 2
    for turn in range(1, rounds + 1):
        far = points[np.argmax(((points - center) ** 2).sum(axis=1))]
        center = center + (far - center) / (turn + 1) * 0.5
    return center, float(np.sqrt(((points - center) ** 2).sum(axis=1).max()))


# Files


def to_yaml(model: dict[str, Any]) -> str:
    """YAML in flow style below the second level: one line a link property, one line a sphere."""
    lines = [HEADER.format(title=model["name"]).rstrip(), f"name: {model['name']}"]
    lines.append(f"gravity_m_s2: {_flow(model['gravity_m_s2'])}")
    lines.append("links:")
    for link in model["links"]:
        for index, (key, value) in enumerate(link.items()):
            lines.append(f"  {'- ' if index == 0 else '  '}{key}: {_flow(value)}")
    lines.append("tool:")
    lines += [f"  {key}: {_flow(value)}" for key, value in model["tool"].items()]
    lines.append("spheres:")
    for sphere in model["spheres"]:
        inner = ", ".join(f"{key}: {_flow(value)}" for key, value in sphere.items())
        lines.append(f"  - {{{inner}}}")
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if isinstance(value, float):
        return _number(value)
    return str(value)


def _number(value: float) -> str:
    """A float as YAML 1.1 reads it back exactly (an exponent needs a dot there)."""
    text = repr(value)
    mantissa, exponent, power = text.partition("e")
    return text if not exponent or "." in mantissa else f"{mantissa}.0e{power}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sim.compile_robot", description=__doc__)
    parser.add_argument("--folder", type=Path, default=MODEL_FOLDER)
    folder: Path = parser.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    for arm in Arm:
        model = compile_arm(arm)
        path = folder / f"{arm}.yaml"
        path.write_text(to_yaml(model), encoding="utf-8")
        count = len(model["spheres"])
        sys.stdout.write(f"{path}: {len(model['links'])} links, {count} spheres\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
