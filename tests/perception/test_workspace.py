"""Clear is only what was seen to be clear."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from runtime.perception.workspace import FULL_LOOK_WAIT_NS, Sight, judge
from runtime.shm.enums import Workspace

MS = 1_000_000
GOOD = Sight(
    is_blind=False,
    result_age_ns=30 * MS,
    max_age_ns=300 * MS,
    can_tell=True,
    occupied=False,
    unexplained_since_ns=None,
)
sights = st.builds(
    Sight,
    is_blind=st.booleans(),
    result_age_ns=st.none() | st.integers(0, 1000 * MS),
    max_age_ns=st.just(300 * MS),
    can_tell=st.booleans(),
    occupied=st.booleans(),
    unexplained_since_ns=st.none() | st.integers(0, 2000 * MS),
)


def test_fresh_look_at_an_empty_workspace_is_clear() -> None:
    assert judge(GOOD, 0) is Workspace.CLEAR


@given(sights)
def test_clear_needs_every_sense(sight: Sight) -> None:
    now_ns = 2000 * MS
    if judge(sight, now_ns) is Workspace.CLEAR:
        assert not sight.is_blind
        assert sight.result_age_ns is not None
        assert sight.result_age_ns <= sight.max_age_ns
        assert sight.can_tell
        assert not sight.occupied
        since_ns = sight.unexplained_since_ns
        assert since_ns is None or now_ns - since_ns <= FULL_LOOK_WAIT_NS


@given(sights)
def test_going_blind_always_makes_it_unknown(sight: Sight) -> None:
    assert judge(replace(sight, is_blind=True), 2000 * MS) is Workspace.UNKNOWN


def test_change_that_no_full_look_explains_is_not_clear() -> None:
    loud = replace(GOOD, unexplained_since_ns=0)
    assert judge(loud, FULL_LOOK_WAIT_NS) is Workspace.CLEAR
    assert judge(loud, FULL_LOOK_WAIT_NS + 1) is Workspace.UNKNOWN
