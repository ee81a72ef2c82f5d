"""A published arm (robosuite's MJCF, never its Python) with drives, rotors and a suction tool."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import mujoco

HAND_BODY = "right_hand"
TOOL_BODY = "suction_tool"
TOOL_SITE = "suction_tip"
CUP_GEOM = "suction_cup"
TUBE_LENGTH_M = 0.11
TUBE_RADIUS_M = 0.012
CUP_LENGTH_M = 0.02
CUP_RADIUS_M = 0.018
TOOL_MASS_KG = 0.30
BRAKE_SOLREF = (0.002, 1.0)
BRAKE_SOLIMP = (0.9999, 0.9999, 0.001, 0.5, 2.0)
TOOL_LENGTH_M = TUBE_LENGTH_M + CUP_LENGTH_M


class Arm(StrEnum):
    PANDA = "panda"
    UR5E = "ur5e"


class Meshes(StrEnum):
    """Collision meshes are what a CPU renders at 30 Hz; the visual ones are ten times as heavy."""

    COLLISION = "collision"
    VISUAL = "visual"


class Group:
    """MuJoCo geometry groups; both kinds of robot mesh at once would flicker through each other."""

    ROBOT_COLLISION = 0
    ROBOT_VISUAL = 1
    CELL = 2


@dataclass(frozen=True)
class ArmFacts:
    """What the MJCF does not say about an arm: its drives. One value per joint."""

    home_rad: tuple[float, ...]
    stiffness_nm_rad: tuple[float, ...]
    damping_nms_rad: tuple[float, ...]
    armature_kgm2: tuple[float, ...]
    brake_nm: tuple[float, ...]
    color: tuple[float, float, float]


ARMS: dict[Arm, ArmFacts] = {
    Arm.PANDA: ArmFacts(
        home_rad=(0.0, -0.9, 0.0, -2.52, 0.0, 1.62, 0.785),
        stiffness_nm_rad=(4000, 4000, 3000, 3000, 1500, 1000, 600),
        damping_nms_rad=(200, 200, 120, 120, 50, 40, 25),
        armature_kgm2=(0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05),
        brake_nm=(120, 120, 120, 120, 60, 30, 30),
        color=(0.88, 0.89, 0.90),
    ),
    Arm.UR5E: ArmFacts(
        home_rad=(-0.5, -2.13, 1.81, -1.25, -1.5708, 0.0),
        stiffness_nm_rad=(6000, 6000, 4000, 900, 900, 500),
        damping_nms_rad=(320, 320, 180, 35, 35, 18),
        armature_kgm2=(0.2, 0.2, 0.2, 0.05, 0.05, 0.05),
        brake_nm=(220, 220, 220, 50, 50, 50),
        color=(0.62, 0.68, 0.74),
    ),
}


def assets_folder() -> Path:
    """The folder of robosuite's robot files, found without importing robosuite."""
    spec = importlib.util.find_spec("robosuite")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "sim/robot_model.py: package robosuite is not installed, so no robot can be loaded; "
            "try  uv sync --group sim"
        )
    return Path(spec.submodule_search_locations[0]) / "models" / "assets" / "robots"


def load_arm(arm: Arm, meshes: Meshes) -> mujoco.MjSpec:
    """The arm at the world's origin with its tool, drives and brakes; no cell around it."""
    spec = mujoco.MjSpec.from_file(str(assets_folder() / arm / "robot.xml"))
    facts = ARMS[arm]
    _strip(spec, meshes)
    _prepare_geoms(spec, facts)
    _add_tool(spec)
    _replace_drives(spec, facts)
    return spec


def joint_names(spec: mujoco.MjSpec) -> list[str]:
    """Names of the arm's joints, from base to tool."""
    return [joint.name for joint in spec.joints]


