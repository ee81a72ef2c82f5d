"""Primary and backup: who answers when, and how the primary returns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.policy.inference import PROOFS_TO_RETURN, Inference
from runtime.shm import ActivePolicy, PolicyReason

DEADLINE_NS = 10_000_000
PRIMARY, BACKUP = np.full((16, 8), 0.1), np.full((16, 8), 0.2)


class Bench:
    """Two networks whose time and faults are scripted."""

    def __init__(self, *, backup: bool = True) -> None:
        self.now_ns = 0
        self.takes_ns = 0
        self.fault: Exception | None = None
        self.primary_answer = PRIMARY
        self.backup_runs = 0
        self.inference = Inference(
            self._primary,
            self._backup if backup else None,
            deadline_ns=DEADLINE_NS,
            execute_steps=8,
            now=lambda: self.now_ns,
        )

    def _primary(self, observation):
        self.now_ns += self.takes_ns
        if self.fault is not None:
            raise self.fault
        return self.primary_answer

    def _backup(self, observation):
        self.backup_runs += 1
        return BACKUP

    def ask(self):
        return self.inference.answer(np.zeros(4))


def test_healthy_primary_answers():
    answer = Bench().ask()
    assert answer.active is ActivePolicy.PRIMARY
    assert answer.reason is PolicyReason.NONE
    assert answer.chunk is not None
    assert answer.chunk.velocities_rad_s.shape == (16, 7)


def test_late_primary_is_replaced_within_the_same_step():
    bench = Bench()
    bench.takes_ns = DEADLINE_NS + 1
    answer = bench.ask()
    assert answer.active is ActivePolicy.BACKUP
    assert answer.reason is PolicyReason.INFERENCE_LATE
    assert answer.chunk is not None
    assert answer.chunk.velocities_rad_s[0, 0] == 0.2


@pytest.mark.parametrize("fault", [RuntimeError("gone"), ValueError("x"), MemoryError()])
def test_failing_primary_is_replaced(fault):
    bench = Bench()
    bench.fault = fault
    answer = bench.ask()
    assert answer.active is ActivePolicy.BACKUP
    assert answer.reason is PolicyReason.INFERENCE_FAILED


@pytest.mark.parametrize(
    "nonsense", [np.full((16, 8), np.nan), np.zeros(3), np.full((16, 8), np.inf)]
)
def test_nonsense_from_the_primary_is_replaced(nonsense):
    bench = Bench()
    bench.primary_answer = nonsense
    assert bench.ask().active is ActivePolicy.BACKUP


def test_primary_returns_after_it_has_proved_itself_in_the_shadow():
    bench = Bench()
    bench.fault = RuntimeError("gone")
    bench.ask()
    bench.fault = None
    answers = [bench.ask().active for _ in range(PROOFS_TO_RETURN + 1)]
    assert answers[:-1] == [ActivePolicy.BACKUP] * PROOFS_TO_RETURN
    assert answers[-1] is ActivePolicy.PRIMARY


def test_one_relapse_starts_the_proof_again():
    bench = Bench()
    bench.fault = RuntimeError("gone")
    bench.ask()
    bench.fault = None
    for _ in range(PROOFS_TO_RETURN - 1):
        bench.ask()
    bench.takes_ns = DEADLINE_NS + 1
    bench.ask()
    bench.takes_ns = 0
    assert [bench.ask().active for _ in range(5)] == [ActivePolicy.BACKUP] * 5


def test_backup_is_kept_warm_while_the_primary_drives():
    bench = Bench()
    for _ in range(100):
        bench.ask()
    assert bench.backup_runs == 4


def test_without_backup_a_failed_primary_leaves_no_chunk():
    bench = Bench(backup=False)
    bench.fault = RuntimeError("gone")
    answer = bench.ask()
    assert answer.chunk is None
    assert answer.reason is PolicyReason.INFERENCE_FAILED


@given(script=st.lists(st.sampled_from(["good", "late", "fault", "nan"]), max_size=150))
def test_with_a_healthy_backup_there_is_always_a_sound_chunk(script):
    bench = Bench()
    for kind in script:
        bench.takes_ns = DEADLINE_NS + 1 if kind == "late" else 0
        bench.fault = RuntimeError("gone") if kind == "fault" else None
        bench.primary_answer = np.full((16, 8), np.nan) if kind == "nan" else PRIMARY
        answer = bench.ask()
        assert answer.chunk is not None
        assert np.all(np.isfinite(answer.chunk.velocities_rad_s))
        if answer.active is ActivePolicy.PRIMARY:
            assert kind == "good"
