"""What follows from a server's words: counting, patience, what is held to be true. All pure."""

from hypothesis import given
from hypothesis import strategies as st

from ota.mender import (
    DeploymentState,
    DeviceProgress,
    DeviceStatus,
    Outcome,
    Patience,
    Verdict,
    batches,
    hold,
    outcome_of,
)
from ota.mender.records import statistics_of
from ota.mender.server import check_devices

S = DeviceStatus


@given(st.integers(0, 50), st.floats(0, 1, exclude_max=True))
def test_pauses_are_bounded_and_never_nothing(attempt: int, draw: float):
    patience = Patience()
    assert 0 < patience.first_s / 2 <= patience.pause_s(attempt, draw) <= patience.longest_s


# What the records say.


@given(st.dictionaries(st.sampled_from([*S]) | st.text(max_size=8), st.integers(0, 10**6)))
def test_no_robot_is_lost_in_counting(raw: dict[str, int]):
    counts = statistics_of(raw)
    assert counts.total == sum(raw.values())
    assert sum(counts.of(outcome) for outcome in Outcome) == counts.total


def test_a_word_of_a_newer_server_is_unknown_and_never_good():
    counts = statistics_of({"success": 1, "blessed": 2})
    assert (counts.of(Outcome.GOOD), counts.of(Outcome.UNKNOWN)) == (1, 2)
    assert outcome_of(S("blessed")) is Outcome.UNKNOWN
    assert DeploymentState("blessed") is DeploymentState.UNKNOWN


def progress(status: DeviceStatus) -> DeviceProgress:
    return DeviceProgress(id="a", status=status)


@given(st.lists(st.sampled_from(S), min_size=1, max_size=12))
def test_a_robot_that_failed_once_has_failed_whatever_it_says_later(said: list[DeviceStatus]):
    held: dict[str, Verdict] = {}
    for status in said:
        held = dict(hold(held, [progress(status)]))
    if S.FAILURE in said:
        assert held["a"].status is S.FAILURE
    if any(outcome_of(s) is not Outcome.WAITING for s in said if s is not S.UNKNOWN):
        assert outcome_of(held["a"].status) is not Outcome.WAITING


def test_a_change_of_mind_is_kept_to_be_shown():
    held = hold(hold({}, [progress(S.SUCCESS)]), [progress(S.FAILURE)])
    assert held["a"] == Verdict(S.FAILURE, changed_mind=True)
    assert hold(held, [progress(S.SUCCESS)])["a"] == Verdict(S.FAILURE, changed_mind=True)
    assert hold(hold({}, [progress(S.INSTALLING)]), [progress(S.SUCCESS)])["a"] == Verdict(
        S.SUCCESS
    )


@given(st.lists(st.integers(0, 50).map(str)), st.integers(1, 10))
def test_batches_hold_every_robot_once_in_order(ids: list[str], size: int):
    made = batches(ids, size)
    assert [name for batch in made for name in batch] == list(dict.fromkeys(ids))
    for batch in made:
        assert len(batch) <= size
        check_devices(batch)
