"""What a made-up robot does and sees, as its processes would have it in shared memory."""

import math
import random
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from runtime.shm import (
    BUCKET_UPPER_US,
    DTYPES,
    ExecState,
    GpuState,
    Histogram,
    Mode,
    ObjectKind,
    Phase,
    Source,
    Stage,
    StopLevel,
    StopReason,
    Trigger,
    Verdict,
    Workspace,
)
from runtime.telemetry.reading import Readings

START_NS = 10**12
NEAR_M = 1.4  # somebody is in the workspace


@dataclass
class Story:
    """What the made-up robot is doing; tests change it."""

    stop: StopLevel = StopLevel.NONE
    reason: StopReason = StopReason.NONE
    mode: Mode = Mode.NOMINAL
    person: bool = True
    misses: int = 3
    held: int = 4
    faults: dict[str, str] = field(default_factory=dict)
    wishes: list[tuple[str, Any]] = field(default_factory=list)


def record(topic: str, **fields: Any) -> np.void:
    made = np.zeros((), DTYPES[topic])
    for name, value in fields.items():
        made[name] = value
    return made[()]


def latencies(draw: random.Random, middle_us: float, count: int) -> Histogram:
    """About log-normal, with a thin tail, as on a shared machine."""
    counts = np.zeros(len(BUCKET_UPPER_US), np.uint64)
    samples = np.exp(np.random.default_rng(draw.randrange(9)).normal(np.log(middle_us), 0.35, 4000))
    samples[:6] *= 12
    slots = np.minimum(np.searchsorted(BUCKET_UPPER_US, samples), len(counts) - 1)
    np.add.at(counts, slots, 1)
    return Histogram(BUCKET_UPPER_US, (counts.astype(float) * count / 4000).astype(np.uint64))


def readings(story: Story, seconds: float) -> Readings:
    """What the robot's processes would have in shared memory so long after the start."""
    now_ns = START_NS + round(seconds * 1e9)
    draw = random.Random(4)
    people_at = (1.0 + 0.8 * math.sin(seconds / 3), -0.9 + 0.5 * math.cos(seconds / 4))
    separation_m = 1.1 + 0.7 * math.sin(seconds / 3) if story.person else math.inf
    messages = {
        "scene": scene(now_ns, seconds, separation_m, people_at),
        "people": people(story, now_ns, separation_m, people_at),
        **decisions(story, now_ns, seconds),
    }
    histograms = {
        Stage.WAKE: latencies(draw, 14.0, 120_000),
        Stage.CYCLE: latencies(draw, 38.0, 120_000),
    }
    return Readings(now_ns, state(story, now_ns, seconds, separation_m), messages, histograms)


def state(story: Story, now_ns: int, seconds: float, separation_m: float) -> np.void:
    """Of Tier 1."""
    angle, moving = seconds * 0.9, story.stop is StopLevel.NONE
    q = [0.4 * math.sin(angle * (0.4 + 0.1 * j) + j) * moving + 0.3 * j - 0.8 for j in range(7)]
    made = record(
        "state",
        created_ns=now_ns - 2_000_000,
        cycle=round(seconds * 1000) + 128_400,
        joints=7,
        q=[*q, 0],
        qd=[0.2 * math.cos(angle + j) * moving for j in range(7)] + [0],
        tau_ext=[0.4 * math.sin(angle * 3 + j) for j in range(7)] + [0],
        tool_pos=[0.45 + 0.16 * math.cos(angle), 0.3 * math.sin(angle * 0.6), 0.35],
        tool_speed_m_s=0.31 * moving,
        gripper_pressure_kpa=46.0,
        gripper_holding=1,
        motor_temp_c=[41, 44, 39, 38, 36, 35, 33, 0],
        battery_ratio=math.nan,
        exec_state=ExecState.EXECUTING if moving else ExecState.HOLDING,
        stop_level=story.stop,
        stop_reason=story.reason,
        source=Source.POLICY if moving else Source.NONE,
        realtime=1,
        speed_limit_ratio=min(1.0, max(0.0, (separation_m - 0.4) / 1.2)),
        separation_m=separation_m,
        people_age_ns=31_000_000,
        sensors_age_ns=900_000,
        observed_age_ns=120_000_000 if moving else -1,
        misses=story.misses,
    )
    made["interventions"][[1, 2, 7, 8]] = [1204, 88, 431, 2650]
    made["rejected"][0] = 12
    return made


def scene(
    now_ns: int, seconds: float, separation_m: float, people_at: tuple[float, float]
) -> np.void:
    """Of perception: three parts, a bin, a person."""
    near = separation_m < NEAR_M
    triggers = Trigger.HUMAN_NEARBY | Trigger.IN_WORKSPACE if near else Trigger(0)
    made = record(
        "scene",
        created_ns=now_ns - 20_000_000,
        capture_ns=now_ns - 34_000_000,
        level=3 if separation_m < 0.7 else 2 if near else 1,
        triggers=int(triggers),
        count=5,
        latency_ns=[6_300_000, 31_000_000, 212_000_000],
        runs=[8123 + round(30 * seconds), 1804, 122],
        late_drops=[0, 2, 0],
        frames=8123,
        last_full_ns=now_ns - round((seconds % 5) * 1e9),
        backend=1,
        gpu_state=GpuState.OK,
        occlusion=0.12,
    )
    made["kind"][:5] = [ObjectKind.PART] * 3 + [ObjectKind.BIN, ObjectKind.PERSON]
    made["pos"][:5, :2] = [[0.5, 0.2], [0.55, 0.28], [0.47, 0.3], [0.5, -0.3], people_at]
    return made


def people(
    story: Story, now_ns: int, separation_m: float, people_at: tuple[float, float]
) -> np.void:
    near = separation_m < NEAR_M
    made = record(
        "people",
        created_ns=now_ns - 20_000_000,
        capture_ns=now_ns - 34_000_000,
        count=int(story.person),
        workspace=Workspace.OCCUPIED if near else Workspace.CLEAR,
    )
    made["pos"][0, :2] = people_at
    return made


def decisions(story: Story, now_ns: int, seconds: float) -> dict[str, np.void]:
    """Of those who decide what comes next."""
    moving = story.stop is StopLevel.NONE
    phase = Phase(1 + round(seconds / 2) % 4) if moving else Phase.IDLE
    now = {"created_ns": now_ns}
    return {
        "plan": record("plan", **now, status=1, clearance_m=0.21),
        "verdict": record("verdict", **now, verdict=Verdict.OK, surprise=0.4, speed_scale=1.0),
        "directive": record(
            "directive", **now, mode=story.mode, margin_multiplier=1.0, speed_scale=1.0
        ),
        "goal": record("goal", **now, task_id=212, phase=phase, attempt=1),
        "policy_status": record("policy_status", **now, active=1, inference_ns=2_100_000),
    }


def picture(seconds: float, width: int = 320, height: int = 240) -> bytes:
    """A floor, a box that moves, a frame around it."""
    image = np.full((height, width, 3), (92, 96, 104), np.uint8)
    cv2.rectangle(image, (0, height * 2 // 3), (width, height), (70, 74, 80), -1)
    x = round(width * (0.5 + 0.3 * math.sin(seconds)))
    cv2.rectangle(image, (x - 22, 60), (x + 22, 190), (160, 130, 90), -1)
    cv2.rectangle(image, (x - 26, 56), (x + 26, 194), (60, 200, 255), 2)
    cv2.putText(image, "person 0.93", (x - 30, 50), 0, 0.42, (60, 200, 255), 1, cv2.LINE_AA)
    coded, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])
    assert coded
    return jpeg.tobytes()
