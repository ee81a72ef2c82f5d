"""What the live message says of updates, from files that the gate wrote or that say anything."""

import json
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.paths import Paths
from runtime.telemetry.updates import FINDINGS_MAX, TEXT_MAX, read_update

GATE = {
    "version": 1, "boot_id": "b", "slot": "b", "verdict": "waiting", "on_trial": True,
    "attempts": 1, "reasons": ["gate.fleet is unknown"], "artifact_name": "osaka-2",
    "elapsed_s": 80, "timeout_s": 600,
    "readings": [{"item": "gate.fleet", "certainty": "unknown", "wanted": "w", "found": "no"}],
}  # fmt: skip


def robot(folder: Path, **files: object) -> Paths:
    paths = Paths(folder / "run", folder / "data")
    paths.run.mkdir(parents=True)
    paths.ota.mkdir(parents=True)
    places = {"gate": paths.gate, "trial": paths.trial, "switch": paths.switch_gate}
    places["failure"] = paths.ota / "last-failure.json"
    for name, table in files.items():
        places[name].write_text(json.dumps(table))
    return paths


def test_a_machine_without_a_gate_says_nothing(tmp_path: Path):
    assert read_update(robot(tmp_path)) is None


def test_a_slot_on_trial_is_told_with_findings_and_progress(tmp_path: Path):
    told = read_update(robot(tmp_path, gate=GATE))
    assert told is not None
    assert (told["slot"], told["on_trial"], told["attempts"]) == ("b", True, 1)
    assert (told["elapsed_s"], told["timeout_s"], told["verdict"]) == (80, 600, "waiting")
    assert told["findings"] == [{"item": "gate.fleet", "certainty": "unknown", "found": "no"}]
    assert (told["switch"], told["last_failure"]) == (None, None)


@pytest.mark.parametrize(("on_trial", "findings"), [(True, 1), (None, 0), (False, 0)])
def test_what_is_settled_is_told_without_findings(
    tmp_path: Path, on_trial: bool | None, findings: int
):
    gate = GATE | {"verdict": "pass", "on_trial": on_trial, "reasons": []}
    told = read_update(robot(tmp_path, gate=gate))
    assert told is not None
    assert len(told["findings"]) == findings


def test_a_switch_is_told_with_its_own_judgement_only(tmp_path: Path):
    trial = {"kind": "profile", "token": "t1"}
    judged = GATE | {"token": "t1", "artifact_name": "careful-1"}
    told = read_update(robot(tmp_path / "a", gate=GATE, trial=trial, switch=judged))
    assert told is not None
    assert (told["switch"]["kind"], told["switch"]["artifact_name"]) == ("profile", "careful-1")
    stale = judged | {"token": "of an earlier one"}
    told = read_update(robot(tmp_path / "b", gate=GATE, trial=trial, switch=stale))
    assert told is not None
    assert told["switch"]["verdict"] is None


def test_why_something_was_not_kept_is_told(tmp_path: Path):
    failure = GATE | {"verdict": "fail", "decided_at": "2026-11-21T23:00:00+00:00"}
    told = read_update(robot(tmp_path, gate=GATE, failure=failure))
    assert told is not None
    assert told["last_failure"]["reasons"] == ["gate.fleet is unknown"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=400),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=20,
)
KEYS = st.sampled_from([*GATE, "kind", "token", "decided_at"])


@given(st.dictionaries(KEYS, JSON), st.dictionaries(KEYS, JSON))
def test_whatever_lies_there_the_message_is_small_and_can_be_sent(
    tmp_path_factory: pytest.TempPathFactory, gate: dict[str, object], other: dict[str, object]
):
    folder = tmp_path_factory.mktemp("any") / "robot"
    told = read_update(robot(folder, gate=gate, trial=other, switch=other, failure=other))
    assert told is not None
    assert len(orjson.dumps(told)) < 100 * TEXT_MAX * FINDINGS_MAX
    assert len(told["findings"]) <= FINDINGS_MAX
