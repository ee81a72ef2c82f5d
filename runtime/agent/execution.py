"""One task from observing to verified, as a pure state machine.

observe → pick → place → retreat → verify → done, with a bounded number of attempts. Perception
decides at both ends: the target is a part that was detected, and done means that a part is seen
where the place point was, in a picture taken after the arm had left. Neither the policy's own
opinion nor the gripper's alone makes a task done.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import hypot, inf

from runtime.agent.task import FailReason, Task

Position = tuple[float, float, float]


class Stage(StrEnum):
    OBSERVE = "observe"
    PICK = "pick"
    PLACE = "place"
    RETREAT = "retreat"
    VERIFY = "verify"
    DONE = "done"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        return self in {Stage.DONE, Stage.FAILED}


@dataclass(frozen=True)
class Area:
    """Inside of a tub on the table, base frame."""

    center_m: tuple[float, float]
    inner_m: tuple[float, float]

    def holds(self, position: Position, margin_m: float = 0.0) -> bool:
        return all(
            abs(position[axis] - self.center_m[axis]) <= self.inner_m[axis] / 2 + margin_m
            for axis in (0, 1)
        )


@dataclass(frozen=True)
class Rules:
    """Everything that could be tuned, in one place; made from the profile."""

    pick: Area
    place: Area
    attempts_max: int
    confidence_min: float = 0.5
    place_pitch_m: float = 0.025  # of the raster of places that are tried in the tray
    place_gap_m: float = 0.008  # left free between two parts, whichever way they are turned
    place_room_m: float = 0.03  # more is not looked for
    verify_radius_m: float = 0.06
    # A part's middle lies off the wall by half its width; what is nearer is the wall's own top.
    wall_margin_m: float = 0.01
    unseen_kept: int = 6
    observe_timeout_ns: int = 10_000_000_000
    pick_timeout_ns: int = 45_000_000_000  # people may keep the arm waiting
    place_timeout_ns: int = 45_000_000_000
    retreat_timeout_ns: int = 20_000_000_000
    verify_timeout_ns: int = 3_000_000_000
    stopped_max_ns: int = 60_000_000_000

    def is_pickable(self, part: "SeenPart") -> bool:
        sure = part.confidence >= self.confidence_min
        return sure and self.pick.holds(part.position_m, -self.wall_margin_m)


@dataclass(frozen=True)
class SeenPart:
    object_id: int
    position_m: Position  # middle of its top
    confidence: float
    radius_m: float  # of the circle around its footprint


@dataclass(frozen=True)
class Scene:
    capture_ns: int
    parts: tuple[SeenPart, ...]


@dataclass(frozen=True)
class PolicyReport:
    task_id: int
    done: bool
    failed: bool
    reason: str


@dataclass(frozen=True)
class View:
    """What the agent sees in one look. None: nothing fresh."""

    scene: Scene | None
    policy: PolicyReport | None
    holding: bool | None
    may_move: bool
    at_home: bool = False
    fallback: bool = False  # the fallback controller commands the arm


@dataclass(frozen=True)
class Execution:
    task: Task
    stage: Stage
    stage_since_ns: int
    attempt: int = 1
    target: SeenPart | None = None
    place_m: Position | None = None
    reason: FailReason = FailReason.NONE  # of the last attempt that failed
    detail: str = ""
    stopped_since_ns: int | None = None
    missed: tuple[int, ...] = ()  # objects that an attempt failed on: others come first
    unseen: tuple[SeenPart, ...] = ()  # set down, and not seen afterwards: they may lie there still
    fallback: bool = False  # the fallback controller moved the arm in this attempt

    def enter(self, stage: Stage, now_ns: int) -> "Execution":
        return replace(self, stage=stage, stage_since_ns=now_ns)

    def time_in_stage_ns(self, now_ns: int) -> int:
        return now_ns - self.stage_since_ns


def begin(task: Task, now_ns: int, unseen: tuple[SeenPart, ...] = ()) -> Execution:
    """`unseen` is what the execution before left: the tray outlives a task."""
    return Execution(task, Stage.OBSERVE, now_ns, attempt=task.attempts + 1, unseen=unseen)


def advance(run: Execution, view: View, now_ns: int, rules: Rules) -> Execution:
    """One look: the same execution, or the next stage of it."""
    if run.stage.is_final:
        return run
    if not view.may_move:
        return _stopped(run, now_ns, rules)
    if run.stopped_since_ns is not None:
        return _resumed(run, view, now_ns)
    if view.fallback and not run.fallback:
        run = replace(run, fallback=True)
    return _in_stage(run, view, now_ns, rules)


def _in_stage(run: Execution, view: View, now_ns: int, rules: Rules) -> Execution:
    match run.stage:
        case Stage.OBSERVE:
            return _observe(run, view, now_ns, rules)
        case Stage.PICK:
            return _pick(run, view, now_ns, rules)
        case Stage.PLACE:
            return _place(run, view, now_ns, rules)
        case Stage.RETREAT:
            return _retreat(run, view, now_ns, rules)
        case Stage.VERIFY:
            return _verify(run, view, now_ns, rules)
        case Stage.DONE | Stage.FAILED:
            return run


def _stopped(run: Execution, now_ns: int, rules: Rules) -> Execution:
    """A stop suspends the task. One that lasts gives it up, so that a queue cannot hang on it."""
    if run.stopped_since_ns is None:
        return replace(run, stopped_since_ns=now_ns)
    if now_ns - run.stopped_since_ns < rules.stopped_max_ns:
        return run
    stopped = replace(run, reason=FailReason.STOPPED, detail="stopped for too long")
    return stopped.enter(Stage.FAILED, now_ns)


def _resumed(run: Execution, view: View, now_ns: int) -> Execution:
    """After a stop the world may have changed: look again, unless the part is in the gripper."""
    resumed = replace(run, stopped_since_ns=None)
    if view.holding and run.target is not None and run.place_m is not None:
        return resumed.enter(Stage.PLACE, now_ns)
    return replace(resumed.enter(Stage.OBSERVE, now_ns), target=None, place_m=None)


def _observe(run: Execution, view: View, now_ns: int, rules: Rules) -> Execution:
    scene = _scene_since(run, view)
    late = run.time_in_stage_ns(now_ns) > rules.observe_timeout_ns
    if scene is None:
        return _retry(run, now_ns, rules, FailReason.NO_PART_SEEN, "no scene") if late else run
    target = choose_target(run, scene, rules)
    if target is None:
        asked = run.task.object_id is not None
        reason = FailReason.OBJECT_NOT_SEEN if asked else FailReason.NO_PART_SEEN
        return _retry(run, now_ns, rules, reason) if late else run
    # Only a tray that is full without them is worth the risk of pressing on one.
    place_m = choose_place((*scene.parts, *run.unseen), target, rules)
    place_m = place_m or choose_place(scene.parts, target, rules)
    if place_m is None:
        return _retry(run, now_ns, rules, FailReason.TRAY_FULL) if late else run
    return replace(run, target=target, place_m=place_m).enter(Stage.PICK, now_ns)


def _pick(run: Execution, view: View, now_ns: int, rules: Rules) -> Execution:
    if view.holding:
        return run.enter(Stage.PLACE, now_ns)
    failed = _policy_failure(run, view)
    if failed is not None:
        return _retry(run, now_ns, rules, FailReason.GRASP_MISSED, failed)
    if run.time_in_stage_ns(now_ns) > rules.pick_timeout_ns:
        return _retry(run, now_ns, rules, FailReason.PICK_TIMEOUT)
    return run


def _place(run: Execution, view: View, now_ns: int, rules: Rules) -> Execution:
    policy = view.policy
    if policy is not None and policy.task_id == run.task.task_id and policy.done:
        return run.enter(Stage.RETREAT, now_ns)
    if view.holding is False:
        # Released where it should be, or lost on the way: the picture after the retreat tells.
        return run.enter(Stage.RETREAT, now_ns)
    failed = _policy_failure(run, view)
    if failed is not None:
        return _retry(run, now_ns, rules, FailReason.POLICY_FAILED, failed)
    if run.time_in_stage_ns(now_ns) > rules.place_timeout_ns:
        return _retry(run, now_ns, rules, FailReason.PLACE_TIMEOUT)
    return run


def _retreat(run: Execution, view: View, now_ns: int, rules: Rules) -> Execution:
    policy = view.policy
    done = policy is not None and policy.task_id == run.task.task_id and policy.done
    if done or view.at_home or run.time_in_stage_ns(now_ns) > rules.retreat_timeout_ns:
        return run.enter(Stage.VERIFY, now_ns)
    return run


def _verify(run: Execution, view: View, now_ns: int, rules: Rules) -> Execution:
    scene = _scene_since(run, view)
    empty = view.holding is False
    if scene is not None and empty and _is_placed(run, scene, rules):
        return run.enter(Stage.DONE, now_ns)
    if run.time_in_stage_ns(now_ns) > rules.verify_timeout_ns:
        return _retry(_lost_sight(run, rules), now_ns, rules, FailReason.PLACE_NOT_SEEN)
    return run


def _lost_sight(run: Execution, rules: Rules) -> Execution:
    if run.target is None or run.place_m is None:
        return run
    there = replace(run.target, position_m=run.place_m)
    return replace(run, unseen=(*run.unseen, there)[-rules.unseen_kept :])


def _scene_since(run: Execution, view: View) -> Scene | None:
    """Only pictures taken in this stage count; an older one shows the cell before the arm moved."""
    scene = view.scene
    return scene if scene is not None and scene.capture_ns >= run.stage_since_ns else None


def _policy_failure(run: Execution, view: View) -> str | None:
    policy = view.policy
    if policy is None or policy.task_id != run.task.task_id or not policy.failed:
        return None
    return policy.reason


def _retry(
    run: Execution, now_ns: int, rules: Rules, reason: FailReason, detail: str = ""
) -> Execution:
    failed = replace(run, reason=reason, detail=detail)
    if run.attempt >= rules.attempts_max:
        return failed.enter(Stage.FAILED, now_ns)
    missed = run.missed if run.target is None else (*run.missed, run.target.object_id)
    again = replace(
        failed,
        attempt=run.attempt + 1,
        target=None,
        place_m=None,
        missed=missed,
        fallback=False,
    )
    return again.enter(Stage.OBSERVE, now_ns)


def choose_target(run: Execution, scene: Scene, rules: Rules) -> SeenPart | None:
    """The part that was asked for, else the surest in the bin; those missed before come last."""
    candidates = [
        part
        for part in scene.parts
        if rules.is_pickable(part) and run.task.object_id in {None, part.object_id}
    ]
    if not candidates:
        return None
    return min(
        candidates, key=lambda p: (p.object_id in run.missed, -round(p.confidence, 1), p.object_id)
    )


def choose_place(parts: Sequence[SeenPart], target: SeenPart, rules: Rules) -> Position | None:
    """Where in the tray the part has most room around it, however it hangs at the cup.

    A part set down on another one presses on it with all the arm's stiffness, and what the camera
    measures of a part in the arm's shadow is a centimetre or two off: so room is used while there
    is some. None when the tray is too full.
    """
    taken = [p for p in parts if rules.place.holds(p.position_m, p.radius_m)]
    best: tuple[float, tuple[float, float]] | None = None
    for place in place_grid(rules, target.radius_m):
        room_m = min((_room_m(place, target, part, rules) for part in taken), default=inf)
        if best is None or room_m > best[0]:
            best = (room_m, place)
        if room_m >= rules.place_room_m:
            break
    if best is None or best[0] < rules.place_gap_m:
        return None
    return (*best[1], target.position_m[2])


def _room_m(place: tuple[float, float], target: SeenPart, other: SeenPart, rules: Rules) -> float:
    """Between footprints; and what lies there already must not be taken for what is brought."""
    away_m = hypot(place[0] - other.position_m[0], place[1] - other.position_m[1])
    return away_m - max(target.radius_m + other.radius_m, rules.verify_radius_m)


def place_grid(rules: Rules, radius_m: float) -> Sequence[tuple[float, float]]:
    """Places from the middle outwards, where the arm is surest, as far as the walls allow."""
    (cx, cy), (width, depth) = rules.place.center_m, rules.place.inner_m
    columns = _offsets(width / 2 - radius_m, rules.place_pitch_m)
    rows = _offsets(depth / 2 - radius_m, rules.place_pitch_m)
    grid = [(cx + dx, cy + dy) for dx in columns for dy in rows]
    return sorted(grid, key=lambda point: (round(hypot(point[0] - cx, point[1] - cy), 4), point))


def _offsets(reach_m: float, pitch_m: float) -> list[float]:
    """Both ends, the middle, and evenly between; a part that hardly fits goes in the middle."""
    steps = int(max(0.0, reach_m) / pitch_m)
    return [0.0] if steps == 0 else [reach_m * i / steps for i in range(-steps, steps + 1)]


def _is_placed(run: Execution, scene: Scene, rules: Rules) -> bool:
    """`choose_place` took a spot that no part was near, so one that is there now was brought."""
    if run.place_m is None:
        return False
    x, y, _ = run.place_m
    return any(
        hypot(part.position_m[0] - x, part.position_m[1] - y) <= rules.verify_radius_m
        for part in scene.parts
    )
