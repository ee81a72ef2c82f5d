"""The live message of a simulated robot: the shape of a real one that is well, from few numbers.

It says of its spool what a robot's would say, so that no rule holds of a robot for being simulated.
"""

import math
from typing import Any

from fleet.load.held import HARDWARE, Spool, profile
from fleet.load.story import Story

PERIOD_US = 1000
CYCLES_S = 1_000_000 // PERIOD_US


def live_message(
    robot_id: str, site: str, version: str, story: Story, spool: Spool, now_ns: int
) -> dict[str, Any]:
    phase = now_ns / 1e9 / 3 + len(robot_id)
    busy = story.busy_until_ns > now_ns
    joints = [
        {"q_rad": math.sin(phase + j), "qd_rad_s": 0.1, "tau_ext_nm": 0.2, "temp_c": 38.0 + j}
        for j in range(7)
    ]
    cycle = {"count": 60_000, "p50_us": 38.0, "p99_us": 90.0, "p999_us": 140.0, "max_us": 210.0}
    latency = {**cycle, "bins": [[32.0, 20_000], [45.25, 30_000], [128.0, 9_900], [256.0, 100]]}
    return {
        "v": 1,
        "wall_ns": now_ns,
        "about": {
            "robot_id": robot_id, "site": site, "title": f"{site} load", "arm": "none",
            "hardware": HARDWARE, "artifact_name": version, "config_hash": profile(version),
            "simulated": True, "epoch": spool.epoch, "period_us": PERIOD_US,
            "workspace_m": (0.1, -0.65, 0.85, 0.65),
        },
        "control": {
            "age_ms": 1.0, "cycle": now_ns // 1_000_000, "exec": "executing" if busy else "holding",
            "source": "policy" if busy else "none", "realtime": "none",
            "stop": {"level": "none", "reason": "none"}, "estop": False,
            "speed_limit_ratio": 1.0, "separation_m": None, "separation": "nobody",
            "people_age_ms": 30.0, "sensors_age_ms": 1.0, "misses": 0, "interventions": {},
            "rejected": {}, "joints": joints,
            "tool_m": [0.45 + 0.1 * math.cos(phase), 0.2 * math.sin(phase), 0.3],
            "tool_speed_m_s": 0.2 if busy else 0.0,
            "gripper": {"command": 0.0, "pressure_kpa": 46.0, "holding": busy},
            "battery_ratio": 0.8, "latency": {"wake": latency, "cycle": latency},
        },
        "perception": None, "policy": None, "plan": None, "verdict": None,
        "people": {"age_ms": 30.0, "count": 0, "places_m": [], "workspace": "clear"},
        "mode": {
            "age_ms": 20.0, "modes": ["nominal"], "margin_multiplier": 1.0, "speed_scale": 1.0,
            "policy_rate_hz": 100, "perception_rate_hz": 30,
        },
        "goal": {
            "age_ms": 20.0, "task_id": 1, "phase": "approach", "attempt": 1, "object_id": 0,
            "high_value": False,
        } if busy else None,
        "tasks": {"done": story.totals.done, "failed": story.totals.failed, "waiting": 0},
        "spool": {
            "records": {"alert": 0, "event": 0, "metric": len(spool.held)},
            "used_bytes": 300 * len(spool.held), "max_bytes": 60_000_000, "committed": spool.head,
            "durable": True, "disk_full": False, "counters": {},
        },
        "uplink": {"connected": True, "on_their_way": 0, "heard_age_ms": 500.0},
    }  # fmt: skip
