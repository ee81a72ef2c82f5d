"""What the page says, as texts, states and fragments by key: the same for the first load and for
every update after it. Pure: from what is known of a robot and the time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fleet.page import parts
from fleet.page.draw import Cell, cell_map, histogram, pairs
from fleet.page.parts import amount, plain, title
from fleet.page.updates import update_markup, update_words
from fleet.robot import Freshness, Robot
from fleet.words import several

UNKNOWN = "–"
GOOD, WARN, BAD, QUIET = "good", "warn", "bad", "quiet"
OLD_MS = 1500.0  # a part of the robot that has been silent for longer is shown as old


@dataclass
class View:
    """By key: what stands in an element, its state, and drawings or lists as markup of ours."""

    text: dict[str, str] = field(default_factory=dict)
    state: dict[str, str] = field(default_factory=dict)
    markup: dict[str, str] = field(default_factory=dict)

    def put(self, key: str, text: str, state: str | None = None) -> None:
        self.text[key] = text
        if state is not None:
            self.state[key] = state

    def changes(self, before: "View") -> dict[str, dict[str, str]]:
        return {
            "text": _changed(self.text, before.text),
            "state": _changed(self.state, before.state),
            "markup": _changed(self.markup, before.markup),
        }


def _changed(now: Mapping[str, str], before: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in now.items() if before.get(key) != value}


def robot_view(robot: Robot, now_ns: int) -> View:
    view = View()
    _freshness(view, robot, now_ns)
    live = robot.live
    if live is None:
        view.put("stop", "not known", QUIET)
        view.put("mode", "not known", QUIET)
        return view
    _stop_and_mode(view, live)
    _tasks(view, live)
    _control(view, live)
    _safety(view, live)
    _perception(view, live)
    _tier2(view, live)
    _telemetry(view, live)
    for key, text, state in update_words(live.get("update")):
        view.put(key, text, state)
    view.markup["update"] = update_markup(live.get("update"))
    view.markup["map"] = _map(robot, live)
    for camera, snapshot in robot.snapshots.items():
        view.put(f"camera.{camera}", _age(now_ns - snapshot.received_ns))
    return view


def _freshness(view: View, robot: Robot, now_ns: int) -> None:
    freshness = robot.freshness(now_ns)
    match freshness:
        case Freshness.LIVE:
            view.put("fresh", "live", GOOD)
        case Freshness.STALE:
            view.put("fresh", f"stale since {_clock(robot)} UTC", WARN)
        case Freshness.OFFLINE:
            word = {"offline": "switched off", "lost": "connection lost"}.get(robot.presence, "")
            view.put("fresh", f"offline since {_clock(robot)} UTC", BAD)
            view.put("fresh.why", word)
        case Freshness.NEVER:
            view.put("fresh", "never heard", BAD)
    if freshness is not Freshness.OFFLINE:
        view.put("fresh.why", "")
    view.state["page"] = freshness.value


def _clock(robot: Robot) -> str:
    return datetime.fromtimestamp(robot.live_wall_ns / 1e9, UTC).strftime("%H:%M:%S")


def _age(age_ns: int) -> str:
    seconds = age_ns / 1e9
    return "live" if seconds < 2.5 else f"{seconds:.0f} s old"


def _stop_and_mode(view: View, live: Mapping[str, Any]) -> None:
    control, mode = live["control"], live["mode"]
    if control is None:
        view.put("stop", "not known", QUIET)
        view.put("stop.reason", "Tier 1 has not spoken")
    else:
        level, reason = control["stop"]["level"], control["stop"]["reason"]
        state = {"none": GOOD, "controlled": WARN}.get(level, BAD)
        view.put("stop", "moving allowed" if level == "none" else title(level), state)
        view.put("stop.reason", "" if level == "none" else plain(reason))
        view.markup["ladder"] = parts.ladder(level)
        view.state["rearm"] = "off" if level == "none" else "on"
    if mode is None:
        view.put("mode", "not known", QUIET)
        view.put("mode.why", "")
        return
    modes = [plain(name) for name in mode["modes"]]
    view.put("mode", " + ".join(modes), GOOD if modes == ["nominal"] else WARN)
    margin, speed = mode.get("margin_multiplier"), mode.get("speed_scale")
    view.put("mode.why", f"margins × {amount(margin, 1)}, speed × {amount(speed, 2)}")


def _tasks(view: View, live: Mapping[str, Any]) -> None:
    tasks, goal = live["tasks"], live["goal"]
    done, failed = tasks["done"], tasks["failed"]
    view.put("tasks.done", amount(done))
    view.put("tasks.failed", amount(failed), BAD if failed else QUIET)
    view.put("tasks.waiting", amount(tasks.get("waiting")))
    total = (done or 0) + (failed or 0)
    view.put("tasks.rate", f"{100 * (done or 0) / total:.1f} %" if total else UNKNOWN)
    phase = "idle" if goal is None else goal["phase"]
    view.markup["phase"] = parts.phases(phase)
    if goal is None or phase == "idle":
        view.put("goal", "no task")
    else:
        attempt = f", attempt {goal['attempt']}" if goal["attempt"] > 1 else ""
        view.put("goal", f"task {goal['task_id']}{attempt}")


def _control(view: View, live: Mapping[str, Any]) -> None:
    control = live["control"]
    if control is None:
        view.put("control.age", "no word from Tier 1", BAD)
        return
    old = control["age_ms"] > OLD_MS
    view.put("control.age", f"{control['age_ms'] / 1000:.1f} s old" if old else "", BAD)
    view.put("control.misses", f"{control['misses']:,}", WARN if control["misses"] else GOOD)
    view.put("control.cycles", f"{control['cycle']:,}")
    realtime = control["realtime"]
    view.put("control.realtime", plain(realtime), GOOD if realtime == "full" else QUIET)
    view.put("control.exec", plain(control["exec"]))
    view.put("control.source", plain(control["source"]))
    period_us = float(live["about"]["period_us"])
    for stage, words in (("cycle", "time of one cycle"), ("wake", "lateness of the wake-up")):
        latency = control["latency"].get(stage)
        for key in ("p50_us", "p99_us", "p999_us", "max_us"):
            value = None if latency is None else latency[key]
            view.put(f"{stage}.{key}", parts.microseconds(value))
        bins = [] if latency is None else [(b[0], b[1]) for b in latency["bins"]]
        label = f"Histogram of the {words}; the deadline is {period_us:.0f} µs"
        view.markup[f"{stage}.chart"] = histogram(bins, period_us, label)
    view.markup["joints"] = parts.joints(control["joints"])
    view.put("tool.speed", f"{amount(control['tool_speed_m_s'], 2)} m/s")
    gripper = control["gripper"]
    pressure = amount(gripper["pressure_kpa"], 0)
    view.put("gripper", f"{'holding' if gripper['holding'] else 'empty'}, {pressure} kPa")


def _safety(view: View, live: Mapping[str, Any]) -> None:
    control, verdict, people = live["control"], live["verdict"], live["people"]
    if control is not None:
        ratio = control["speed_limit_ratio"]
        state = QUIET if ratio is None else GOOD if ratio > 0.99 else WARN
        limit = UNKNOWN if ratio is None else f"{100 * ratio:.0f} %"
        view.put("speed", limit, state)
        view.markup["speed.bar"] = parts.bar(ratio, "Share of full speed that is allowed")
        words = {"nobody": "nobody near", "unknown": "not known"}
        distance = amount(control["separation_m"], 2)
        kind = control["separation"]
        view.put("separation", words.get(kind, f"{distance} m"), WARN if kind == "unknown" else "")
        view.markup["shield"] = parts.counts(control["interventions"], "The shield has not acted.")
        view.markup["rejected"] = parts.counts(control["rejected"], "No command was refused.")
    if verdict is not None:
        word = verdict["verdict"]
        state = {"ok": GOOD, "restrict": WARN, "veto": BAD}.get(word, WARN)
        old = verdict["age_ms"] > OLD_MS
        view.put("verdict", "silent" if old else plain(word), BAD if old else state)
        view.put("surprise", amount(verdict["surprise"], 2))
    if people is not None:
        unknown = people["workspace"] == "unknown" or people["age_ms"] > OLD_MS
        text = "not known" if unknown else f"{people['count']} seen, {plain(people['workspace'])}"
        view.put("people", text, WARN if unknown or people["workspace"] == "occupied" else GOOD)


def _perception(view: View, live: Mapping[str, Any]) -> None:
    scene = live["perception"]
    if scene is None:
        view.markup["cascade"] = parts.cascade(0, [], [])
        view.put("perception.why", "perception has not spoken")
        return
    old = scene["age_ms"] > OLD_MS
    view.put("perception.age", f"{scene['age_ms']:.0f} ms", BAD if old else GOOD)
    view.markup["cascade"] = parts.cascade(scene["level"], scene["latency_ms"], scene["runs"])
    view.markup["triggers"] = parts.chips(scene["triggers"])
    view.put(
        "perception.why", "" if scene["triggers"] else "level 1 is sure: no reason to look deeper"
    )
    view.put("perception.full", f"{amount(scene['since_full_s'], 1)} s ago")
    drops = sum(scene["late_drops"])
    view.put("perception.drops", f"{drops:,}", WARN if drops else GOOD)
    view.put("perception.backend", plain(scene["backend"]))
    gpu = scene["gpu"]
    state = {"ok": GOOD, "overloaded": WARN, "offline": BAD}.get(gpu, QUIET)
    view.put("perception.gpu", plain(gpu), state)
    seen = ", ".join(several(count, plain(kind)) for kind, count in scene["objects"].items())
    view.put("perception.seen", seen or "nothing")


def _tier2(view: View, live: Mapping[str, Any]) -> None:
    policy, plan = live["policy"], live["plan"]
    if policy is not None:
        reason = "" if policy["reason"] == "none" else f": {plain(policy['reason'])}"
        view.put("policy", f"{plain(policy['active'])}{reason}")
        view.put("policy.inference", f"{amount(policy['inference_ms'], 1)} ms")
        view.put("policy.rejected", amount(policy["rejected_actions"]))
    if plan is not None:
        clearance = amount(plan["clearance_m"], 2)
        view.put("plan", f"{plain(plan['status'])}, {clearance} m clear")


def _telemetry(view: View, live: Mapping[str, Any]) -> None:
    spool, uplink, about = live["spool"], live["uplink"], live["about"]
    held = sum(spool["records"].values())
    ratio = spool["used_bytes"] / max(1, spool["max_bytes"])
    view.put("spool.held", f"{held:,}", WARN if held > 1000 else GOOD)
    view.put(
        "spool.used", f"{spool['used_bytes'] / 2**20:.1f} MiB of {spool['max_bytes'] / 2**20:.0f}"
    )
    view.markup["spool.bar"] = parts.bar(ratio, "Share of the spool that is used")
    view.put("spool.committed", f"{spool['committed']:,}")
    durable = (
        "disk full" if spool["disk_full"] else "on disk" if spool["durable"] else "memory only"
    )
    view.put("spool.durable", durable, GOOD if durable == "on disk" else BAD)
    counters = spool["counters"]
    thinned = sum(v for k, v in counters.items() if k.startswith("thinned_"))
    dropped = sum(v for k, v in counters.items() if k.startswith("dropped_"))
    view.put("spool.thinned", f"{thinned:,}", WARN if thinned else GOOD)
    view.put("spool.dropped", f"{dropped:,}", BAD if dropped else GOOD)
    heard = uplink.get("heard_age_ms")
    view.put("uplink.heard", UNKNOWN if heard is None else f"{heard / 1000:.1f} s ago")
    view.put("backlog", f"{several(held, 'record')} to catch up" if held > 1000 else "")
    view.put("about.config", about["config_hash"][:12])
    view.put("about.artifact", about["artifact_name"])


def _map(robot: Robot, live: Mapping[str, Any]) -> str:
    control, scene, people = live["control"], live["perception"], live["people"]
    tool = None if control is None else control["tool_m"]
    objects = [] if scene is None else scene.get("places_m") or []
    box = live["about"].get("workspace_m") or (-0.8, -0.8, 0.8, 0.8)
    return cell_map(
        Cell(
            workspace=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
            tool=None if not tool or None in tool[:2] else (tool[0], tool[1]),
            trail=list(robot.trail),
            people=[] if people is None else pairs(people.get("places_m")),
            objects=[(str(k), x, y) for k, x, y in objects if x is not None and y is not None],
            separation_m=None if control is None else control["separation_m"],
        )
    )
