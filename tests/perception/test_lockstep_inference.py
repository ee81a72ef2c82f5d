"""Lock-step inference: declared latencies on the caller's clock, late results dropped."""

from pathlib import Path

import numpy as np
import pytest

from runtime.perception.inference import Outcome
from runtime.perception.inference.lockstep import LockstepInference
from runtime.perception.inference.onnx_cpu import OnnxEngine
from tests.perception.builders import SHAPE, ask, write_network

MS = 1_000_000


@pytest.fixture
def inference(tmp_path: Path) -> LockstepInference:
    sessions = {
        name: OnnxEngine().load(name, str(write_network(tmp_path, name)))
        for name in ("double", "slow")
    }
    return LockstepInference(sessions, {"double": 2 * MS, "slow": 50 * MS})


def test_result_arrives_after_its_declared_latency_and_not_before(
    inference: LockstepInference,
) -> None:
    assert inference.submit(ask(value=4.0, deadline_ns=10 * MS), 0)
    assert inference.poll(1 * MS) == []
    (result,) = inference.poll(2 * MS)
    assert result.outcome is Outcome.DONE
    assert result.tensors is not None
    assert np.array_equal(result.tensors["y"], np.full(SHAPE, 8.0, np.float32))
    assert result.latency_ns == 2 * MS


def test_waiting_in_virtual_time_gives_what_is_ready_by_then(inference: LockstepInference) -> None:
    inference.submit(ask(deadline_ns=10 * MS), 0)
    assert len(inference.poll(0, wait_ns=2 * MS)) == 1


def test_late_result_is_dropped_and_counted(inference: LockstepInference) -> None:
    inference.submit(ask(deadline_ns=1 * MS), 0)
    (result,) = inference.poll(100 * MS)
    assert result.outcome is Outcome.LATE
    assert result.tensors is None
    assert inference.ledger.of("double").late == 1
    assert inference.ledger.of("double").done == 0


def test_one_device_does_one_thing_after_the_other(inference: LockstepInference) -> None:
    inference.submit(ask("slow", deadline_ns=1000 * MS), 0)
    inference.submit(ask("double", deadline_ns=1000 * MS), 0)
    assert inference.poll(51 * MS)[0].network == "slow"
    assert inference.poll(52 * MS)[0].network == "double"


def test_second_run_of_a_network_is_refused_while_the_first_is_under_way(
    inference: LockstepInference,
) -> None:
    assert inference.submit(ask(deadline_ns=10 * MS), 0)
    assert not inference.submit(ask(deadline_ns=10 * MS), 1 * MS)
    assert inference.ledger.of("double").refused == 1


def test_slow_device_makes_results_late(inference: LockstepInference) -> None:
    inference.set_slowdown(10.0)
    inference.submit(ask(deadline_ns=10 * MS), 0)
    (result,) = inference.poll(20 * MS)
    assert result.outcome is Outcome.LATE


def test_wrong_inputs_fail_the_run_with_the_reason(inference: LockstepInference) -> None:
    request = ask(deadline_ns=10 * MS)
    request.tensors["x"] = np.zeros((2, 2), np.float32)
    inference.submit(request, 0)
    (result,) = inference.poll(10 * MS)
    assert result.outcome is Outcome.FAILED
    assert "its card declares" in result.reason
