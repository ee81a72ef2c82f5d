"""Many robots in a watch, told by hand: each a little different, all the same at every run."""

from dataclasses import dataclass

import orjson

from fleet.watch import Watch
from runtime.topics import TopicName, address
from tests.fleet.people.conftest import Clock


@dataclass(frozen=True)
class Message:
    topic: str
    payload: bytes


def hear(watch: Watch, robots: int, clock: Clock, first: int = 0) -> None:
    for number in range(first, first + robots):
        tell(watch, number, clock)


def tell(watch: Watch, number: int, clock: Clock, **parts: object) -> None:
    live = {**live_of(number, clock.wall_ns()), **parts}
    topic = topic_of(number)
    watch.receive([Message(topic, orjson.dumps(live))])


def topic_of(number: int) -> str:
    return address(TopicName.LIVE, site_of(number), name_of(number))


def name_of(number: int) -> str:
    return f"robot-{number:04d}"


def site_of(number: int) -> str:
    return ("osaka", "gdansk", "lyon")[number % 3]


def live_of(number: int, wall_ns: int) -> dict:
    busy, stopped = number % 3 != 0, number % 17 == 5
    return {
        "v": 1,
        "wall_ns": wall_ns,
        "about": {
            "robot_id": name_of(number),
            "site": site_of(number),
            "title": "A cell",
            "arm": "panda",
            "hardware": "sim_x86",
            "artifact_name": "v24" if number % 5 == 0 else "v23",
            "config_hash": "f" * 64 if number % 2 else "a" * 64,
            "simulated": True,
            "epoch": 1,
            "period_us": 1000,
            "workspace_m": [0.1, -0.65, 0.85, 0.65],
        },
        "control": {
            "age_ms": 2.0,
            "cycle": 100_000 + number,
            "exec": "executing",
            "source": "policy",
            "realtime": "full",
            "stop": {"level": "hold" if stopped else "none", "reason": "requested"},
            "estop": False,
            "speed_limit_ratio": 1.0,
            "separation_m": None,
            "separation": "nobody",
            "people_age_ms": 31.0,
            "sensors_age_ms": 0.9,
            "misses": number % 7,
            "interventions": {},
            "rejected": {},
            "joints": [{"q_rad": 0.1, "qd_rad_s": 0.0, "tau_ext_nm": 0.4, "temp_c": 40.0}],
            "tool_m": [0.4, 0.1, 0.3],
            "tool_speed_m_s": 0.2,
            "gripper": {"command": 0.0, "pressure_kpa": 4.0, "holding": False},
            "battery_ratio": None,
            "latency": {
                "wake": None,
                "cycle": {
                    "count": 100,
                    "p50_us": 38.0,
                    "p99_us": 90.0 + number % 40,
                    "p999_us": 120.0,
                    "max_us": 300.0,
                    "bins": [[32.0, 10], [38.055, 80], [90.51, 9], [None, 1]],
                },
            },
        },
        "perception": {
            "age_ms": 20.0,
            "level": 1,
            "triggers": [],
            "latency_ms": [6.1, None, None],
            "runs": [100, 2, 1],
            "late_drops": [0, 0, 0],
            "frames": 100,
            "occlusion": 0.1,
            "since_full_s": 2.0,
            "backend": "cpu",
            "gpu": "ok",
            "model_hash": "00000000000000a1",
            "objects": {},
            "places_m": [],
        },
        "people": {"age_ms": 20.0, "count": 0, "places_m": [], "workspace": "clear"},
        "policy": None,
        "plan": None,
        "verdict": None,
        "mode": {"age_ms": 5.0, "modes": ["nominal"], "margin_multiplier": 1, "speed_scale": 1},
        "goal": {"task_id": number, "attempt": 1, "phase": "pick" if busy else "idle"},
        "tasks": {"done": 100 + number, "failed": number % 11, "waiting": 0},
        "spool": {
            "records": {"alert": 0, "event": 1, "metric": 3},
            "used_bytes": 1000,
            "max_bytes": 10_000,
            "committed": 5000,
            "durable": True,
            "disk_full": False,
            "counters": {},
        },
        "uplink": {"connected": True, "on_their_way": 0, "heard_age_ms": 100.0},
    }
