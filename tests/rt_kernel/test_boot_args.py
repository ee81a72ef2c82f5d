"""The real-time part of the command line says what the profile says, and no more."""

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.load import compose
from conf.schema import Config
from rt_kernel.boot_args import boot_arguments, cpu_list, parse_cpu_list
from rt_kernel.problem import KernelError

compose_once = functools.cache(lambda hardware: compose(hardware=hardware).config)


def profile(hardware: str, **realtime: object) -> Config:
    config = compose_once(hardware)
    changed = config.hardware.realtime.model_copy(update=realtime)
    board = config.hardware.model_copy(update={"realtime": changed})
    return config.model_copy(update={"hardware": board})


def names(arguments: tuple[str, ...]) -> list[str]:
    return [argument.partition("=")[0] for argument in arguments]


def test_an_isolated_board_keeps_the_same_cpus_free_of_everything():
    arguments = boot_arguments(compose(hardware="jetson_agx_orin").config)
    assert "isolcpus=managed_irq,domain,8-11" in arguments
    assert "nohz_full=8-11" in arguments
    assert "rcu_nocbs=8-11" in arguments
    assert "irqaffinity=0-7" in arguments


def test_a_board_that_claims_no_isolation_asks_for_none():
    arguments = boot_arguments(profile("qemu_arm64", cpus=1, isolated_cpus=()))
    assert not {"isolcpus", "nohz_full", "rcu_nocbs", "irqaffinity"} & set(names(arguments))
    assert "clocksource=arch_sys_counter" in arguments


def test_a_board_whose_kernel_is_not_ours_gets_no_arguments():
    assert boot_arguments(compose(hardware="sim_x86").config) == ()


@pytest.mark.parametrize("isolated", [(0,), (0, 1), (1, 0)])
def test_the_cpu_that_boots_cannot_be_isolated(isolated: tuple[int, ...]):
    with pytest.raises(KernelError, match=r"conf/hardware/.*isolated_cpus\n  got \[0"):
        boot_arguments(profile("qemu_arm64", cpus=2, isolated_cpus=isolated))


@given(st.integers(2, 64), st.data())
def test_every_cpu_is_either_isolated_or_takes_interrupts(cpus: int, data):
    isolated = data.draw(st.sets(st.integers(1, cpus - 1), min_size=1))
    config = profile("qemu_arm64", cpus=cpus, isolated_cpus=tuple(isolated))
    given_ = dict(argument.partition("=")[::2] for argument in boot_arguments(config))
    kept = parse_cpu_list(given_["nohz_full"])
    assert kept == isolated
    assert given_["isolcpus"] == f"managed_irq,domain,{given_['rcu_nocbs']}"
    assert parse_cpu_list(given_["irqaffinity"]) == set(range(cpus)) - isolated


@given(st.frozensets(st.integers(0, 200)))
def test_a_list_of_cpus_is_read_as_it_was_written(cpus: frozenset[int]):
    assert parse_cpu_list(cpu_list(cpus)) == cpus


@given(st.text(max_size=40))
def test_any_text_is_a_list_of_cpus_or_none(text: str):
    cpus = parse_cpu_list(text)
    assert cpus is None or all(cpu >= 0 for cpu in cpus)


@pytest.mark.parametrize("text", ["1-", "-1", "3-1", "a", "1;2", "0x1", "1-99999999"])
def test_what_is_no_list_of_cpus_is_not_taken_for_one(text: str):
    assert parse_cpu_list(text) is None
