"""telemetryd: what the robot says, first to its own disk, then to the fleet.

Records come in by datagram and are committed by the intake's thread; the step does the rest: frames
to the fleet, acknowledgements back into the spool, the live message, pictures, and its own books.
"""

import logging
import secrets
from collections.abc import Callable

import cv2
import orjson

from conf.schema import Config
from runtime.daemon import Context, run_daemon
from runtime.fleet_address import broker_of
from runtime.hal.clock import Clock
from runtime.processes import slow_motion_of
from runtime.shm import ImageReader
from runtime.telemetry.client import MemorySink, Record, RecordKind
from runtime.telemetry.frame import FrameError, decode_ack, encode_frame
from runtime.telemetry.host import HostWatch
from runtime.telemetry.intake import Committer, MemoryIntake, SocketIntake
from runtime.telemetry.journal import Journal
from runtime.telemetry.line import encode_tags
from runtime.telemetry.live import About, Tasks, Way, live_message
from runtime.telemetry.metrics import Since, robot_metrics, spool_metric
from runtime.telemetry.outbox import Outbox, OutboxLimits, Sender
from runtime.telemetry.reading import Eyes, Readings
from runtime.telemetry.span import contexts_of
from runtime.telemetry.spool_file import SpoolError, SpoolLimits
from runtime.telemetry.updates import read_update
from runtime.telemetry.uplink import MemoryUplink, MqttUplink, Presence, Uplink, UplinkSettings
from runtime.topics import TopicName
from runtime.uplink import Uplink as UplinkStatus
from runtime.uplink import write_uplink

log = logging.getLogger(__name__)

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
STATUS_EVERY_NS = 500 * NS_PER_MS
BOOKS_EVERY_NS = 10 * NS_PER_S
CONNECT_EVERY_NS = 5 * NS_PER_S
PENDING_RANGES = 500
JPEG_QUALITY = 70
REPLAY_SHARE = 0.5  # of the uplink, for the backlog of an outage


class Every:
    """Says when something that is done now and then is due; late turns are not made up for."""

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._due_ns: int | None = None

    def is_due(self, now_ns: int) -> bool:
        if self._due_ns is not None and now_ns < self._due_ns:
            return False
        self._due_ns = now_ns + self._period_ns
        return True


class TaskWatch:
    """Keeps the task totals that pass by, for the page; the agent's own word."""

    def __init__(self) -> None:
        self.tasks = Tasks()

    def observe(self, record: Record) -> None:
        fields = record.fields
        if record.kind is RecordKind.METRIC and record.name == "agent":
            self._set(fields.get("tasks_done"), fields.get("tasks_failed"))
            waiting = fields.get("tasks_waiting")
            if isinstance(waiting, int):
                self.tasks = Tasks(self.tasks.done, self.tasks.failed, waiting)
        elif record.kind is RecordKind.EVENT and record.name.startswith("task."):
            self._set(fields.get("done_total"), fields.get("failed_total"))

    def _set(self, done: object, failed: object) -> None:
        if isinstance(done, int) and isinstance(failed, int):
            self.tasks = Tasks(done, failed, self.tasks.waiting)


class Snapshots:
    """Pictures that perception has drawn its detections into, as JPEG, each sent once."""

    def __init__(self, context: Context) -> None:
        streams = context.config.hardware.cameras.streams
        self._readers: dict[str, ImageReader] = {
            name: context.shm.image_reader(f"snapshot.{name}")
            for name, stream in streams.items()
            if stream.color
        }
        self._sent: dict[str, int] = {}

    def new(self) -> list[tuple[str, bytes]]:
        made: list[tuple[str, bytes]] = []
        for name, reader in self._readers.items():
            if reader.sequence() == self._sent.get(name, 0):
                continue
            picture = reader.latest()
            if picture is None or picture.array.ndim != 3:
                continue
            self._sent[name] = picture.sequence
            bgr = cv2.cvtColor(picture.array, cv2.COLOR_RGB2BGR)
            coded, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            if coded:
                made.append((name, jpeg.tobytes()))
        return made


