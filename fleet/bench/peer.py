"""Our ingest and Telegraf's `mqtt_consumer`: the same points, broker, InfluxDB and run.

Telegraf cannot read our frames, so it gets each frame's lines as a message of plain line protocol:
as many messages with as many points. It is given no checksum, no compression and no identity to
check, and it acknowledges nothing to the robot, keeps no account of sequence numbers, no sums and
no events: what it does is the floor of what this work can cost.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import httpx
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from conf.schema.telemetry import Store
from fleet.bench.alone import message_of
from fleet.bench.servers import Servers, load_average, servers
from fleet.bench.telegraf import CONFIGURATION, PROGRAM
from fleet.bench.told import told
from fleet.clock import SystemClock
from fleet.from_source import NotBuiltError
from fleet.influxd import ensure_database
from fleet.ingest import Incoming
from fleet.pki import Authority, equip_robot
from records import Priority, TelemetryFrame
from runtime.telemetry.frame import decode_ack
from runtime.telemetry.ranges import count
from runtime.topics import TopicName, find_topic, pattern

BENCH = "bench"
PLAIN = f"{BENCH}/points"
RULES = f"\nuser {BENCH}/generator\ntopic write #\ntopic read #\n" + (
    f"\nuser {BENCH}/telegraf\ntopic read {PLAIN}/#\n"
)
NOTHING = TelemetryFrame(  # no points: only a number that a robot gave up
    robot_id="probe",
    site=BENCH,
    hardware=BENCH,
    artifact_name=BENCH,
    config_hash="0" * 64,
    epoch=1,
    priority=Priority.METRIC,
    replayed=False,
    ranges=(),
    thinned=((1, 1),),
    lines=(),
)
LIMIT_S = 300.0
LOOK_S = 0.25
INFLIGHT = 500
WARM = 200  # messages


@dataclass(frozen=True)
class Side:
    """One of the two; `lost` is what InfluxDB does not have of what was sent."""

    name: str
    points: int
    messages: int
    lost: int
    acknowledged_to_the_robot: int  # points
    points_per_core_s: float
    consumer_cpu_s: float
    influxd_cpu_s: float
    broker_cpu_s: float
    generator_cpu_s: float
    memory_mib: float
    wall_s: float
    load_average: float


@dataclass(frozen=True)
class Pair:
    """`samples` as in `told`."""

    samples: int
    ours: Side
    peer: Side | None
    peer_missing: str  # why, where there is none
    ratio: float | None  # of points per CPU-second, ours to the peer's


class Generator:
    """Sends what was made before, and hears what the robots would hear."""

    def __init__(self, side: Servers) -> None:
        keys = side.settings.root / "generator"
        equip_robot(Authority(side.settings.pki), BENCH, "generator", keys)
        self.acknowledged = 0
        self.has_heard = False
        self.client = Client(
            CallbackAPIVersion.VERSION2, client_id="generator", protocol=MQTTProtocolVersion.MQTTv5
        )
        self.client.tls_set(str(keys / "ca.crt"), str(keys / "robot.crt"), str(keys / "robot.key"))
        self.client.max_inflight_messages_set(INFLIGHT)
        self.client.on_message = self._heard
        self.client.connect(side.settings.broker_host, side.settings.broker_port)
        self.client.loop_start()
        self.client.subscribe(pattern(find_topic(TopicName.ACK)), qos=1)

    def send(self, messages: Sequence[Incoming]) -> None:
        sent = [self.client.publish(item.topic, item.payload, qos=1) for item in messages]
        sent[-1].wait_for_publish(LIMIT_S)

    def send_until(self, message: Incoming, is_answered: Callable[[], bool]) -> None:
        """The other side is ready when it answers; what nobody has subscribed to is dropped."""
        deadline = time.monotonic() + LIMIT_S
        while not is_answered():
            if time.monotonic() > deadline:
                raise RuntimeError(f"nobody takes what is sent to {message.topic}")
            self.client.publish(message.topic, message.payload, qos=1)
            time.sleep(2 * LOOK_S)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _heard(self, _client: Client, _user: object, message: MQTTMessage) -> None:
        self.has_heard = True
        self.acknowledged += count(decode_ack(bytes(message.payload)).stored)


def pair(robots: int, seconds: int, samples: int) -> Pair:
    start_ns = SystemClock().wall_ns() - seconds * 10**9
    frames = list(chain.from_iterable(told(robots, seconds, samples, start_ns)))
    ours = _ours(frames)
    try:
        binary = PROGRAM.ensure()
    except NotBuiltError as error:
        return Pair(samples, ours, None, str(error), None)
    peer = _telegraf(frames, binary)
    ratio = round(ours.points_per_core_s / peer.points_per_core_s, 2)
    return Pair(samples, ours, peer, "", ratio)


def _ours(frames: Sequence[TelemetryFrame]) -> Side:
    with servers(Store.INFLUXDB, rules=RULES) as side:
        messages = [message_of(frame) for frame in frames]
        generator = Generator(side)
        sizes = [len(frame.lines) for frame in frames]

        def is_done(points: int) -> bool:
            return generator.acknowledged >= points

        generator.send_until(message_of(NOTHING), lambda: generator.has_heard)
        database = side.settings.influx.database
        made = _measure("bedplate", side, "ingest1", database, generator, messages, sizes, is_done)
        generator.close()
        return made


def _telegraf(frames: Sequence[TelemetryFrame], binary: Path) -> Side:
    with servers(Store.INFLUXDB, ingesters=0, rules=RULES) as side:
        messages = [
            Incoming(f"{PLAIN}/{frame.robot_id}", b"\n".join(frame.lines)) for frame in frames
        ]
        sizes = [len(frame.lines) for frame in frames]
        influx, database = side.settings.influx, BENCH
        ensure_database(influx.url, influx.credentials.read_text().strip(), database)
        side.start("telegraf", [str(binary), "--config", str(_configuration(side, database))])

        def is_done(points: int) -> bool:
            return _stored(side, database) >= points

        generator = Generator(side)
        probe = Incoming(f"{PLAIN}/probe", b"probe value=1")
        generator.send_until(probe, lambda: _count(side, database, "value") > 0)
        made = _measure("telegraf", side, "telegraf", database, generator, messages, sizes, is_done)
        generator.close()
        return made


def _measure(
    name: str,
    side: Servers,
    consumer: str,
    database: str,
    generator: Generator,
    messages: Sequence[Incoming],
    sizes: Sequence[int],
    is_done: Callable[[int], bool],
) -> Side:
    """`sizes` are points of each message. The first of them only warm both sides up."""
    warm = sum(sizes[:WARM])
    _send(generator, messages[:WARM], lambda: is_done(warm))
    before, began, total = side.cpu_s(), time.monotonic(), sum(sizes)
    acknowledged, points = generator.acknowledged, total - warm
    _send(generator, messages[WARM:], lambda: is_done(total))
    wall_s = time.monotonic() - began
    spent = {part: cpu_s - before[part] for part, cpu_s in side.cpu_s().items()}
    return Side(
        name=name,
        points=points,
        messages=len(messages) - WARM,
        lost=total - _stored(side, database),
        acknowledged_to_the_robot=generator.acknowledged - acknowledged,
        points_per_core_s=round(points / spent[consumer]),
        consumer_cpu_s=round(spent[consumer], 2),
        influxd_cpu_s=round(spent["influxd"], 2),
        broker_cpu_s=round(spent["broker"], 2),
        generator_cpu_s=round(spent["load"], 2),
        memory_mib=side.memory_mib(consumer),
        wall_s=round(wall_s, 1),
        load_average=load_average(),
    )


def _send(generator: Generator, messages: Sequence[Incoming], is_done: Callable[[], bool]) -> None:
    began = time.monotonic()
    generator.send(messages)
    while not is_done() and time.monotonic() - began < LIMIT_S:
        time.sleep(LOOK_S)


def _stored(side: Servers, database: str) -> int:
    """Points in the database, by the number that each of them carries."""
    return _count(side, database, "seq")


def _count(side: Servers, database: str, field: str) -> int:
    user, password = side.settings.influx.credentials.read_text().strip().split(":", 1)
    reply = httpx.get(
        f"{side.settings.influx.url}/query",
        params={"db": database, "q": f'SELECT count("{field}") FROM /.*/'},
        auth=(user, password),
        timeout=30.0,
    )
    found = reply.raise_for_status().json()["results"][0].get("series", [])
    return sum(int(series["values"][0][1]) for series in found)


def _configuration(side: Servers, database: str) -> Path:
    keys = side.settings.root / "telegraf"
    equip_robot(Authority(side.settings.pki), BENCH, "telegraf", keys)
    user, password = side.settings.influx.credentials.read_text().strip().split(":", 1)
    path = side.settings.root / "telegraf.conf"
    path.write_text(
        CONFIGURATION.format(
            port=side.settings.broker_port,
            topics=f"{PLAIN}/#",
            keys=keys,
            influx=side.settings.influx.url,
            database=database,
            user=user,
            password=password,
        )
    )
    path.chmod(0o600)
    return path
