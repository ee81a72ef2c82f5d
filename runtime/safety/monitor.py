"""From prediction errors to a verdict: smoothed surprise, two thresholds, and slow forgiveness.

Pure: a monitor is a value, and each sample gives the next one. Too little history, or nothing to
compare for a tenth of a second, is `unknown`, which never approves anything.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from runtime.safety.features import (
    HORIZON_STEPS,
    STEP_NS,
    Array,
    Sample,
    measured,
    model_input,
)
from runtime.shm import Verdict

Predict = Callable[[Array], Array]

# Touching a part or the tray takes some hundredths of a second; what is broken stays broken.
SMOOTHING = 0.08
HISTORY_FOR_OPINION = 10
# The network knows one step only: samples further apart, or closer together, than about that long
# would surprise it without anything being wrong with the arm.
SHORTEST_GAP_NS = STEP_NS - STEP_NS // 3
LONGEST_GAP_NS = STEP_NS + STEP_NS // 3
# A step that came late cannot be judged, and three more pass until the next one can. So long an
# approval stands; without a comparison for longer than this nobody knows.
APPROVAL_LASTS_NS = 100_000_000


@dataclass(frozen=True)
class Calibration:
    """Measured on recorded runs; see the model's card. `scales[touching]` is the usual error."""

    scale_free: Array
    scale_touching: Array
    restrict_above: float
    veto_above: float


@dataclass(frozen=True)
class Hysteresis:
    release_ns: int


@dataclass(frozen=True)
class Monitor:
    """`errors` is the smoothed, normalised error of each output."""

    samples: tuple[Sample, ...] = ()
    predictions: tuple[Array, ...] = ()
    errors: Array | None = None
    seen: int = 0
    verdict: Verdict = Verdict.UNKNOWN
    calm_since_ns: int = 0
    judged_ns: int = 0  # time of the last sample that a prediction was compared with

    @property
    def surprise(self) -> float:
        """The worst output's error, in units of what is usual."""
        return float("nan") if self.errors is None else float(np.max(np.abs(self.errors)))


def observe(
    monitor: Monitor, sample: Sample, predict: Predict, calibration: Calibration, rule: Hysteresis
) -> Monitor:
    """Compare with what was predicted two steps ago, predict anew, judge."""
    if monitor.samples and not _follows(monitor.samples[-1], sample):
        monitor = _after_gap(monitor, sample.created_ns)
    if not monitor.samples:
        return replace(monitor, samples=(sample,))
    prediction = predict(model_input(monitor.samples[-1], sample))
    predictions = (*monitor.predictions, prediction)
    monitor = replace(monitor, samples=(sample,))
    if len(predictions) <= HORIZON_STEPS:
        return replace(monitor, predictions=predictions)
    due, kept = predictions[0], predictions[1:]
    scale = calibration.scale_touching if sample.touching else calibration.scale_free
    error = (measured(sample) - due) / scale
    error = np.where(np.isfinite(error), error, np.inf)
    before = np.zeros_like(error) if monitor.errors is None else monitor.errors
    smooth = np.clip((1 - SMOOTHING) * before + SMOOTHING * np.clip(error, -1e6, 1e6), -1e6, 1e6)
    monitor = replace(
        monitor,
        predictions=kept,
        errors=smooth,
        seen=monitor.seen + 1,
        judged_ns=sample.created_ns,
    )
    return _judge(monitor, sample.created_ns, calibration, rule)


def grade(surprise: float, calibration: Calibration) -> Verdict:
    """The opinion on one surprise, without memory. NaN is the worst there is."""
    if not surprise <= calibration.veto_above:
        return Verdict.VETO
    if not surprise <= calibration.restrict_above:
        return Verdict.RESTRICT
    return Verdict.OK


def _judge(monitor: Monitor, now_ns: int, calibration: Calibration, rule: Hysteresis) -> Monitor:
    """Worse at once; better only after the surprise stayed lower for the release time."""
    if monitor.seen < HISTORY_FOR_OPINION:
        return monitor
    fresh, standing = grade(monitor.surprise, calibration), monitor.verdict
    if standing is Verdict.UNKNOWN or fresh > standing:
        return replace(monitor, verdict=fresh, calm_since_ns=now_ns)
    if fresh == standing:
        return replace(monitor, calm_since_ns=now_ns)
    if now_ns - monitor.calm_since_ns < rule.release_ns:
        return monitor
    # One rung at a time: a veto becomes a restriction first.
    milder = Verdict(max(fresh, standing - 1))
    return replace(monitor, verdict=milder, calm_since_ns=now_ns)


def _follows(before: Sample, sample: Sample) -> bool:
    gap_ns = sample.created_ns - before.created_ns
    return before.joints == sample.joints and SHORTEST_GAP_NS <= gap_ns <= LONGEST_GAP_NS


def _after_gap(monitor: Monitor, now_ns: int) -> Monitor:
    """Predictions do not reach over a gap. After a short one what was known still stands."""
    if monitor.seen and 0 < now_ns - monitor.judged_ns <= APPROVAL_LASTS_NS:
        return replace(monitor, samples=(), predictions=())
    # Whatever was wrong before a long gap has not been seen to be right.
    return Monitor(verdict=without_news(monitor.verdict), calm_since_ns=now_ns)


def without_news(verdict: Verdict) -> Verdict:
    """What an opinion is worth when nothing has been compared for long."""
    match verdict:
        case Verdict.RESTRICT | Verdict.VETO:
            return verdict
        case Verdict.UNKNOWN | Verdict.OK:
            return Verdict.UNKNOWN
