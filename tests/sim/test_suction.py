"""What a healthy grip reads, beside what is called too high or too low."""

import re
from pathlib import Path

import pytest

import sim.suction
from conf.load import compose, options_of
from sim.suction import GRIP_PRESSURE_KPA, LINE_PRESSURE_KPA


@pytest.mark.parametrize("facility", options_of("facility"))
def test_a_part_that_is_carried_well_asks_for_nobody(facility: str) -> None:
    config = compose(facility=facility).config
    rule = config.alerts.rules["gripper_pressure"]
    assert rule.clear is not None
    assert rule.clear * config.alerts.gripper_full_kpa > LINE_PRESSURE_KPA
    assert config.modes.health["gripper_pressure"].warn > LINE_PRESSURE_KPA
    assert GRIP_PRESSURE_KPA < config.robot.gripper.pressure_holding_kpa < LINE_PRESSURE_KPA


def test_the_plant_without_physics_has_the_same_pump() -> None:
    rust = Path(sim.suction.__file__).with_name("dynamics") / "src/suction.rs"
    stated = dict(re.findall(r"^const (\w+_(?:KPA|S)): f64 = ([\d.]+);", rust.read_text(), re.M))
    assert len(stated) == 5
    assert {name: float(value) for name, value in stated.items()} == {
        name: getattr(sim.suction, name) for name in stated
    }
