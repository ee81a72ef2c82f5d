"""The cascade's acceptance: `nice -n 19 python -m models.perception.evaluate --walks 1000`.

Walks of style HELD_OUT are rendered once (about 1.2 s each on one core) and kept, as is what each
network saw in them; a second evaluation takes minutes. Writes evaluation.json beside the cards;
`python -m models.perception.report` turns it into docs/cascade.md.
"""

import argparse
import json
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from conf.schema.perception import Perception
from conf.schema.robot import RigidBodyModel
from models.perception import idle
from models.perception.outputs import Network, Walked, load_networks, walked
from models.perception.policies import Cascade, Cost, PlainLevel3, Policy, cue_mflop
from models.perception.scoring import (
    Interval,
    Summary,
    WalkScore,
    recall_ratio,
    score_walk,
    summarise,
)
from models.perception.stage import SIZE, Stage
from models.perception.walks import RATE_HZ, content_key, recorded, seeds_of
from runtime.perception.arm import ArmShape
from runtime.perception.eye import EyeSettings, Zone, settings_of
from runtime.perception.geometry import View
from runtime.perception.level import Level
from sim.appearance import Style
from sim.robot_model import Arm

ROOT = Path(__file__).resolve().parents[2]
RESULT = Path(__file__).resolve().parent / "evaluation.json"
ZONE = Zone((-0.30, -0.60), (0.85, 0.60))  # facility osaka's workspace
IDLE_SCENES = 10
ALWAYS, BARE = "always level 3", "level 3 at 5 Hz"


def shipped_perception() -> Perception:
    raw = yaml.safe_load((ROOT / "conf/perception/default.yaml").read_text())
    return Perception.model_validate_json(json.dumps(raw))


def panda_shape() -> ArmShape:
    raw = yaml.safe_load((ROOT / "conf/robot/model/panda.yaml").read_text())
    return ArmShape(RigidBodyModel.model_validate_json(json.dumps(raw)))


def view_of_stage(stage: Stage) -> View:
    seen = stage.view("cell")
    return View(seen.position_m, seen.rotation, seen.focal_px, *SIZE, seen.floor_z_m)


def cost_of(networks: dict[Level, Network], view: View) -> Cost:
    return Cost(
        {level: network.card.total_mflop for level, network in networks.items()},
        cue_mflop(view, balls=len(panda_shape().balls([0.0] * 7)[1])),
    )


@dataclass(frozen=True)
class Bench:
    """What one process needs to judge walks."""

    style: Style
    key: str
    networks: dict[Level, Network]
    view: View
    cost: Cost
    stage: Stage

    def walk(self, seed: int) -> Walked:
        return walked(self.style, seed, self.key, self.networks, self.view, self.stage)


@lru_cache(maxsize=2)
def bench_of(style: Style) -> Bench:
    stage = Stage(1, Arm.PANDA, style)
    view, networks = view_of_stage(stage), load_networks()
    return Bench(style, content_key(stage), networks, view, cost_of(networks, view), stage)


