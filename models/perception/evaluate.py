"""The cascade's acceptance: `nice -n 19 python -m models.perception.evaluate --walks 1000`.

Walks of style HELD_OUT are rendered once (about 1.2 s each on one core) and kept, as is what each
network saw in them; a second evaluation takes minutes. Writes evaluation.json beside the cards;
`python -m models.perception.report` turns it into docs/cascade.md.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import yaml

from conf.schema.perception import Perception
from conf.schema.robot import RigidBodyModel
from models.perception import idle
from models.perception.outputs import Network, Walked, load_networks, looked_at, walked
from models.perception.policies import Cascade, Cost, PlainLevel3, Policy, cue_mflop
from models.perception.scoring import (
    WalkScore,
    false_difference,
    recall_ratio,
    score_walk,
    summarise,
)
from models.perception.stage import SIZE, Stage
from models.perception.walks import RATE_HZ, content_key, record, recorded, seeds_of
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
SAMPLE = 6  # walks whose own figures are kept, for a test to look at again
ALWAYS, BARE = "always level 3", "level 3 at 5 Hz"


@lru_cache
def shipped_perception() -> Perception:
    raw = yaml.safe_load((ROOT / "conf/perception/default.yaml").read_text())
    return Perception.model_validate_json(json.dumps(raw))


@lru_cache
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

    def fresh_walk(self, seed: int) -> Walked:
        """The same, rendered and looked at now."""
        recording = record(self.style, seed, self.stage)
        return looked_at(seed, recording, self.networks, self.view)


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


Ways = Callable[[Bench], dict[str, Policy]]


def ways_of(variants: dict[str, EyeSettings]) -> Ways:
    """The plain ways, and each variant of the cascade."""
    return partial(policies_of, variants=variants)


def _judge(job: tuple[Style, int, Ways]) -> dict[str, WalkScore]:
    style, seed, ways = job
    bench = bench_of(style)
    walk = bench.walk(seed)
    return {name: score_walk(walk, policy(walk)) for name, policy in ways(bench).items()}


def judge_walks(style: Style, count: int, ways: Ways, processes: int) -> dict[str, list[WalkScore]]:
    """Scores of every walk for each way of looking."""
    scores: dict[str, list[WalkScore]] = {}
    began = time.monotonic()
    for done, row in enumerate(_rows(style, count, ways, processes)):
        for name, score in row.items():
            scores.setdefault(name, []).append(score)
        if done % 50 == 49:
            print(f"{done + 1}/{count} walks, {time.monotonic() - began:.0f} s", flush=True)
    return scores


def _rows(style: Style, count: int, ways: Ways, processes: int) -> Iterator[dict[str, WalkScore]]:
    jobs = [(style, seed, ways) for seed in seeds_of(style, count)]
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
    shipped, tracks = settings.budgets[Level.FULL], settings.tracks
    variants = {"cascade": settings}
    for rate in (1.0, 2.0, 3.0, 7.5, 15.0):
        variants[f"level 3 rate {rate:g} Hz"] = with_full_rate(settings, rate, shipped.burst)
    for burst in (1, 3, 6):
        variants[f"level 3 burst {burst}"] = with_full_rate(settings, shipped.rate_hz, burst)
    for pixels in (20, 60, 120, 240, 480):
        variants[f"change_px {pixels}"] = with_triggers(settings, change_px=pixels)
    for age_s in (0.0, 0.2, 1.0):
        variants[f"human_look_s {age_s:g}"] = with_triggers(settings, human_look_s=age_s)
    variants["no depth cue"] = with_triggers(settings, change_px=1_000_000)
    variants["no keeping by depth"] = replace(settings, tracks=replace(tracks, depth_keep_ns=0))
    variants["no level 2"] = replace(
        settings,
        budgets={**settings.budgets, Level.REFINED: replace(shipped, rate_hz=1e-6, burst=0)},
    )
    everything = with_triggers(with_full_rate(settings, 60.0, 2), full_look_s=1e-3, human_look_s=0)
    variants["cascade, level 3 every time"] = everything
    return variants


def described(settings: EyeSettings) -> dict[str, Any]:
    """The settings that a result holds for, as JSON has them."""
    tracks, budgets = settings.tracks, settings.budgets
    plain = {
        "triggers": settings.triggers.model_dump(),
        "budgets": {level.key: asdict(budget) for level, budget in budgets.items()},
        "change": asdict(settings.change),
        "zone": asdict(settings.zone),
        "tracks": {
            name: {level.key: share for level, share in value.items()}
            if isinstance(value, dict)
            else value
            for name, value in vars(tracks).items()
        },
    }
    return json.loads(json.dumps(plain))


def verdict(scores: dict[str, list[WalkScore]], cost: Cost) -> dict[str, Any]:
    """The acceptance, point by point."""
    full = cost.level[Level.FULL]
    ours, alone, bare = (
        summarise(scores[name], full) for name in ("cascade", f"{ALWAYS}, no carry", BARE)
    )
    ratio = recall_ratio(scores["cascade"], scores[ALWAYS])
    more = false_difference(scores["cascade"], scores[ALWAYS])
    times = full / cost.level[Level.FAST]
    return {
        "a_recall_ratio": asdict(ratio),
        "a_recall_ok": ratio.value >= 0.99,
        "a_false_reports_more": asdict(more),
        "a_false_reports_ok": more.value <= 0.0,
        "b_first_p95_ms": ours.first_ms_p95,
        "b_first_ok": ours.first_ms_p95 <= 200.0 and ours.first_ms_p95 < bare.first_ms_p95,
        "b_compute_share": ours.compute_share.value,
        "b_compute_ok": ours.compute_share.value < 1 / 6,
        "c_level3_recall": asdict(alone.recall),
        "c_level3_recall_ok": alone.recall.value >= 0.95,
        "c_level3_over_level1": times,
        "c_cost_ok": times >= 10.0,
        "d_longest_gap_ms": ours.longest_gap_ms,
    }


def _figures(scores: dict[str, list[WalkScore]], full_mflop: float) -> dict[str, Any]:
    return {
        "walks": len(scores["cascade"]),
        "ways": {name: asdict(summarise(rows, full_mflop)) for name, rows in scores.items()},
        "ratios": {
            name: asdict(recall_ratio(rows, scores[ALWAYS])) for name, rows in scores.items()
        },
    }


def _sample(scores: dict[str, list[WalkScore]]) -> list[dict[str, Any]]:
    return [
        {
            "wanted": ours.wanted,
            "found": ours.found,
            "always_found": always.found,
            "false_reports": ours.false_reports,
            "mflop": ours.mflop,
        }
        for ours, always in zip(scores["cascade"][:SAMPLE], scores[ALWAYS], strict=False)
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--walks", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--curve", type=int, default=200, help="walks for moved thresholds")
    parser.add_argument("--out", type=Path, default=RESULT)
    return parser.parse_args()


def main() -> None:
    args = _arguments()
    settings = settings_of(shipped_perception(), ZONE)
    ways = ways_of({"cascade": settings})
    scores = judge_walks(Style.HELD_OUT, args.walks, ways, args.processes)
    bench = bench_of(Style.HELD_OUT)
    full = bench.cost.level[Level.FULL]
    result = {
        "pictures": sum(score.frames for score in scores["cascade"]),
        "wanted": sum(score.wanted for score in scores["cascade"]),
        "networks": {level.key: network.card.sha256 for level, network in bench.networks.items()},
        "settings": described(settings),
        "mflop": {level.key: value for level, value in bench.cost.level.items()}
        | {"cue": bench.cost.cue},
        "idle": {
            "seconds": IDLE_SCENES * idle.SECONDS,
            "longest_gap_ms": _idle_gap_ms(bench, settings),
        },
        "verdict": verdict(scores, bench.cost),
        "sample": _sample(scores),
        **_figures(scores, full),
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print_result(scores, full, result["verdict"])
    if args.curve:
        moved = ways_of(curve_variants(settings))
        scores = judge_walks(Style.HELD_OUT, args.curve, moved, args.processes)
        result["curve"] = _figures(scores, full)
        args.out.write_text(json.dumps(result, indent=1) + "\n")
        print_result(scores, full, {})


def print_result(
    scores: dict[str, list[WalkScore]], full_mflop: float, points: dict[str, Any]
) -> None:
    for name, rows in scores.items():
        s = summarise(rows, full_mflop)
        print(
            f"{name:28s} recall {s.recall.text(100)} %  false {s.false_a_frame.text(1, 4)}  "
            f"compute {s.compute_share.text(100, 1)} %  first {s.first_ms_mean:.0f} / "
            f"{s.first_ms_p95:.0f} ms, never {s.never_ratio:.1%}  full {s.full_looks_hz:.2f} Hz"
        )
    print(json.dumps(points, indent=1))


if __name__ == "__main__":
    main()
