from hypothesis import given
from hypothesis import strategies as st

from fleet.people.limits import NS_PER_S, Buckets, Rate

TRIES = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 20 * NS_PER_S)), min_size=1, max_size=80
)


@given(TRIES, st.integers(1, 6), st.floats(0.1, 3))
def test_nobody_gets_more_than_the_burst_and_the_rate(tries, burst, per_s):
    buckets = Buckets(Rate(burst, per_s))
    now_ns, granted = 0, {}
    for key, pause_ns in tries:
        now_ns += pause_ns
        if buckets.take(key, now_ns) == 0:
            granted.setdefault(key, []).append(now_ns)
    for times in granted.values():
        for first in range(len(times)):
            for last in range(first, len(times)):
                span_s = (times[last] - times[first]) / NS_PER_S
                assert last - first + 1 <= burst + span_s * per_s + 1e-6


@given(TRIES, st.integers(1, 6), st.floats(0.1, 3))
def test_who_waits_as_long_as_told_comes_in(tries, burst, per_s):
    buckets, now_ns = Buckets(Rate(burst, per_s)), 0
    for key, pause_ns in tries:
        now_ns += pause_ns
        wait_s = buckets.take(key, now_ns)
        if wait_s > 0:
            now_ns += round(wait_s * NS_PER_S) + 1000
            assert buckets.take(key, now_ns) == 0


@given(st.lists(st.text(max_size=3), max_size=200), st.integers(1, 20))
def test_memory_is_bounded_whoever_comes(keys, most):
    buckets = Buckets(Rate(3, 1), keys_max=most)
    for at, key in enumerate(keys):
        buckets.take(key, at)
        assert len(buckets) <= most


def test_a_clock_that_goes_back_gives_nothing_away():
    buckets = Buckets(Rate(1, 1))
    assert buckets.take("a", 100 * NS_PER_S) == 0
    assert buckets.take("a", 0) > 0


def test_what_is_given_back_can_be_taken_again_but_no_more():
    buckets = Buckets(Rate(2, 0.001))
    assert [buckets.take("a", 0), buckets.take("a", 0)] == [0, 0]
    buckets.give_back("a", 0)
    buckets.give_back("nobody", 0)
    assert buckets.take("a", 0) == 0
    assert buckets.take("a", 0) > 0
