"""Sets of sequence numbers against Python's own sets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.telemetry.ranges import SeqSet, count, expand, fold, parse_ranges
from runtime.telemetry.thinning import join_nearest

spans = st.tuples(st.integers(1, 60), st.integers(0, 12)).map(lambda s: (s[0], s[0] + s[1]))
steps = st.lists(st.tuples(st.sampled_from(["add", "remove"]), spans), max_size=30)


@given(steps)
def test_seqset_any_steps_agree_with_a_plain_set(history: list) -> None:
    ranges, plain = SeqSet(), set()
    for action, (first, last) in history:
        members = set(range(first, last + 1))
        if action == "add":
            ranges.add(first, last)
            plain |= members
        else:
            ranges.remove(first, last)
            plain -= members
    assert list(expand(ranges)) == sorted(plain)
    assert len(ranges) == len(plain)
    assert ranges.ranges() == fold(sorted(plain))
    assert all(seq in ranges for seq in plain)


@given(st.lists(spans, max_size=10), st.lists(spans, max_size=10), spans)
def test_seqset_minus_and_within_agree_with_a_plain_set(
    left: list, right: list, cut: tuple
) -> None:
    a, b = SeqSet(left), SeqSet(right)
    assert set(expand(a.minus(b))) == set(expand(a)) - set(expand(b))
    assert set(expand(a.within(*cut))) == set(expand(a)) & set(range(cut[0], cut[1] + 1))
    assert a.meets(*cut) == bool(a.within(*cut))


@given(st.lists(spans, min_size=1, max_size=20), st.integers(1, 5))
def test_join_nearest_covers_all_with_few_ranges(wanted: list, most: int) -> None:
    exact = SeqSet(wanted)
    joined = join_nearest(exact.ranges(), most)
    assert len(joined) <= most
    assert set(expand(exact)) <= set(expand(joined))


@pytest.mark.parametrize(
    "raw",
    [None, 3, [[1]], [[1, 2, 3]], [["1", 2]], [[0, 1]], [[3, 2]], [[1, 2], [2, 3]], [[1, 2**63]],
     [[True, 2]], [[1.0, 2]]],
)  # fmt: skip
def test_parse_ranges_refuses_what_is_no_range(raw: object) -> None:
    with pytest.raises(ValueError):
        parse_ranges(raw)


def test_parse_ranges_reads_what_a_frame_carries() -> None:
    parsed = parse_ranges([[1, 3], [5, 5]])
    assert parsed == ((1, 3), (5, 5))
    assert count(parsed) == 4