def policies_of(bench: Bench, variants: dict[str, EyeSettings]) -> dict[str, Policy]:
    shape = panda_shape()
    base = next(iter(variants.values()))
    plain: dict[str, Policy] = {
        ALWAYS: PlainLevel3(base, bench.cost, every=1),
        f"{ALWAYS}, no carry": PlainLevel3(base, bench.cost, every=1, carry=False),
        BARE: PlainLevel3(base, bench.cost, every=RATE_HZ // 5),
    }
    return plain | {
        name: Cascade(settings, bench.view, shape, bench.cost)
        for name, settings in variants.items()
    }


def _judge(job: tuple[Style, int, dict[str, EyeSettings]]) -> dict[str, WalkScore]:
    style, seed, variants = job
    bench = bench_of(style)
    walk = bench.walk(seed)
    return {
        name: score_walk(walk, policy(walk))
        for name, policy in policies_of(bench, variants).items()
    }


def judge_walks(
    style: Style, count: int, variants: dict[str, EyeSettings], processes: int
) -> dict[str, list[WalkScore]]:
    """Scores of every walk for the plain ways and for each variant of the cascade."""
    scores: dict[str, list[WalkScore]] = {}
    began = time.monotonic()
    for done, row in enumerate(_rows(style, count, variants, processes)):
        for name, score in row.items():
            scores.setdefault(name, []).append(score)
        if done % 50 == 49:
            print(f"{done + 1}/{count} walks, {time.monotonic() - began:.0f} s", flush=True)
    return scores


def _rows(
    style: Style, count: int, variants: dict[str, EyeSettings], processes: int
) -> Iterator[dict[str, WalkScore]]:
    jobs = [(style, seed, variants) for seed in seeds_of(style, count)]
    if processes == 1:
        yield from map(_judge, jobs)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(_judge, jobs, chunksize=4)


def _idle_gap_ms(bench: Bench, settings: EyeSettings) -> float:
    seeds = seeds_of(bench.style, IDLE_SCENES)
    recordings = [recorded(bench.style, seed, bench.key, bench.stage) for seed in seeds]
    return idle.longest_gap_ms(recordings, settings, bench.view, panda_shape())


def with_triggers(settings: EyeSettings, **changes: Any) -> EyeSettings:
    return replace(settings, triggers=settings.triggers.model_copy(update=changes))


def with_full_rate(settings: EyeSettings, rate_hz: float, burst: int) -> EyeSettings:
    budget = replace(settings.budgets[Level.FULL], rate_hz=rate_hz, burst=burst)
    return replace(settings, budgets={**settings.budgets, Level.FULL: budget})


def curve_variants(settings: EyeSettings) -> dict[str, EyeSettings]:
    """The shipped cascade, and what becomes of it when one threshold is moved."""
    shipped = settings.budgets[Level.FULL]
    variants = {"cascade": settings}
    for rate in (1.0, 2.0, 3.0, 7.5, 15.0):
        variants[f"level 3 rate {rate:g} Hz"] = with_full_rate(settings, rate, shipped.burst)
    for burst in (1, 2, 3, 4, 6):
        if burst != shipped.burst:
            variants[f"level 3 burst {burst}"] = with_full_rate(settings, shipped.rate_hz, burst)
    for pixels in (20, 120, 240, 480):
        variants[f"change_px {pixels}"] = with_triggers(settings, change_px=pixels)
    variants["no depth cue"] = with_triggers(settings, change_px=1_000_000)
    variants["no level 2"] = replace(
        settings,
        budgets={**settings.budgets, Level.REFINED: replace(shipped, rate_hz=1e-6, burst=0)},
    )
    return variants


def verdict(summaries: dict[str, Summary], ratio: Interval, cost: Cost) -> dict[str, Any]:
    """The acceptance, point by point."""
    ours, always, bare = summaries["cascade"], summaries[ALWAYS], summaries[BARE]
    times = cost.level[Level.FULL] / cost.level[Level.FAST]
    return {
        "a_recall_ratio": asdict(ratio),
        "a_recall_ok": ratio.value >= 0.99,
        "a_false_reports_ok": ours.false_a_frame.value <= always.false_a_frame.value,
        "b_first_p95_ms": ours.first_ms_p95,
        "b_first_ok": ours.first_ms_p95 <= 200.0 and ours.first_ms_p95 < bare.first_ms_p95,
        "b_compute_share": ours.compute_share.value,
        "b_compute_ok": ours.compute_share.value < 1 / 6,
        "c_level3_recall": summaries[f"{ALWAYS}, no carry"].recall.value,
        "c_level3_recall_ok": summaries[f"{ALWAYS}, no carry"].recall.value >= 0.95,
        "c_level3_over_level1": times,
        "c_cost_ok": times >= 10.0,
        "d_longest_gap_ms": ours.longest_gap_ms,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--walks", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--curve", action="store_true", help="moved thresholds as well")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    settings = settings_of(shipped_perception(), ZONE)
    variants = curve_variants(settings) if args.curve else {"cascade": settings}
    scores = judge_walks(Style.HELD_OUT, args.walks, variants, args.processes)
    bench = bench_of(Style.HELD_OUT)
    full = bench.cost.level[Level.FULL]
    summaries = {name: summarise(rows, full) for name, rows in scores.items()}
    ratio = recall_ratio(scores["cascade"], scores[ALWAYS])
    result = {
        "walks": args.walks,
        "pictures": sum(score.frames for score in scores["cascade"]),
        "wanted": sum(score.wanted for score in scores["cascade"]),
        "networks": {level.key: network.card.sha256 for level, network in bench.networks.items()},
        "mflop": {level.key: value for level, value in bench.cost.level.items()}
        | {"cue": bench.cost.cue},
        "idle": {
            "seconds": IDLE_SCENES * idle.SECONDS,
            "longest_gap_ms": _idle_gap_ms(bench, settings),
        },
        "verdict": verdict(summaries, ratio, bench.cost),
        "ways": {name: asdict(summary) for name, summary in summaries.items()},
        "ratios": {
            name: asdict(recall_ratio(rows, scores[ALWAYS])) for name, rows in scores.items()
        },
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print_result(summaries, result["verdict"])


def print_result(summaries: dict[str, Summary], points: dict[str, Any]) -> None:
    for name, s in summaries.items():
        print(
            f"{name:28s} recall {s.recall.text(100)} %  false {s.false_a_frame.text(1, 4)}  "
            f"compute {s.compute_share.text(100, 1)} %  first {s.first_ms_mean:.0f} / "
            f"{s.first_ms_p95:.0f} ms, never {s.never_ratio:.1%}  full {s.full_looks_hz:.2f} Hz"
        )
    print(json.dumps(points, indent=1))


if __name__ == "__main__":
    main()
