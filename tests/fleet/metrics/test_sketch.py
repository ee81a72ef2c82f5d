"""Percentiles: the error that is promised, and that merging in any order changes nothing."""

import math

from hypothesis import given
from hypothesis import strategies as st

from fleet.metrics.sketch import (
    LARGEST_MS,
    RELATIVE_ERROR,
    SMALLEST_MS,
    Sketch,
    milliseconds_of,
    slot_of,
)

PLAUSIBLE = st.floats(min_value=SMALLEST_MS, max_value=LARGEST_MS)
SAMPLES = st.lists(PLAUSIBLE, min_size=1, max_size=200)
SLACK = 1e-9  # of the logarithm itself


@given(samples=SAMPLES, ratio=st.floats(min_value=0.0, max_value=1.0))
def test_every_percentile_is_within_the_error_of_the_sample_at_its_rank(
    samples: list[float], ratio: float
) -> None:
    exact = sorted(samples)[max(1, math.ceil(ratio * len(samples))) - 1]
    found = Sketch.of(samples).quantile_ms(ratio)
    assert found is not None
    assert abs(found - exact) <= (RELATIVE_ERROR + SLACK) * exact


@given(parts=st.lists(SAMPLES, min_size=2, max_size=6), order=st.randoms())
def test_merging_in_any_order_and_grouping_is_the_sketch_of_all_samples(
    parts: list[list[float]], order: object
) -> None:
    whole = Sketch.of([ms for part in parts for ms in part])
    sketches = [Sketch.of(part) for part in parts]
    order.shuffle(sketches)  # type: ignore[attr-defined]
    left = Sketch()
    for sketch in sketches:
        left = left.merged(sketch)
    right = Sketch()
    for sketch in reversed(sketches):
        right = sketch.merged(right)
    assert left == right == whole


@given(value=PLAUSIBLE)
def test_a_value_and_its_slot_are_close(value: float) -> None:
    slot = slot_of(value)
    assert slot is not None
    assert abs(milliseconds_of(slot) - value) <= (RELATIVE_ERROR + SLACK) * value


@given(value=st.floats(allow_nan=True, allow_infinity=True))
def test_any_number_has_a_slot_or_is_no_duration(value: float) -> None:
    slot = slot_of(value)
    assert (slot is None) == (math.isnan(value) or value < 0)


def test_averages_of_percentiles_would_be_wrong_where_the_merge_is_right() -> None:
    """99 fast robots and one slow: the mean of their p95 says 19 ms more than the truth."""
    fast, slow = Sketch.of([10.0] * 1000), Sketch.of([1000.0] * 10)
    merged = fast.merged(slow)
    p95 = merged.quantile_ms(0.95)
    assert p95 is not None
    assert abs(p95 - 10.0) < 0.3


def test_no_samples_is_no_percentile() -> None:
    assert Sketch().quantile_ms(0.5) is None
    assert Sketch.of([math.nan, -1.0]).count == 0
