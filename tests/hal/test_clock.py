"""Clocks: monotonic time never goes back, wall time may."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.hal.clock import SystemClock, VirtualClock, sleep_until


def test_system_clock_moves_forward() -> None:
    clock = SystemClock()
    first = clock.now_ns()
    sleep_until(first + 1_000_000)
    assert clock.now_ns() >= first + 1_000_000


def test_sleep_until_an_instant_that_has_passed_returns() -> None:
    sleep_until(SystemClock().now_ns() - 10)


@given(st.lists(st.integers(0, 10**12), max_size=20))
def test_virtual_clock_is_the_sum_of_its_steps(steps: list[int]) -> None:
    clock = VirtualClock(start_ns=5)
    wall = clock.wall_ns()
    for step in steps:
        clock.advance(step)
    assert clock.now_ns() == 5 + sum(steps)
    assert clock.wall_ns() == wall + sum(steps)


def test_virtual_clock_refuses_to_go_back() -> None:
    clock = VirtualClock()
    with pytest.raises(ValueError, match="step_ns got -1"):
        clock.advance(-1)


def test_wall_time_jumps_both_ways_and_monotonic_time_does_not() -> None:
    clock = VirtualClock()
    now, wall = clock.now_ns(), clock.wall_ns()
    clock.jump_wall(-(10**10))
    assert (clock.now_ns(), clock.wall_ns()) == (now, wall - 10**10)
    clock.jump_wall(3 * 10**10)
    assert (clock.now_ns(), clock.wall_ns()) == (now, wall + 2 * 10**10)
