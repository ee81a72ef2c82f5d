"""Restarting a lost worker, as a decision."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.perception.inference.restart import RestartRule, RestartState

RULE = RestartRule(first_delay_ns=100, max_delay_ns=5000, offline_after=3)


def test_pauses_double_up_to_the_longest() -> None:
    assert [RULE.delay_ns(losses) for losses in (1, 2, 3, 7, 60)] == [100, 200, 400, 5000, 5000]


def test_device_is_offline_after_enough_losses_and_back_after_one_run() -> None:
    state = RestartState()
    for _ in range(3):
        state = state.lost(RULE, 0)
    assert state.is_offline(RULE)
    assert not state.ran().is_offline(RULE)


@given(st.lists(st.sampled_from(["lost", "ran", "started"]), max_size=60))
def test_pause_never_leaves_its_bounds(moves: list[str]) -> None:
    state = RestartState()
    for now_ns, move in enumerate(moves):
        match move:
            case "lost":
                state = state.lost(RULE, now_ns)
                assert state.restart_at_ns is not None
                pause = state.restart_at_ns - now_ns
                assert RULE.first_delay_ns <= pause <= RULE.max_delay_ns
                assert not state.is_due(now_ns)
                assert state.is_due(state.restart_at_ns)
            case "ran":
                state = state.ran()
                assert not state.is_offline(RULE)
            case _:
                state = state.started()
                assert not state.is_due(10**12)
