"""A robot as the fleet hears it, without a robot: live messages, pictures, events, local services.

For the page's tests and for looking at the page while working on it:
    python -m tests.fleet.robotsim            serves it until Ctrl-C
"""

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson

from conf.load import compose
from fleet.prepare import LocalRobot, Prepared, prepare
from records import Priority, Severity
from runtime.shm import StopLevel, StopReason
from runtime.telemetry.client import Record, RecordKind
from runtime.telemetry.frame import decode_ack, encode_frame
from runtime.telemetry.line import encode_tags
from runtime.telemetry.live import About, Tasks, Way, live_message
from runtime.telemetry.outbox import Outbox, OutboxLimits, Sender
from runtime.telemetry.span import contexts_of
from runtime.telemetry.spool import Spool
from runtime.telemetry.spool_file import SpoolLimits
from runtime.telemetry.stamp import Instant
from runtime.telemetry.uplink import MqttUplink, Presence, UplinkSettings
from runtime.topics import TopicName
from tests.fleet.local_service import serve
from tests.fleet.ports import own_port
from tests.fleet.robot_story import Story, picture, readings
from tests.fleet.way_in import sign_in_link

ROOT = Path(__file__).resolve().parents[2]
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
