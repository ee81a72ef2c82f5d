"""Plays recordings through the very monitor that runs on the robot."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from models.safety.record import Recording
from runtime.safety.features import Array, measured
from runtime.safety.monitor import Calibration, Hysteresis, Monitor, Predict, observe
from runtime.shm import Verdict

RULE = Hysteresis(release_ns=400_000_000)
# A run's own limit is what a thousandth of its samples exceed. The threshold is set by the upper
# quartile of the runs' limits: the worst run may hold a real knock, and must not set the scale.
SAMPLE_QUANTILE = 0.999
RUN_QUANTILE = 0.75
RESTRICT_FACTOR = 1.5
# Of the threshold of restriction. A veto stops the robot until a person comes. A part that lands a
# centimetre early, because its height was misjudged, surprises three to four times as much as a
# good landing does; the card says which planted faults surprise more than ten times as much.
VETO_FACTOR = 10.0
ERROR_QUANTILE = 0.95


@dataclass(frozen=True)
class Play:
    """Surprise and verdict at every sample of one run."""

    surprise: Array
    verdicts: tuple[Verdict, ...]


def play(recording: Recording, predict: Predict, calibration: Calibration) -> Play:
    monitor = Monitor()
    surprise, verdicts = [], []
    for sample in recording.samples:
        monitor = observe(monitor, sample, predict, calibration, RULE)
        surprise.append(monitor.surprise)
        verdicts.append(monitor.verdict)
    return Play(np.array(surprise), tuple(verdicts))


def calibrate(
    recordings: Iterable[Recording], predict: Predict, errors: dict[bool, Array]
) -> Calibration:
    """Scales from the errors' quantile, thresholds from the surprise of runs that went well."""
    scales = {
        touching: np.maximum(np.quantile(np.abs(found), ERROR_QUANTILE, axis=0), 0.1)
        for touching, found in errors.items()
    }
    open_ended = Calibration(scales[False], scales[True], 1e6, 1e6)
    limits = []
    for recording in recordings:
        surprise = play(recording, predict, open_ended).surprise
        limits.append(np.quantile(surprise[np.isfinite(surprise)], SAMPLE_QUANTILE))
    restrict = float(np.quantile(limits, RUN_QUANTILE)) * RESTRICT_FACTOR
    veto = VETO_FACTOR * restrict
    return Calibration(scales[False], scales[True], round(restrict, 3), round(veto, 3))


def prediction_errors(
    recordings: Iterable[Recording], predict: Predict, horizon: int
) -> dict[bool, Array]:
    """What the model was off by, apart for a free and a touching cup."""
    from models.safety.record import pairs

    rows: dict[bool, list[Array]] = {False: [], True: []}
    for recording in recordings:
        inputs, wanted, touching = pairs(recording, horizon)
        found = np.stack([predict(row.astype(np.float64)) for row in inputs])
        for flag in (False, True):
            rows[flag].append((wanted - found)[touching == flag])
    return {flag: np.concatenate(found) for flag, found in rows.items()}


def false_rates(plays: Iterable[Play]) -> dict[str, float]:
    """Share of time in which a healthy arm was restricted or vetoed."""
    verdicts = [verdict for found in plays for verdict in found.verdicts]
    count = max(1, len(verdicts))
    return {
        "hours": round(len(verdicts) * 0.01 / 3600, 4),
        "restricted_ratio": round(sum(v is Verdict.RESTRICT for v in verdicts) / count, 6),
        "vetoed_ratio": round(sum(v is Verdict.VETO for v in verdicts) / count, 6),
    }


def detection_delay_s(found: Play, at_sample: int, verdict: Verdict) -> float | None:
    """Seconds from the fault to the first verdict at least this strict.

    None where it never came, and where the arm was not judged healthy when the fault struck: an
    alarm that was already standing has noticed nothing.
    """
    if found.verdicts[at_sample - 1] is not Verdict.OK:
        return None
    for index, said in enumerate(found.verdicts[at_sample:]):
        if said >= verdict:
            return round((index + 1) * 0.01, 2)
    return None


def worst_outputs(recording: Recording, predict: Predict, calibration: Calibration) -> list[int]:
    """Which outputs surprise most, for whoever looks into a run."""
    monitor, tops = Monitor(), []
    for sample in recording.samples:
        monitor = observe(monitor, sample, predict, calibration, RULE)
        if monitor.errors is not None:
            tops.append(int(np.argmax(np.abs(monitor.errors))))
    outputs = len(measured(recording.samples[0]))
    return np.bincount(tops, minlength=outputs).tolist() if tops else [0] * outputs
