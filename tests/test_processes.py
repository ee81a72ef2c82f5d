"""The table of processes: whole, consistent with the profiles, and the only place of its facts."""

import importlib.util

import pytest

from conf.load import compose, options_of
from runtime.planning.plannerd import PlannerDaemon
from runtime.policy.policyd import PolicyDaemon
from runtime.processes import (
    LISTENERS,
    PROCESSES,
    Area,
    Policy,
    Tier,
    find_process,
    wanted_thread,
)
from sim.processes import FLEET_PROCESSES, SIM_PROCESSES

EVERYTHING = (*PROCESSES, *SIM_PROCESSES, *FLEET_PROCESSES)


def test_names_are_unique_and_every_row_says_what_it_may_use():
    names = [row.name for row in EVERYTHING]
    assert len(names) == len(set(names))
    for row in EVERYTHING:
        assert 0 < row.budget.cpu_ratio <= 1.0
        assert row.budget.memory_mib > 0
        assert (row.module is None) == (row.name in {"controld", "dynamics", "mosquitto"})


def test_every_module_of_the_table_exists():
    missing = [
        row.module
        for row in EVERYTHING
        if row.module and importlib.util.find_spec(row.module) is None
    ]
    assert missing == []


def test_the_robots_table_holds_the_robots_processes_only():
    assert {row.area for row in PROCESSES} == {Area.RUNTIME}
    assert {row.name for row in PROCESSES} == {
        "controld",
        "visiond",
        "policyd",
        "plannerd",
        "safetyd",
        "agentd",
        "telemetryd",
    }


@pytest.mark.parametrize("facility", options_of("facility"))
def test_who_commands_motion_is_stepped_as_often_as_the_profile_says(facility):
    """The life of a command is checked against that rate, so it must be the real one."""
    rate_hz = compose(facility=facility).config.policy.rate_hz
    assert {find_process(name).rate_hz for name in ("policyd", "plannerd")} == {rate_hz}
    assert {PolicyDaemon.rate_hz, PlannerDaemon.rate_hz} == {rate_hz}


def test_only_what_tier_1_waits_for_wants_real_time_on_the_robot():
    fifo = {
        row.name: row.scheduling.priority
        for row in PROCESSES
        if row.scheduling.policy is Policy.FIFO
    }
    assert fifo == {"controld": 99, "policyd": 50, "safetyd": 50, "agentd": 20}
    assert find_process("controld").tier is Tier.CONTROL


def test_the_whole_robot_fits_its_budget():
    """1.6 cores and 1.5 GiB on the two-core profile, simulator and fleet side aside."""
    assert sum(row.budget.cpu_ratio for row in PROCESSES) <= 1.6
    assert sum(row.budget.memory_mib for row in PROCESSES) <= 1536


@pytest.mark.parametrize("hardware", options_of("hardware"))
def test_every_board_gives_threads_only_to_processes_of_the_table(hardware):
    config = compose(hardware=hardware).config
    known = {row.name for row in EVERYTHING} | {"controld_watchdog"}
    assert set(config.hardware.realtime.threads) <= known
    for row in PROCESSES:
        wanted, cpus = wanted_thread(row, config)
        assert wanted.priority <= row.scheduling.priority
        assert all(cpu < config.hardware.realtime.cpus for cpu in cpus)


def test_ports_are_unique():
    ports = [listener.port for listener in LISTENERS]
    assert len(ports) == len(set(ports))


def test_an_unknown_process_is_refused_with_the_known_ones():
    with pytest.raises(LookupError, match=r"visiod.*visiond"):
        find_process("visiod")
