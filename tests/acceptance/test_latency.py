"""Histograms of two programs become one kind, and none of their samples is lost."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.acceptance.latency import PEER_MOST_US, Latencies, of_buckets, parse_cyclictest

PRINTED = """# /dev/cpu_dma_latency set to 0us
# Histogram
000000 000000
000005 000090
000006\t000009
000013 000001
# Total: 000000100
# Min Latencies: 00005
# Avg Latencies: 00005
# Max Latencies: 00013
# Histogram Overflows: 00000
# Histogram Overflow at cycle number:
# Thread 0:
"""


def test_cyclictests_histogram_is_read():
    found = parse_cyclictest(PRINTED)
    assert found == Latencies(((5.0, 90), (6.0, 9), (13.0, 1)), 13.0)
    assert found.count == 100
    assert (found.quantile_us(0.5), found.quantile_us(0.95), found.quantile_us(1.0)) == (5, 6, 13)


def test_what_is_later_than_the_histogram_is_counted_with_the_maximum():
    late = PRINTED.replace("Overflows: 00000", "Overflows: 00002").replace(": 00013", ": 45000")
    found = parse_cyclictest(late)
    assert found is not None
    assert (found.rows[-1], found.max_us, found.count) == ((45000.0, 2), 45000.0, 102)
    assert found.rows[-1][0] > PEER_MOST_US


@pytest.mark.parametrize("text", ["", "# Max Latencies: 00013\n", "000005 000090\n", "no rights"])
def test_what_is_no_histogram_is_none(text: str):
    assert parse_cyclictest(text) is None


def test_the_state_files_buckets_are_read_and_the_last_has_no_bound():
    assert of_buckets([1.0, 2.0, math.inf], [3, 0, 0]) == Latencies(((1.0, 3),), 1.0)
    beyond = of_buckets([1.0, 2.0, math.inf], [3, 0, 1])
    assert beyond is not None
    assert beyond.max_us == 2.0
    assert of_buckets([1.0, math.inf], [0, 0]) is None


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30), st.floats(0, 1))
def test_no_sample_is_lost_and_quantiles_rise(counts: list[int], ratio: float):
    found = of_buckets([float(i + 1) for i in range(len(counts))], counts)
    if found is None:
        assert not any(counts)
        return
    assert found.count == sum(counts)
    low, high = found.quantile_us(ratio / 2), found.quantile_us(ratio)
    assert low is not None
    assert high is not None
    assert low <= high <= found.max_us


@given(st.text(max_size=200), st.integers(0, 10**9))
def test_any_output_is_a_histogram_or_none(noise: str, max_us: int):
    parse_cyclictest(noise)
    found = parse_cyclictest(f"{noise}\n# Max Latencies: {max_us}\n000001 000001\n")
    assert found is None or found.count >= 1
