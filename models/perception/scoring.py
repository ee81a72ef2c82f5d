"""How well a way of looking did on walks, with intervals over walks."""

from dataclasses import dataclass

import numpy as np

from models.perception.outputs import Walked
from models.perception.policies import Watched
from models.perception.walks import PERIOD_NS
from runtime.perception.level import Level

WANTED_PX = 300
MATCH_M = 0.5  # a report this near to a person is that person
NOBODY_M = 1.0  # a report further than this from everybody is a false one
BOOTSTRAPS = 2000
NEVER_MS = float("inf")


@dataclass(frozen=True)
class WalkScore:
    wanted: int  # persons of enough pixels, summed over pictures
    found: int
    false_reports: int
    frames: int
    present: int  # pictures with anybody visible
    first_ms: tuple[float, ...]  # of each person: from enough pixels to the first report
    mflop: float
    runs: dict[Level, int]
    longest_gap_ms: float  # between full looks


def score_walk(walk: Walked, watched: Watched) -> WalkScore:
    recording = walk.recording
    frames = len(watched.reported_m)
    hit = np.zeros(recording.pixels.shape, bool)
    false_reports = 0
    for frame in range(frames):
        truth = recording.position_m[frame]
        there = np.flatnonzero(np.isfinite(truth[:, 0]))
        reported = watched.reported_m[frame]
        if len(reported) == 0:
            continue
        gaps = np.linalg.norm(reported[:, None, :2] - truth[None, there, :2], axis=-1)
        nearest = gaps.min(1) if len(there) else np.full(len(reported), np.inf)
        false_reports += int(np.count_nonzero(nearest > NOBODY_M))
        for report in np.argsort(nearest):
            if not len(there) or not np.isfinite(gaps).any():
                break
            person = int(np.argmin(gaps[report]))
            if gaps[report, person] <= MATCH_M:
                hit[frame, there[person]] = True
                gaps[:, person] = np.inf
    wanted = recording.pixels >= WANTED_PX
    return WalkScore(
        wanted=int(wanted.sum()),
        found=int((wanted & hit).sum()),
        false_reports=false_reports,
        frames=frames,
        present=int((recording.pixels > 0).any(1).sum()),
        first_ms=tuple(
            _first_ms(wanted[:, p], hit[:, p]) for p in range(wanted.shape[1]) if wanted[:, p].any()
        ),
        mflop=watched.mflop,
        runs={level: int(ran.sum()) for level, ran in watched.runs.items()},
        longest_gap_ms=_longest_gap_ms(watched.runs[Level.FULL]),
    )


def _first_ms(wanted: np.ndarray, hit: np.ndarray) -> float:
    """Time to the first report, in pictures: 0 when it was known before it was asked for."""
    begin = int(np.argmax(wanted))
    later = np.flatnonzero(hit[begin:])
    return float(later[0]) * PERIOD_NS / 1e6 if len(later) else NEVER_MS


def _longest_gap_ms(ran: np.ndarray) -> float:
    at = np.flatnonzero(ran)
    edges = np.concatenate([[0], at, [len(ran) - 1]])
    return float(np.diff(edges).max()) * PERIOD_NS / 1e6


@dataclass(frozen=True)
class Interval:
    value: float
    low: float
    high: float

    def text(self, scale: float = 1.0, digits: int = 2) -> str:
        v, a, b = (f"{x * scale:.{digits}f}" for x in (self.value, self.low, self.high))
        return f"{v} [{a}, {b}]"


@dataclass(frozen=True)
class Summary:
    recall: Interval
    false_a_frame: Interval
    compute_share: Interval
    first_ms_mean: float  # of those found
    first_ms_p95: float
    first_p95_between_ms: tuple[float, float]
    never_ratio: float
    full_looks_hz: float
    refined_looks_hz: float
    present_ratio: float
    longest_gap_ms: float


def _draws(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, count, (BOOTSTRAPS, count))


def _interval(over: np.ndarray, under: np.ndarray, draws: np.ndarray) -> Interval:
    """A ratio of sums over walks, resampled by walk: pictures of one walk are not independent."""
    values = over[draws].sum(1) / np.maximum(under[draws].sum(1), 1e-9)
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(over.sum() / max(under.sum(), 1e-9)), float(low), float(high))


def summarise(scores: list[WalkScore], full_mflop: float) -> Summary:
    draws = _draws(len(scores))
    column = {
        name: np.array([getattr(score, name) for score in scores], float)
        for name in ("wanted", "found", "false_reports", "frames", "mflop", "present")
    }
    first = np.array([ms for score in scores for ms in score.first_ms])
    found = first[np.isfinite(first)]
    seconds = column["frames"].sum() * PERIOD_NS / 1e9
    return Summary(
        recall=_interval(column["found"], column["wanted"], draws),
        false_a_frame=_interval(column["false_reports"], column["frames"], draws),
        compute_share=_interval(column["mflop"], column["frames"] * full_mflop, draws),
        first_ms_mean=float(found.mean()) if len(found) else NEVER_MS,
        first_ms_p95=_p95(first),
        first_p95_between_ms=_first_interval(scores, draws),
        never_ratio=float(np.mean(~np.isfinite(first))),
        full_looks_hz=sum(score.runs[Level.FULL] for score in scores) / seconds,
        refined_looks_hz=sum(score.runs[Level.REFINED] for score in scores) / seconds,
        present_ratio=float(column["present"].sum() / column["frames"].sum()),
        longest_gap_ms=max(score.longest_gap_ms for score in scores),
    )


def _p95(first_ms: np.ndarray) -> float:
    return float(np.percentile(first_ms, 95, method="higher"))


def _first_interval(scores: list[WalkScore], draws: np.ndarray) -> tuple[float, float]:
    each = [np.array(score.first_ms, float) for score in scores]
    values = [_p95(np.concatenate([each[walk] for walk in draw])) for draw in draws[:500]]
    low, high = np.percentile(values, [2.5, 97.5], method="nearest")
    return float(low), float(high)


def false_difference(ours: list[WalkScore], theirs: list[WalkScore]) -> Interval:
    """False reports a picture, ours less theirs, on the same walks, resampled together."""
    more = np.array([a.false_reports - b.false_reports for a, b in zip(ours, theirs, strict=True)])
    frames = np.array([score.frames for score in ours], float)
    return _interval(more.astype(float), frames, _draws(len(ours)))


def recall_ratio(ours: list[WalkScore], theirs: list[WalkScore]) -> Interval:
    """Recall against another way of looking, on the same walks, resampled together."""
    draws = _draws(len(ours))
    found = np.array([score.found for score in ours], float)
    other = np.array([score.found for score in theirs], float)
    values = found[draws].sum(1) / np.maximum(other[draws].sum(1), 1e-9)
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(found.sum() / other.sum()), float(low), float(high))
