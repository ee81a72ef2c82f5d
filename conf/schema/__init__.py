"""The one declaration of every setting: type, unit, range, reason, safe direction.

`Config` is what a robot is. It is made by `conf.load.compose` from YAML, or read back from a
profile by `conf.profile.read_profile`; both give the same frozen value.
"""

from typing import Annotated, Final

from pydantic import Field

from conf.schema.alerts import Alerts
from conf.schema.base import Model, setting
from conf.schema.facility import Facility
from conf.schema.hardware import Hardware
from conf.schema.modes import Modes
from conf.schema.ota import Ota
from conf.schema.perception import Perception
from conf.schema.policy import Policy
from conf.schema.robot import Robot
from conf.schema.telemetry import Telemetry
from conf.schema.unit import RobotUnit

__all__ = ["HASHED_SECTIONS", "Config", "Hash"]

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ArtifactName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$")]

HASHED_SECTIONS: Final = (
    "alerts",
    "facility",
    "hardware",
    "modes",
    "ota",
    "perception",
    "policy",
    "robot",
    "telemetry",
)
"""What the config hash covers. `unit` has its own hash: robots of one profile share the first."""


class Config(Model):
    hardware: Hardware = setting("the board")
    facility: Facility = setting("the site")
    robot: Robot = setting("the arm and its cell")
    perception: Perception = setting("the cascade")
    policy: Policy = setting("what moves the arm")
    modes: Modes = setting("degradation")
    telemetry: Telemetry = setting("spool and uplink")
    alerts: Alerts = setting("alert rules")
    ota: Ota = setting("updates")
    unit: RobotUnit = setting("this one robot")
    artifact_name: ArtifactName = setting("Mender Artifact the robot runs", default="dev")
    config_hash: Hash = setting("sha256 of the canonical profile, without the unit")
    unit_hash: Hash = setting("sha256 of the canonical unit section")

    @property
    def robot_id(self) -> str:
        return self.unit.robot_id
