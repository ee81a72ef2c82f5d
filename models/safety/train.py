"""`python -m models.safety.train --arm panda`: record, fit, calibrate, then measure on fresh runs.

Three sets of seeds never mix: the network is fitted on one, the thresholds come from the second,
and what the card claims (false restrictions and vetoes, noticed faults) is measured on the third.
"""

import argparse
import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from models.safety.faults import FAULTS
from models.safety.judge import (
    Play,
    calibrate,
    detection_delay_s,
    false_rates,
    play,
    prediction_errors,
)
from models.safety.network import fit, model_bytes, parameter_count
from models.safety.record import Recording, pairs, record_run
from runtime.safety.features import HORIZON_STEPS, input_size, output_size
from runtime.safety.model import INPUT, MODEL_FOLDER, OUTPUT
from runtime.safety.monitor import Calibration, Predict
from runtime.shm import Verdict
from runtime.skills.verify import open_session
from sim.robot_model import ARMS, Arm

NAME = "next_state"
FAULT_AT_S = 12.0
FAULT_RUN_S = 24.0
# A fault counts as detected when the arm is at least restricted within this time of moving with it.
DETECT_WITHIN_S = 2.0


@dataclass(frozen=True)
class Effort:
    fit_seeds: range = range(1, 9)
    calibrate_seeds: tuple[int, ...] = (9, 10, 11, 12, 124, 126)
    held_out_seeds: range = range(131, 152)
    fault_seeds: range = range(201, 204)
    run_s: float = 40.0
    steps: int = 6000


def recorded(arm: Arm, seeds: Sequence[int], seconds: float, cache: Path | None) -> list[Recording]:
    """Runs of these seeds; with a cache folder those made before are read back."""
    found: list[Recording] = []
    for seed in seeds:
        path = None if cache is None else cache / f"{arm.value}-{seed}.pkl"
        if path is not None and path.is_file():
            found.append(pickle.loads(path.read_bytes()))
            continue
        found.append(record_run(arm, seed, seconds))
        if path is not None:
            path.write_bytes(pickle.dumps(found[-1]))
        print(f"recorded {arm.value} seed {seed} ({found[-1].scenario})", flush=True)
    return found


def session_predict(content: bytes) -> Predict:
    """The exported network itself is what gets calibrated, not its float32 ancestor."""
    session = open_session(content)

    def predict(features: np.ndarray) -> np.ndarray:
        feed = {INPUT: features.astype(np.float32)[None]}
        return np.asarray(session.run([OUTPUT], feed)[0], np.float64)[0]

    return predict


def try_faults(
    arm: Arm, effort: Effort, predict: Predict, calibration: Calibration
) -> dict[str, Any]:
    """How many of the planted faults were noticed, and how soon."""
    report: dict[str, Any] = {}
    at_sample = round(FAULT_AT_S / 0.01)
    for name, make in FAULTS.items():
        delays, vetoes = [], []
        for seed in effort.fault_seeds:
            sabotage = make(np.random.default_rng(seed))
            run = record_run(arm, seed, FAULT_RUN_S, sabotage=sabotage, sabotage_at_s=FAULT_AT_S)
            found = play(run, predict, calibration)
            delays.append(detection_delay_s(found, at_sample, Verdict.RESTRICT))
            vetoes.append(detection_delay_s(found, at_sample, Verdict.VETO))
            told = f"noticed after {delays[-1]} s, vetoed after {vetoes[-1]} s"
            print(f"{arm.value} {name} seed {seed}: {told}", flush=True)
        report[name] = _fault_figures(delays, vetoes)
    return report


def _fault_figures(delays: list[float | None], vetoes: list[float | None]) -> dict[str, Any]:
    noticed = [delay for delay in delays if delay is not None]
    return {
        "runs": len(delays),
        "noticed": len(noticed),
        f"noticed_within_{DETECT_WITHIN_S:g}_s": sum(delay <= DETECT_WITHIN_S for delay in noticed),
        "median_delay_s": _median(delays),
        "vetoed": sum(delay is not None for delay in vetoes),
        "median_veto_s": _median(vetoes),
    }


