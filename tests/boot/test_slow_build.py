"""A build that wakes later than the last committed one is not kept: measured in virtual time.

A whole update under icount would take hours. So two robots are started in turn, one of them with a
control process that is planted to wake late, and what each measured of itself is judged as the gate
on a robot judges it. That a failed judgement restarts into the slot before, test_update.py shows.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from conf.load import compose
from ota.commit_gate import (
    Item,
    LatencyLimits,
    Reading,
    Verdict,
    Wakeups,
    decide,
    judge_latency,
)
from ota.gate_readings import latency_limits
from ota.power_cut.images import copy_tree
from records import Certainty
from tests.boot.guest import new_robot
from tests.boot.updates import ROOT, bedplate

pytestmark = [pytest.mark.image, pytest.mark.timeout(7200)]
HARDWARE = "qemu_arm64_icount"
CYCLES = 2000
END_S = 3000
CLOCK = "runtime/controld/src/sys/clock.rs"
CALL = "libc::clock_nanosleep(libc::CLOCK_MONOTONIC"
# Some tens of microseconds between the kernel's wake-up and the loop's first look at the clock:
# within every deadline and the profile's own limit.
PLANTED = "        for _ in 0..5000 { std::hint::spin_loop(); }\n"
ROW = re.compile(
    r"quiet: (\d+) cycles.*?controld +[\d.]+ +[\d.]+ +([\d.]+) +[\d.]+ +([\d.]+)", re.S
)
Measure = Callable[[str, Path], Wakeups]


@pytest.fixture(scope="module")
def measure(tmp_path_factory: pytest.TempPathFactory) -> Measure:
    def measured(name: str, tree: Path) -> Wakeups:
        folder = tmp_path_factory.mktemp(name)
        image = folder / "image"
        words = ("image", "build", "--hardware", HARDWARE, "--facility", "osaka")
        bedplate(*words, "--out", str(image), tree=tree)
        robot = new_robot(folder / "robot", image, icount=True, accept=CYCLES)
        robot.boot()
        try:
            robot.wait_for("acceptance ended with", END_S)
        finally:
            robot.cut_power()
        found = ROW.search(robot.console().replace("\r", ""))
        assert found is not None, robot.console()[-4000:]
        print(f"{name}: {found[2]} µs at 99.9 %, latest {found[3]} µs, {found[1]} cycles")
        return Wakeups(float(found[2]), float(found[3]), int(found[1]))

    return measured


@pytest.fixture(scope="module")
def committed(measure: Measure) -> Wakeups:
    return measure("sound", ROOT)


@pytest.fixture(scope="module")
def slow(measure: Measure, tmp_path_factory: pytest.TempPathFactory) -> Wakeups:
    tree = tmp_path_factory.mktemp("tree") / "slow"
    copy_tree(tree)
    source = tree / CLOCK
    lines = source.read_text().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if CALL in line)
    lines.insert(at + 1, PLANTED)
    source.write_text("".join(lines))
    return measure("slow", tree)


@pytest.fixture(scope="module")
def limits() -> LatencyLimits:
    """The profile's own, over as many cycles as were measured here."""
    config = compose(hardware=HARDWARE, facility="osaka").config
    return replace(latency_limits(config, config.ota.gate.observe_s), cycles=CYCLES)


def others_well(latency: Reading) -> tuple[Reading, ...]:
    well = [Reading(item, Certainty.OK, "well", "well") for item in Item]
    return (*(row for row in well if row.item is not latency.item), latency)


def test_here_latency_decides(limits: LatencyLimits):
    assert limits.decides


def test_the_same_build_again_is_kept(committed: Wakeups, limits: LatencyLimits):
    reading = judge_latency(committed, committed.p999_us, limits)
    assert decide(others_well(reading), 100, 600).verdict is Verdict.PASS


def test_the_slow_one_is_within_the_limit_that_the_profile_states(
    slow: Wakeups, limits: LatencyLimits
):
    """So it is the comparison that finds it, and nothing else."""
    assert judge_latency(slow, None, limits).certainty is Certainty.OK


def test_the_slow_one_is_not_kept_and_the_reason_has_both_numbers(
    slow: Wakeups, committed: Wakeups, limits: LatencyLimits
):
    reading = judge_latency(slow, committed.p999_us, limits)
    decision = decide(others_well(reading), 100, 600)
    print(decision.reasons)
    assert decision.verdict is Verdict.FAIL
    assert f"{slow.p999_us:.1f} µs" in decision.reasons[0]
    assert f"last committed {committed.p999_us:.1f} µs" in decision.reasons[0]
