"""Where the published arms' motors clip, and what the profile says they may give."""

import pytest

from conf.load import compose
from sim.robot_model import Arm, Meshes, load_arm

FACILITIES = {Arm.PANDA: "osaka", Arm.UR5E: "gdansk"}
# Joint → (the profile's effort_nm, the model's limit); conf/robot/panda.yaml says why.
DIFFERENCES = {
    Arm.PANDA: {
        "j1": (87.0, 80.0),
        "j2": (87.0, 80.0),
        "j3": (87.0, 80.0),
        "j4": (87.0, 80.0),
        "j5": (12.0, 80.0),
    },
    Arm.UR5E: {},
}


@pytest.mark.parametrize("arm", list(Arm))
def test_profile_and_simulated_drives_differ_where_it_is_written_and_nowhere_else(arm: Arm) -> None:
    joints = compose(facility=FACILITIES[arm]).config.robot.limits.joints
    drives = load_arm(arm, Meshes.COLLISION).compile().actuator_forcerange[:, 1]
    pairs = {
        name: (joint.effort_nm, float(drive))
        for (name, joint), drive in zip(joints.items(), drives, strict=True)
    }
    found = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    assert found == DIFFERENCES[arm]
