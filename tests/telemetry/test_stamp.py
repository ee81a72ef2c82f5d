"""Timestamps stay unique and in order while the wall clock jumps both ways."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.telemetry.stamp import STEP_TOLERANCE_NS, Instant, Stamper
from tests.telemetry.spools import WALL_NS, S, at

jumps = st.lists(
    st.tuples(
        st.integers(0, 3 * S),  # monotonic time passes
        st.one_of(st.just(0), st.integers(-400 * 86_400 * S, 400 * 86_400 * S)),  # the wall jumps
        st.integers(0, 5 * S),  # age of the record
    ),
    max_size=40,
)


@given(jumps)
def test_stamp_any_clock_jumps_keep_times_unique_and_ascending_within_an_era(history: list) -> None:
    stamper, now_ns, offset_ns = Stamper(), 10 * S, WALL_NS
    by_era: dict[int, list[int]] = {}
    for passed_ns, jump_ns, age_ns in history:
        now_ns += passed_ns
        offset_ns += jump_ns
        now = Instant(now_ns, now_ns + offset_ns)
        stamper.observe(now)
        by_era.setdefault(stamper.era, []).append(stamper.stamp(now_ns - age_ns, now))
    times = [time for era in by_era.values() for time in era]
    assert len(times) == len(set(times))
    assert all(era == sorted(era) for era in by_era.values())


def test_stamp_clock_set_back_is_right_again_at_once() -> None:
    stamper = Stamper()
    year_ns = 365 * 86_400 * S
    stamper.observe(at(1, jump_ns=year_ns))
    stamper.stamp(1 * S, at(1, jump_ns=year_ns))
    assert stamper.observe(at(2)) > 364 * 86_400 * S
    time_ns = stamper.stamp(2 * S, at(2))
    assert abs(time_ns - at(2).wall_ns) < 1_000_000
    assert stamper.era == 1


def test_stamp_clock_slewed_back_within_tolerance_waits() -> None:
    stamper = Stamper()
    first = stamper.stamp(1 * S, at(1))
    now = at(1, jump_ns=-STEP_TOLERANCE_NS // 2)
    assert stamper.observe(now) == 0
    assert first < stamper.stamp(1 * S, now) <= first + 2000


def test_stamp_record_keeps_the_time_at_which_it_was_made() -> None:
    stamper = Stamper()
    assert stamper.stamp(4 * S, at(5)) == at(4).wall_ns


def test_stamp_impossible_creation_times_count_as_now() -> None:
    for created_ns in (2**62, 0):
        assert Stamper().stamp(created_ns, at(10_000)) == at(10_000).wall_ns


def test_stamp_clocks_at_the_ends_of_time_stay_within_a_database() -> None:
    stamper = Stamper()
    for wall_ns in (0, 2**63 - 1, -5, 0):
        now = Instant(1, wall_ns)
        stamper.observe(now)
        assert 0 < stamper.stamp(1, now) < 2**63
