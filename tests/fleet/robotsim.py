"""A robot as the fleet hears it, without a robot: live messages, pictures, events, local services.

For the page's tests and for looking at the page while working on it:
    python -m tests.fleet.robotsim            serves it until Ctrl-C
"""

import math
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import orjson

from conf.load import compose
from fleet.prepare import LocalRobot, Prepared, prepare
from records import Priority, Severity
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
from runtime.telemetry.client import Record, RecordKind
from runtime.telemetry.frame import decode_ack, encode_frame
from runtime.telemetry.line import encode_tags
from runtime.telemetry.live import About, Tasks, Way, live_message
from runtime.telemetry.outbox import Outbox, OutboxLimits, Sender
from runtime.telemetry.reading import Readings
from runtime.telemetry.span import contexts_of
from runtime.telemetry.spool import Spool
from runtime.telemetry.spool_file import SpoolLimits
from runtime.telemetry.stamp import Instant
from runtime.telemetry.uplink import MqttUplink, Presence, UplinkSettings
from runtime.topics import TopicName
from tests.fleet.local_service import serve
from tests.fleet.ports import own_port
from tests.fleet.way_in import sign_in_link

ROOT = Path(__file__).resolve().parents[2]
START_NS = 10**12
COMPONENTS = {
    "camera.cell": ["off", "stuck", "garbage", "wrong", "slow", "delayed", "intermittent"],
    "camera.bin": ["off", "stuck", "garbage", "wrong", "slow", "delayed", "intermittent"],
    "gpu": ["off", "stuck", "garbage", "wrong", "slow", "intermittent"],
    "network": ["off", "stuck", "garbage", "slow", "delayed", "intermittent"],
    "visiond": ["off", "stuck", "garbage", "slow", "delayed", "intermittent"],
    "policyd": ["off", "stuck", "garbage", "slow", "delayed", "intermittent"],
    "joint_sensor": ["off", "stuck", "garbage", "wrong", "slow", "delayed", "intermittent"],
    "gripper": ["off", "stuck", "garbage", "wrong", "slow", "delayed", "intermittent"],
    "motor_temp": ["off", "stuck", "garbage", "wrong", "intermittent"],
    "person": ["off", "stuck", "wrong", "slow", "intermittent"],
    "estop": ["off", "stuck", "intermittent"],
    "disk": ["stuck"],
}


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
    now_ns = START_NS + round(seconds * 1e9)
    draw = random.Random(4)
    angle = seconds * 0.9
    moving = story.stop is StopLevel.NONE
    q = [0.4 * math.sin(angle * (0.4 + 0.1 * j) + j) * moving + 0.3 * j - 0.8 for j in range(7)]
    tool = [0.45 + 0.16 * math.cos(angle), 0.3 * math.sin(angle * 0.6), 0.35]
    separation = 1.1 + 0.7 * math.sin(seconds / 3) if story.person else math.inf
    state = record(
        "state",
        created_ns=now_ns - 2_000_000,
        cycle=round(seconds * 1000) + 128_400,
        joints=7,
        q=[*q, 0],
        qd=[0.2 * math.cos(angle + j) * moving for j in range(7)] + [0],
        tau_ext=[0.4 * math.sin(angle * 3 + j) for j in range(7)] + [0],
        tool_pos=tool,
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
        speed_limit_ratio=min(1.0, max(0.0, (separation - 0.4) / 1.2)) if story.person else 1.0,
        separation_m=separation,
        people_age_ns=31_000_000,
        sensors_age_ns=900_000,
        misses=story.misses,
    )
    state["interventions"][[1, 2, 7, 8]] = [1204, 88, 431, 2650]
    state["rejected"][0] = 12
    near = separation < 1.4
    triggers = Trigger.HUMAN_NEARBY | Trigger.IN_WORKSPACE if near else Trigger(0)
    people_at = [1.0 + 0.8 * math.sin(seconds / 3), -0.9 + 0.5 * math.cos(seconds / 4)]
    scene = record(
        "scene",
        created_ns=now_ns - 20_000_000,
        capture_ns=now_ns - 34_000_000,
        level=3 if separation < 0.7 else 2 if near else 1,
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
    scene["kind"][:5] = [ObjectKind.PART] * 3 + [ObjectKind.BIN, ObjectKind.PERSON]
    scene["pos"][:5, :2] = [[0.5, 0.2], [0.55, 0.28], [0.47, 0.3], [0.5, -0.3], people_at]
    people = record(
        "people",
        created_ns=now_ns - 20_000_000,
        capture_ns=now_ns - 34_000_000,
        count=int(story.person),
        workspace=Workspace.OCCUPIED if near else Workspace.CLEAR,
    )
    people["pos"][0, :2] = people_at
    phase = Phase(1 + round(seconds / 2) % 4) if moving else Phase.IDLE
    messages = {
        "scene": scene,
        "people": people,
        "plan": record("plan", created_ns=now_ns, status=1, clearance_m=0.21),
        "verdict": record(
            "verdict", created_ns=now_ns, verdict=Verdict.OK, surprise=0.4, speed_scale=1.0
        ),
        "directive": record(
            "directive", created_ns=now_ns, mode=story.mode, margin_multiplier=1.0, speed_scale=1.0
        ),
        "goal": record("goal", created_ns=now_ns, task_id=212, phase=phase, attempt=1),
        "policy_status": record(
            "policy_status", created_ns=now_ns, active=1, inference_ns=2_100_000
        ),
    }
    histograms = {
        Stage.WAKE: latencies(draw, 14.0, 120_000),
        Stage.CYCLE: latencies(draw, 38.0, 120_000),
    }
    return Readings(now_ns, state, messages, histograms)


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


class Simulated:
    """Speaks to the broker as robot `osaka-01`, and answers on its local sockets."""

    def __init__(self, prepared: Prepared, robot: LocalRobot, robot_id: str = "osaka-01") -> None:
        self.story = Story()
        self.started = time.monotonic()
        settings = prepared.settings
        uplink = UplinkSettings(
            "127.0.0.1",
            settings.broker_port,
            10,
            robot.pki / "ca.crt",
            robot.pki / "robot.crt",
            robot.pki / "robot.key",
        )
        self.uplink = MqttUplink(uplink, Presence(robot_id, "osaka", "dev", "f" * 64))
        tags = {"robot": robot_id, "site": "osaka", "hardware": "sim_x86", "version": "dev"}
        self.spool = Spool(
            robot.pki.parent / "spool.sqlite",
            limits=SpoolLimits(2**24),
            tagset=encode_tags(tags),
            new_epoch=time.time_ns(),
        )
        sender = Sender(robot_id, "osaka", "sim_x86", "dev", "f" * 64)
        self.outbox = Outbox(sender, OutboxLimits(frame_period_ns=10**8, live_age_ns=10**10))
        self.outbox.add_spool(self.spool)
        self.about = About(
            robot_id=robot_id,
            site="osaka",
            title="Osaka picking cell",
            arm="panda",
            hardware="sim_x86",
            artifact_name="dev",
            config_hash="f" * 64,
            simulated=True,
            epoch=1,
            period_us=1000,
            workspace_m=(0.1, -0.65, 0.85, 0.65),
        )
        self._services = [
            serve(robot.faults_socket, self._faults),
            serve(robot.agent_socket, self._agent),
        ]

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def say_live(self) -> None:
        depth = self.spool.depth()
        depth.records[Priority.METRIC] += self.story.held  # type: ignore[index]
        message = live_message(
            self.about,
            readings(self.story, self.seconds),
            Tasks(done=211, failed=2, waiting=3),
            depth,
            Way(connected=True, on_their_way=0, heard_age_ms=412.0),
            time.time_ns(),
        )
        self.uplink.send(TopicName.LIVE, orjson.dumps(message))

    def say_pictures(self) -> None:
        self.uplink.send(TopicName.SNAPSHOT, picture(self.seconds), "cell")
        self.uplink.send(TopicName.SNAPSHOT, picture(self.seconds * 0.4 + 2), "bin")

    def say_event(self, name: str, severity: Severity = Severity.INFO, **fields: Any) -> None:
        now_ns = time.monotonic_ns()
        made = Record(RecordKind.EVENT, "agentd", name, severity, now_ns, fields)
        done = self.spool.commit([made], Instant(now_ns, time.time_ns()))
        self.outbox.note_commit(self.spool, done, now_ns)
        self.send_frames()

    def say_health(self, check: str, state: str, **fields: Any) -> None:
        told = {"check": check, "state": state, "unit": "ratio", "critical": True, **fields}
        now_ns = time.monotonic_ns()
        made = Record(RecordKind.METRIC, "agentd", "health", Severity.INFO, now_ns, told)
        done = self.spool.commit([made], Instant(now_ns, time.time_ns()))
        self.outbox.note_commit(self.spool, done, now_ns)
        self.send_frames()

    def send_frames(self) -> None:
        for message in self.uplink.acks():
            ack = decode_ack(message)
            if self.outbox.note_ack(ack, time.monotonic_ns()) is not None:
                self.spool.settle(stored=ack.stored, refused=(), thinned=ack.thinned)
        for frame in self.outbox.next_frames(time.monotonic_ns()):
            said = contexts_of(frame.lines)
            if not self.uplink.send(TopicName.FRAMES, encode_frame(frame), said=said):
                self.outbox.unsent(frame)

    def close(self) -> None:
        self.uplink.close()
        for service in self._services:
            service.shutdown()
            service.server_close()

    def _faults(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if method == "GET":
            return 200, [
                {"component": name, "kinds": kinds, "active": self.story.faults.get(name)}
                for name, kinds in COMPONENTS.items()
            ]
        component, kind = body["component"], body["kind"]
        self.story.wishes.append((path, body))
        if component not in COMPONENTS:
            return 400, {"error": f"component {component!r} is unknown"}
        if kind == "ok":
            self.story.faults.pop(component, None)
        else:
            self.story.faults[component] = kind
        self.say_event(
            "fault.cleared" if kind == "ok" else "fault.injected",
            Severity.WARNING,
            component=component,
            kind=kind,
        )
        return 200, {"component": component, "active": kind, "effect": f"is {kind} now"}

    def _agent(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        self.story.wishes.append((path, body))
        if path == "/v1/stop":
            self.story.stop, self.story.reason = StopLevel.HOLD, StopReason.REQUESTED
            return 200, {"level": body["level"]}
        if path == "/v1/rearm":
            self.story.stop, self.story.reason = StopLevel.NONE, StopReason.NONE
            return 200, {"cleared": ["requested"], "remaining": []}
        if path == "/v1/tasks":
            return 201, {"task_id": len(self.story.wishes), "skill": body["skill"]}
        return 404, {"title": "not here", "detail": path}


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="bedplate-page-"))
    ports = [
        f"telemetry.broker.port={own_port(31_883)}",
        f"telemetry.page.port={own_port(18_090)}",
        f"telemetry.page.enrolment_port={own_port(18_443)}",
    ]
    robot = LocalRobot(folder / "pki", folder / "agent.sock", folder / "faults.sock")
    prepared = prepare(compose(overrides=ports).config, folder / "fleet", robot)
    children = [subprocess.Popen(prepared.broker)]
    time.sleep(0.5)
    children += [subprocess.Popen(c, cwd=ROOT) for c in (prepared.ingestd, prepared.fleetd)]
    simulated = Simulated(prepared, robot)
    print(sign_in_link(prepared.settings), flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        step = 0
        while True:
            simulated.say_live()
            if step % 2 == 0:
                simulated.say_pictures()
            if step % 24 == 0:
                simulated.say_event("task.done", task_id=step // 24, duration_s=7.4)
            simulated.send_frames()
            step += 1
            time.sleep(0.25)
    except KeyboardInterrupt:
        simulated.close()
    finally:
        for child in reversed(children):
            child.terminate()
            child.wait()
        sys.exit(0)


if __name__ == "__main__":
    main()
