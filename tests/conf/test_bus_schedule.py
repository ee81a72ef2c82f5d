"""The configuration and Tier 1 count the wire alike, and refuse the same bus schedules.

`bedplate config check` runs where no Tier 1 is built, so both have the arithmetic; this holds
them together. Tier 1 speaks through `controld --check`, whole microseconds at a time.
"""

import math
import random
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conf import canbus
from conf.canbus import Bus
from conf.checks.board import check_can
from conf.control import write_control
from conf.load import compose
from conf.schema import Config
from conf.schema.hardware import Cia402Actuation

BINARY = Path("runtime/controld/target/bin/controld").resolve()
Ask = Callable[[Config], tuple[bool, int, int]]
VERDICT = re.compile(r"(\d+) frames take (\d+) us, (\d+) % of the cycle")
BITRATES = (125_000, 250_000, 500_000, 800_000, 1_000_000)
TIER_1_LOAD_MAX = 0.9
DATA_BITRATES = (1_000_000, 2_000_000, 4_000_000, 5_000_000, 8_000_000)


@pytest.fixture(scope="module", params=["osaka", "gdansk"])
def on_a_bus(request: pytest.FixtureRequest) -> Config:
    """Seven axes, and six."""
    return compose(hardware="jetson_agx_orin", facility=request.param).config


@pytest.fixture
def tier_1(tmp_path: Path) -> Ask:
    """Asks Tier 1 about a configuration: whether it fits, and what it counted."""
    if not BINARY.exists():
        pytest.skip("controld is not built: run runtime/controld/build.sh")

    def ask(config: Config) -> tuple[bool, int, int]:
        write_control(config, tmp_path / "control.json")
        ran = subprocess.run(
            [BINARY, "--check", tmp_path / "control.json"],
            capture_output=True,
            text=True,
            check=False,
        )
        counted = VERDICT.search(ran.stdout + ran.stderr)
        assert counted, f"controld --check said {ran.stdout}{ran.stderr}"
        return ran.returncode == 0, int(counted[2]), int(counted[3])

    return ask


def with_bus(config: Config, bus: Bus, period_us: int) -> Config:
    assert isinstance(config.hardware.actuation, Cia402Actuation)
    actuation = config.hardware.actuation.model_copy(
        update={
            "fd": bus.fd,
            "bitrate_bps": bus.bitrate_bps,
            "data_bitrate_bps": bus.data_bitrate_bps,
        }
    )
    control = config.hardware.control.model_copy(update={"period_us": period_us})
    hardware = config.hardware.model_copy(update={"actuation": actuation, "control": control})
    return config.model_copy(update={"hardware": hardware})


def buses() -> Iterator[Bus]:
    yield from (Bus(False, bitrate, DATA_BITRATES[0]) for bitrate in BITRATES)
    yield from (Bus(True, bitrate, data) for bitrate in BITRATES for data in DATA_BITRATES)


def periods(need_us: float) -> set[int]:
    """On both sides of where the schedule just fits, and a few others."""
    edge_us = need_us / TIER_1_LOAD_MAX
    near = {math.floor(edge_us), math.ceil(edge_us)}
    return {max(500, min(10_000, period)) for period in near | {500, 1000, 4000}}


def agree(on_a_bus: Config, tier_1: Ask) -> list[bool]:
    """Holds both sides to each other; gives the verdicts."""
    axes = len(on_a_bus.robot.model.links)
    verdicts: list[bool] = []
    for bus in random.Random(9).sample(list(buses()), 12):
        need_us = canbus.cycle_us(axes, bus)
        for period_us in sorted(periods(need_us)):
            config = with_bus(on_a_bus, bus, period_us)
            fits, counted_us, percent = tier_1(config)
            case = f"{axes} axes, {bus}, every {period_us} us: {need_us} us"
            assert fits == (not list(check_can(config))), case
            assert counted_us == round(need_us), case
            assert percent == round(need_us / period_us * 100), case
            verdicts.append(fits)
    return verdicts


def test_both_count_the_same_microseconds_and_refuse_the_same_schedules(on_a_bus, tier_1):
    assert {True, False} <= set(agree(on_a_bus, tier_1))


@pytest.mark.parametrize(
    ("fact", "value"), [("COMMAND_BYTES", 12), ("STATUS_BYTES_FD", 8), ("BUS_LOAD_MAX", 0.8)]
)
def test_another_layout_or_limit_on_one_side_is_noticed(on_a_bus, tier_1, monkeypatch, fact, value):
    monkeypatch.setattr(canbus, fact, value)
    with pytest.raises(AssertionError):
        agree(on_a_bus, tier_1)
