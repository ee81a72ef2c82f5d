"""The shipped skill: `python -m models.policy.bundle --arm panda --key KEY --out FILE.skill`."""

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from models.policy.card import CARD_FILE, arm_folder
from models.policy.law import CHUNK_STEPS, EXECUTE_STEPS, Law
from runtime.policy.observation import observation_size
from runtime.skills.cli import pack_folder, write_manifest
from runtime.skills.manifest import MANIFEST_FILE, Postcondition, Precondition
from sim.robot_model import ARMS, Arm

VERSION = "1.0.0"
TASK_TIMEOUT_S = 20.0
# The networks answer up to 5 % above the expert's speed.
VELOCITY_HEADROOM = 1.1


def manifest_of(arm: Arm) -> dict[str, Any]:
    home = ARMS[arm].home_rad
    law = Law()
    return {
        "format": 1,
        "name": "pick_place",
        "version": VERSION,
        "arm": arm.value,
        "description": "Picks a detected part with a suction cup and places it where it is told.",
        "policy": _model("primary.onnx", len(home)),
        "backup": _model("backup.onnx", len(home)),
        "execute_steps": EXECUTE_STEPS,
        "home_rad": list(home),
        "limits": {
            "joint_velocity_rad_s": law.joint_velocity_rad_s * VELOCITY_HEADROOM,
            "joint_acceleration_rad_s2": law.joint_acceleration_rad_s2,
            "task_timeout_s": TASK_TIMEOUT_S,
        },
        "preconditions": [rule.value for rule in Precondition],
        "postconditions": [rule.value for rule in Postcondition],
        "card": CARD_FILE,
    }


def bundle(arm: Arm, key: Path, out: Path) -> str:
    """Write the signed archive and return its digest."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in ("primary.onnx", "backup.onnx", CARD_FILE):
            shutil.copyfile(arm_folder(arm.value) / file, folder / file)
        write_manifest(folder / MANIFEST_FILE, manifest_of(arm))
        return pack_folder(folder, key, out)


def _model(file: str, joints: int) -> dict[str, Any]:
    return {
        "file": file,
        "observation_size": observation_size(joints),
        "chunk_steps": CHUNK_STEPS,
        "joints": joints,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models.policy.bundle", description=__doc__)
    parser.add_argument("--arm", type=Arm, choices=list(Arm), required=True)
    parser.add_argument("--key", type=Path, required=True, help="ed25519 private key (PEM)")
    parser.add_argument("--out", type=Path, required=True, help="the .skill archive to write")
    arguments = parser.parse_args()
    digest = bundle(arguments.arm, arguments.key, arguments.out)
    print(f"{arguments.out}: {manifest_of(arguments.arm)['name']} {VERSION}, digest {digest[:12]}")


if __name__ == "__main__":
    main()