def _strip(spec: mujoco.MjSpec, meshes: Meshes) -> None:
    """Remove the vendor's cameras and, for light models, the visual meshes and their files."""
    for camera in list(spec.cameras):
        spec.delete(camera)
    if meshes is Meshes.VISUAL:
        return
    for geom in list(spec.geoms):
        if geom.group == Group.ROBOT_VISUAL:
            spec.delete(geom)
    used = {geom.meshname for geom in spec.geoms}
    for mesh in list(spec.meshes):
        if mesh.name not in used:
            spec.delete(mesh)


def _prepare_geoms(spec: mujoco.MjSpec, facts: ArmFacts) -> None:
    for mesh in spec.meshes:
        mesh.maxhullvert = (
            32  # collision hulls stay light; contacts with a hull of 300 faces gain nothing
        )
    fixed = {body.name for body in spec.bodies if not _moves(body)}
    for geom in spec.geoms:
        if geom.group == Group.ROBOT_VISUAL:
            continue
        geom.rgba = [*facts.color, 1.0]
        # Robot against everything but itself and, for the bolted-down base, against nothing.
        geom.contype = 0 if geom.parent.name in fixed else 1
        geom.conaffinity = 0


def _moves(body: mujoco.MjsBody) -> bool:
    while body is not None and body.name != "world":
        if body.joints:
            return True
        body = body.parent
    return False


def _add_tool(spec: mujoco.MjSpec) -> None:
    """A suction tube and cup along the hand's z axis; the site's z axis points out of the cup."""
    tool = spec.body(HAND_BODY).add_body(name=TOOL_BODY)
    tool.add_geom(
        name="suction_tube",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[TUBE_RADIUS_M, TUBE_LENGTH_M / 2, 0],
        pos=[0, 0, TUBE_LENGTH_M / 2],
        mass=TOOL_MASS_KG * 0.9,
        rgba=[0.15, 0.15, 0.17, 1],
        contype=1,
        conaffinity=0,
        group=Group.CELL,
    )
    tool.add_geom(
        name=CUP_GEOM,
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[CUP_RADIUS_M, CUP_LENGTH_M / 2, 0],
        pos=[0, 0, TUBE_LENGTH_M + CUP_LENGTH_M / 2],
        mass=TOOL_MASS_KG * 0.1,
        rgba=[0.75, 0.25, 0.1, 1],
        contype=1,
        conaffinity=0,
        group=Group.CELL,
        solref=[0.008, 1.0],  # a cup of rubber gives a little
    )
    tool.add_site(name=TOOL_SITE, pos=[0, 0, TOOL_LENGTH_M], size=[0.004, 0.004, 0.004], group=5)


def _replace_drives(spec: mujoco.MjSpec, facts: ArmFacts) -> None:
    """Torque motors become drives: kp (q_des - q) + kd (qd_des - qd) + tau_ff, within the limit.

    The control input carries the three wanted terms, so that damping is integrated implicitly.
    """
    limits = {actuator.target: float(actuator.ctrlrange[1]) for actuator in spec.actuators}
    for actuator in list(spec.actuators):
        spec.delete(actuator)
    for index, joint in enumerate(spec.joints):
        joint.armature = facts.armature_kgm2[index]
        # Closed brakes are dry friction; soft friction would let the arm creep down.
        joint.solref_friction, joint.solimp_friction = BRAKE_SOLREF, BRAKE_SOLIMP
        kp, kd = facts.stiffness_nm_rad[index], facts.damping_nms_rad[index]
        spec.add_actuator(
            name=f"drive{index + 1}",
            target=joint.name,
            trntype=mujoco.mjtTrn.mjTRN_JOINT,
            gaintype=mujoco.mjtGain.mjGAIN_FIXED,
            biastype=mujoco.mjtBias.mjBIAS_AFFINE,
            gainprm=[1.0, *[0.0] * 9],
            biasprm=[0.0, -kp, -kd, *[0.0] * 7],
            forcelimited=True,
            forcerange=[-limits[joint.name], limits[joint.name]],
        )