def _median(delays: list[float | None]) -> float | None:
    """Of those that came at all; the upper one of two."""
    came = sorted(delay for delay in delays if delay is not None)
    return came[len(came) // 2] if came else None


def train(arm: Arm, effort: Effort, cache: Path | None) -> None:
    fitting = recorded(arm, effort.fit_seeds, effort.run_s, cache)
    columns = list(zip(*(pairs(run, HORIZON_STEPS) for run in fitting), strict=True))
    inputs, wanted = np.concatenate(columns[0]), np.concatenate(columns[1])
    weights, loss = fit(inputs, wanted, steps=effort.steps, batch=512, seed=1)
    content = model_bytes(weights)
    predict = session_predict(content)
    judging = recorded(arm, effort.calibrate_seeds, effort.run_s, cache)
    errors = prediction_errors(judging, predict, HORIZON_STEPS)
    calibration = calibrate(judging, predict, errors)
    fresh = recorded(arm, effort.held_out_seeds, effort.run_s, cache)
    plays = [play(run, predict, calibration) for run in fresh]
    facts = {
        "training": {
            "samples": len(inputs),
            "seeds": _span(effort.fit_seeds),
            "loss": round(loss, 4),
            "parameters": parameter_count(weights),
        },
        "false_on_held_out_runs": {
            "seeds": _span(effort.held_out_seeds),
            "all": false_rates(plays),
            **_by_scenario(fresh, plays),
        },
        "planted_faults": try_faults(arm, effort, predict, calibration),
    }
    write_card(arm, content, calibration, effort, facts)


def _by_scenario(runs: list[Recording], plays: list[Play]) -> dict[str, Any]:
    """Heaps are harder than parts that lie apart, so they are told apart."""
    return {
        name: false_rates(
            [found for run, found in zip(runs, plays, strict=True) if run.scenario == name]
        )
        for name in sorted({run.scenario for run in runs})
    }


def write_card(
    arm: Arm, content: bytes, calibration: Calibration, effort: Effort, facts: dict[str, Any]
) -> None:
    joints = len(ARMS[arm].home_rad)
    folder = MODEL_FOLDER / arm.value
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{NAME}.onnx").write_bytes(content)
    card = {
        "about": f"What a healthy {arm.value} does {10 * HORIZON_STEPS} ms after a command:"
        " tracking error, velocity error and external torque of each joint.",
        "network": {
            "file": f"{NAME}.onnx",
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "inputs": input_size(joints),
            "outputs": output_size(joints),
        },
        "calibration": {
            "scale_free": _rounded(calibration.scale_free),
            "scale_touching": _rounded(calibration.scale_touching),
            "restrict_above": calibration.restrict_above,
            "veto_above": calibration.veto_above,
        },
        "calibrated_on_seeds": _span(effort.calibrate_seeds),
        **facts,
        "limits_of_use": "Recorded in simulation with perception replaced by noisy truth; says"
        " nothing about a real arm until it is recorded and calibrated again on one.",
    }
    (folder / f"{NAME}.yaml").write_text(yaml.safe_dump(card, sort_keys=False, width=100))


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]


def _span(seeds: Sequence[int]) -> str:
    return ", ".join(str(seed) for seed in seeds)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models.safety.train", description=__doc__)
    parser.add_argument("--arm", type=Arm, choices=list(Arm), default=Arm.PANDA)
    parser.add_argument("--cache", type=Path, help="folder of recordings to reuse")
    arguments = parser.parse_args()
    if arguments.cache is not None:
        arguments.cache.mkdir(parents=True, exist_ok=True)
    train(arguments.arm, Effort(), arguments.cache)


if __name__ == "__main__":
    main()
