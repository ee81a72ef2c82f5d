"""The shipped safety model of an arm: refused when it is not what its card says."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runtime.safety.features import Array, input_size, output_size
from runtime.safety.monitor import Calibration, Predict
from runtime.skills.verify import open_session

# Beside the program, as the image installs it.
MODEL_FOLDER = Path(__file__).resolve().parents[2] / "models" / "safety"
INPUT, OUTPUT = "command", "expected"

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class CalibrationCard(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    scale_free: tuple[Positive, ...]
    scale_touching: tuple[Positive, ...]
    restrict_above: Positive
    veto_above: Positive


class NetworkCard(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    file: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}\.onnx$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class SafetyCard(BaseModel):
    """The part of card.yaml that the robot acts on."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    network: NetworkCard
    calibration: CalibrationCard


class SafetyModelError(ValueError):
    """The model cannot be used: no verdicts, so Tier 1 keeps the arm slow."""


@dataclass(frozen=True)
class SafetyModel:
    predict: Predict
    calibration: Calibration
    digest: str


def load_model(name: str, arm: str, joints: int, folder: Path = MODEL_FOLDER) -> SafetyModel:
    home = folder / arm
    try:
        card = SafetyCard.model_validate(yaml.safe_load((home / f"{name}.yaml").read_bytes()))
        content = (home / card.network.file).read_bytes()
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise _unusable(home, name, f"{type(error).__name__}: {str(error)[:200]}") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != card.network.sha256:
        raise _unusable(home, name, f"{card.network.file} of sha256 {digest[:16]}…")
    scales = card.calibration.scale_free, card.calibration.scale_touching
    if any(len(scale) != output_size(joints) for scale in scales):
        raise _unusable(home, name, f"scales of {len(scales[0])} and {len(scales[1])} numbers")
    predict = _make_predict(content, joints, home, name)
    return SafetyModel(predict, calibration_of(card.calibration), digest)


def calibration_of(card: CalibrationCard) -> Calibration:
    return Calibration(
        scale_free=np.array(card.scale_free),
        scale_touching=np.array(card.scale_touching),
        restrict_above=card.restrict_above,
        veto_above=card.veto_above,
    )


def _make_predict(content: bytes, joints: int, home: Path, name: str) -> Predict:
    def predict(features: Array) -> Array:
        feed = {INPUT: features.astype(np.float32)[None]}
        return np.asarray(session.run([OUTPUT], feed)[0], np.float64)[0]

    try:
        session = open_session(content)
        found = predict(np.zeros(input_size(joints)))
    except Exception as error:
        raise _unusable(home, name, f"{type(error).__name__}: {str(error)[:200]}") from error
    if found.shape != (output_size(joints),) or not np.all(np.isfinite(found)):
        raise _unusable(home, name, f"an answer of shape {found.shape}")
    return predict


def _unusable(home: Path, name: str, got: str) -> SafetyModelError:
    return SafetyModelError(
        f"{home / name}.yaml  safety model\n"
        f"  got {got}, must be a network with the hash and sizes its card states\n"
        "  because a verdict by another model says nothing about this arm; without a verdict the"
        " arm stays slow\n"
        "  try  python -m models.safety.train, or restore both files"
    )
