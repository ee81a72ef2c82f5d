"""manifest.yaml of a skill: what it is, which arm it drives, what it needs, what it promises."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runtime.skills.refusal import RefusalReason, refuse

MANIFEST_FILE = "manifest.yaml"
MAX_MANIFEST_BYTES = 64 * 1024

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Precondition(StrEnum):
    GRIPPER_EMPTY = "gripper_empty"
    TARGET_VISIBLE = "target_visible"
    WORKSPACE_CLEAR = "workspace_clear"


class Postcondition(StrEnum):
    GRIPPER_EMPTY = "gripper_empty"
    ARM_AT_HOME = "arm_at_home"


class ModelFile(Strict):
    """One network of the skill and the shapes it must have; other shapes are refused."""

    file: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}\.onnx$")]
    observation_size: Annotated[int, Field(ge=1, le=4096)]
    chunk_steps: Annotated[int, Field(ge=1, le=256)]
    joints: Annotated[int, Field(ge=1, le=8)]


class SkillLimits(Strict):
    """Narrower than the robot's own limits, never wider: the tighter of the two holds."""

    joint_velocity_rad_s: Positive
    joint_acceleration_rad_s2: Positive
    task_timeout_s: Annotated[float, Field(gt=0.0, le=600.0, allow_inf_nan=False)]


class SkillManifest(Strict):
    format: Literal[1]
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    version: Annotated[str, Field(pattern=r"^\d{1,6}\.\d{1,6}\.\d{1,6}$")]
    arm: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")]
    description: Annotated[str, Field(min_length=1, max_length=2000)]
    policy: ModelFile
    backup: ModelFile | None
    execute_steps: Annotated[int, Field(ge=1, le=256)]
    home_rad: tuple[Annotated[float, Field(allow_inf_nan=False)], ...]
    limits: SkillLimits
    preconditions: tuple[Precondition, ...]
    postconditions: tuple[Postcondition, ...]
    card: Literal["card.yaml"]


def parse_manifest(content: bytes, where: Path) -> SkillManifest:
    if len(content) > MAX_MANIFEST_BYTES:
        raise refuse(
            RefusalReason.TOO_LARGE,
            where,
            got=f"{len(content)} bytes",
            allowed=f"at most {MAX_MANIFEST_BYTES} bytes",
            attempt="move prose into card.yaml",
        )
    try:
        return SkillManifest.model_validate(yaml.safe_load(content))
    except (yaml.YAMLError, ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise refuse(
            RefusalReason.MANIFEST_WRONG,
            where,
            got=_first_problem(error),
            allowed="the fields of runtime/skills/manifest.py, no others",
            attempt="bedplate skills pack writes a manifest that fits",
        ) from error


def _first_problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_input=False)
        path = ".".join(str(part) for part in found[0]["loc"]) or "(whole file)"
        rest = f" and {len(found) - 1} more" if len(found) > 1 else ""
        return f"{path}: {found[0]['msg']}{rest}"
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
