"""Writes what an arm's drives and brakes are for the plant that does not read the MJCF.

`python -m sim.compile_drives` writes sim/dynamics/drives.json; a test asserts that it is fresh.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sim.robot_model import ARMS, Arm, Meshes, load_arm

DRIVES = Path(__file__).resolve().parent / "dynamics" / "drives.json"


def drives_of(arm: Arm) -> dict[str, list[float]]:
    """One value per joint, from the base to the tool."""
    facts = ARMS[arm]
    model = load_arm(arm, Meshes.COLLISION).compile()
    return {
        "stiffness_nm_rad": [float(value) for value in facts.stiffness_nm_rad],
        "damping_nms_rad": [float(value) for value in facts.damping_nms_rad],
        "brake_nm": [float(value) for value in facts.brake_nm],
        "limit_nm": [float(value) for value in model.actuator_forcerange[:, 1]],
    }


def drives_text() -> str:
    rows = (f'  "{arm}": {json.dumps(drives_of(arm))}' for arm in Arm)
    return "{\n" + ",\n".join(rows) + "\n}\n"


if __name__ == "__main__":
    DRIVES.write_text(drives_text(), encoding="utf-8")
    sys.stdout.write(f"wrote {DRIVES}\n")