class Telemetry:
    """The process. Everything here runs in the step's thread."""

    rate_hz = 20.0

    def __init__(self, context: Context, uplink: Uplink | None = None) -> None:
        config = context.config
        self._context = context
        self._clock: Clock = context.clock
        self.journal = Journal(
            context.paths.spool,
            SpoolLimits(config.telemetry.spool.max_mib * 2**20),
            encode_tags(_tags(config)),
            context.clock,
            _epochs(context),
        )
        self.outbox = Outbox(_sender(config), _limits(config))
        self.outbox.add_spool(self.journal.active)
        self._tasks = TaskWatch()
        self._committer = Committer(
            self.journal,
            context.clock,
            config.telemetry.spool.commit_ms * NS_PER_MS,
            self._tasks.observe,
        )
        self.intake = self._open_intake()
        self.uplink = uplink
        self._connections = 0
        self._heard_ns: int | None = None
        self._acks_refused = 0
        self._eyes = Eyes(context.shm)
        self._since = Since()
        self._snapshots = Snapshots(context)
        rate = config.telemetry.streams
        self._connect_due = Every(CONNECT_EVERY_NS // slow_motion_of(config))
        self._not_enrolled = ""
        self._metrics_due = Every(_period_ns(rate["metrics"].rate_hz))
        # Whoever looks at the page lives at the machine's pace, a robot in slow motion does not.
        live_ns = min(_period_ns(rate["live"].rate_hz), NS_PER_S // slow_motion_of(config))
        self._live_due = Every(live_ns)
        self._snapshot_due = Every(_period_ns(rate["snapshot"].rate_hz))
        self._status_due = Every(STATUS_EVERY_NS)
        self._update = read_update(context.paths)
        self._host = HostWatch(context)
        self._books_due = Every(BOOKS_EVERY_NS)

    def step(self, now_ns: int) -> None:
        self._ensure_uplink(now_ns)
        self.intake.pump()
        self._note_commits(now_ns)
        self._hear(now_ns)
        self._send_frames(now_ns)
        self._report(now_ns)

    def close(self) -> None:
        self.intake.close()
        if self.uplink is not None:
            self.uplink.close()
        self.journal.close()

    def _open_intake(self) -> MemoryIntake | SocketIntake:
        sink = self._context.telemetry.sink
        if isinstance(sink, MemorySink):
            return MemoryIntake(sink, self._committer)
        return SocketIntake(self._context.paths.telemetry_socket, self._committer, self.journal)

    def _ensure_uplink(self, now_ns: int) -> None:
        """A robot without its certificate keeps its records and looks again now and then."""
        if self.uplink is not None or not self._connect_due.is_due(now_ns):
            return
        try:
            self.uplink = _make_uplink(self._context)
        except OSError as error:
            if str(error) == self._not_enrolled:
                return  # said already: a robot may wait for days until somebody approves
            self._not_enrolled = str(error)
            log.warning(
                "uplink: %s cannot be read (%s); records stay in the spool"
                " until ca.crt, robot.crt and robot.key are there",
                self._context.paths.pki,
                error,
            )

    def _note_commits(self, now_ns: int) -> None:
        while not self._committer.committed.empty():
            done = self._committer.committed.get_nowait()
            self.outbox.note_commit(done.spool, done.commit, now_ns)
        for spool in self.outbox.drop_emptied(self.journal.active):
            spool.close()

    def _hear(self, now_ns: int) -> None:
        uplink = self.uplink
        if uplink is None:
            return
        if uplink.connections != self._connections:
            self._connections = uplink.connections
            self.outbox.disconnect()
        for message in uplink.acks():
            try:
                ack = decode_ack(message)
            except FrameError as error:
                self._acks_refused += 1
                log.warning("uplink: %s", error)
                continue
            self._heard_ns = now_ns
            spool = self.outbox.note_ack(ack, now_ns)
            if spool is not None:
                self.journal.settle(
                    spool, stored=ack.stored, refused=ack.refused, thinned=ack.thinned
                )

    def _send_frames(self, now_ns: int) -> None:
        uplink = self.uplink
        if uplink is None or not uplink.connected:
            return
        try:
            frames = self.outbox.next_frames(now_ns)
        except SpoolError as error:
            log.warning("%s", error)
            return
        for frame in frames:
            said = contexts_of(frame.lines)
            if not uplink.send(TopicName.FRAMES, encode_frame(frame), said=said):
                self.outbox.unsent(frame)

    def _report(self, now_ns: int) -> None:
        connected = self.uplink is not None and self.uplink.connected
        live_due = connected and self._live_due.is_due(now_ns)
        metrics_due = self._metrics_due.is_due(now_ns)
        if live_due or metrics_due:
            readings = self._eyes.look(now_ns)
            if live_due:
                self._send_live(readings)
            if metrics_due:
                for measurement, fields in robot_metrics(readings, self._since):
                    self._context.telemetry.metric(measurement, fields)
        if connected and self._snapshot_due.is_due(now_ns):
            for camera, jpeg in self._snapshots.new():
                self._send(TopicName.SNAPSHOT, jpeg, camera)
        if self._status_due.is_due(now_ns):
            self._update = read_update(self._context.paths)
            status = UplinkStatus(connected, self._heard_ns, now_ns)
            self._write_status(status)
        if self._books_due.is_due(now_ns):
            self._keep_books(now_ns)

    def _send_live(self, readings: Readings) -> None:
        assert self.uplink is not None
        heard_ns = self._heard_ns
        way = Way(
            connected=self.uplink.connected,
            on_their_way=self.outbox.on_their_way,
            heard_age_ms=None if heard_ns is None else (readings.at_ns - heard_ns) / 1e6,
        )
        message = live_message(
            _about(self._context.config, self.journal.active.epoch),
            readings,
            self._tasks.tasks,
            self.journal.active.depth(),
            way,
            self._clock.wall_ns(),
            self._update,
            self._host.live(readings),
        )
        self._send(TopicName.LIVE, orjson.dumps(message))

    def _keep_books(self, now_ns: int) -> None:
        """What was given numbers and is still held: with the store's books, this finds losses."""
        spool, tally = self.journal.active, self.outbox.tally
        depth = spool.depth()
        own = {
            "frames_sent": tally.frames_sent,
            "frames_resent": tally.frames_resent,
            "acks_odd": tally.acks_odd,
            "acks_refused": self._acks_refused,
            **self._host.fields(now_ns),
        }
        self._context.telemetry.metric(*spool_metric(depth, own))
        account = {
            "v": 1,
            "epoch": spool.epoch,
            "head": spool.head,
            "pending": spool.pending(PENDING_RANGES),
            "counters": depth.counters,
            "durable": depth.durable,
        }
        self._send(TopicName.ACCOUNT, orjson.dumps(account))

    def _send(self, name: TopicName, payload: bytes, leaf: str = "") -> None:
        if self.uplink is not None:
            self.uplink.send(name, payload, leaf)

    def _write_status(self, status: UplinkStatus) -> None:
        try:
            write_uplink(self._context.paths.uplink, status)
        except OSError as error:
            log.warning("uplink status cannot be written: %s", error)


def build(context: Context) -> Telemetry:
    """In lock-step (a memory sink) the fleet is in memory too; else it is made when it can be."""
    lockstep = isinstance(context.telemetry.sink, MemorySink)
    return Telemetry(context, MemoryUplink() if lockstep else None)


def _make_uplink(context: Context) -> Uplink:
    pki = context.paths.pki
    address = broker_of(context.config, pki)
    settings = UplinkSettings(
        host=address.host,
        port=address.port,
        keepalive_s=context.config.telemetry.broker.keepalive_s,
        ca=pki / "ca.crt",
        certificate=pki / "robot.crt",
        key=pki / "robot.key",
    )
    config = context.config
    presence = Presence(
        config.robot_id, config.facility.site, config.artifact_name, config.config_hash
    )
    return MqttUplink(settings, presence)


def _epochs(context: Context) -> Callable[[], int]:
    """Random on a robot; in lock-step counted from virtual wall time, for identical bytes."""
    if not isinstance(context.telemetry.sink, MemorySink):
        return lambda: secrets.randbits(48) + 1
    given = [context.clock.wall_ns() // 1000]

    def next_epoch() -> int:
        given[0] += 1
        return given[0]

    return next_epoch


def _tags(config: Config) -> dict[str, str]:
    return {
        "robot": config.robot_id,
        "site": config.facility.site,
        "hardware": config.hardware.name,
        "version": config.artifact_name,
    }


def _sender(config: Config) -> Sender:
    return Sender(
        robot_id=config.robot_id,
        site=config.facility.site,
        hardware=config.hardware.name,
        artifact_name=config.artifact_name,
        config_hash=config.config_hash,
    )


def _limits(config: Config) -> OutboxLimits:
    telemetry = config.telemetry
    return OutboxLimits(
        frame_period_ns=telemetry.frame_period_ms * NS_PER_MS,
        resend_ns=telemetry.resend_ms * NS_PER_MS,
        live_age_ns=telemetry.live_age_ms * NS_PER_MS,
        replay_bytes_s=config.facility.network.uplink_kbps * 1000 / 8 * REPLAY_SHARE,
    )


def _about(config: Config, epoch: int) -> About:
    return About(
        robot_id=config.robot_id,
        site=config.facility.site,
        title=config.facility.title,
        arm=config.robot.name,
        hardware=config.hardware.name,
        artifact_name=config.artifact_name,
        config_hash=config.config_hash,
        simulated=config.hardware.actuation.kind == "sim",
        epoch=epoch,
        period_us=config.hardware.control.period_us,
        workspace_m=(*config.facility.workspace.min_m[:2], *config.facility.workspace.max_m[:2]),
    )


def _period_ns(rate_hz: float) -> int:
    return round(NS_PER_S / rate_hz)


if __name__ == "__main__":
    run_daemon("telemetryd", build)
