"""Many robots in one process, each with its certificate and its own connection to the broker.

One thread and one selector drive all of them: a thread each would end at a few hundred.
"""

import logging
import selectors
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from fleet.clock import Clock, SystemClock
from fleet.load.held import Spool
from fleet.load.live import live_message
from fleet.load.plan import Plan
from fleet.load.story import Story
from fleet.pki import Authority, equip_robot
from fleet.settings import FleetSettings
from runtime.telemetry.frame import FrameError, decode_ack, encode_frame
from runtime.topics import TopicName, address, find_topic

log = logging.getLogger(__name__)

TURN_S = 0.05
SEND_NS = 10**9
ACCOUNT_NS = 10 * 10**9
AGAIN_NS = 2 * 10**9
KEEPALIVE_S = 60


@dataclass
class Due:
    """When a robot does what next, on the monotonic clock."""

    send_ns: int
    account_ns: int
    connect_ns: int = 0


class Robot:
    """One connection. Every method returns at once, but for making the connection."""

    def __init__(
        self,
        plan: Plan,
        number: int,
        settings: FleetSettings,
        keys: Path,
        start_ns: int,
        clock: Clock | None = None,
    ) -> None:
        self.number, self.robot_id, self.site = number, plan.name(number), plan.site(number)
        self.story = Story(plan, number, start_ns)
        self.spool = Spool(self.robot_id, self.site, epoch=start_ns // 1000 + number)
        self.due = Due(0, 0)
        self.accounted = -1  # head of the last account with nothing pending
        self._plan, self._settings, self._keys = plan, settings, keys
        self._clock = clock or SystemClock()
        self.client: Client | None = None

    @property
    def connected(self) -> bool:
        return self.client is not None and self.client.is_connected()

    def connect(self, watch: "Watched") -> None:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"robot/{self.site}/{self.robot_id}",
            protocol=MQTTProtocolVersion.MQTTv5,
        )
        context = ssl.create_default_context(cafile=str(self._keys / "ca.crt"))
        context.load_cert_chain(self._keys / "robot.crt", self._keys / "robot.key")
        client.tls_set_context(context)
        client.will_set(self._address(TopicName.PRESENCE), self._presence("lost"), 1, True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_socket_open = watch.open
        client.on_socket_close = watch.close
        client.on_socket_register_write = watch.want_write
        client.on_socket_unregister_write = watch.no_write
        client.user_data_set(self)
        self.client = client
        client.connect(self._settings.broker_host, self._settings.broker_port, KEEPALIVE_S)

    def tell(self, told_ns: int) -> None:
        for said in self.story.until(told_ns):
            self.spool.add((said,), self._plan.version_of(self.number, said.at_ns))

    def turn(self, now_ns: int, wall_ns: int, told_ns: int) -> None:
        """Tells its story up to `told_ns` and sends what is due."""
        if now_ns < self.due.send_ns:
            return
        self.due.send_ns = max(self.due.send_ns + SEND_NS, now_ns)
        version = self._plan.version_of(self.number, wall_ns)
        self.tell(told_ns)
        if not self.connected:
            return
        for frame in self.spool.frames(wall_ns):
            self._send(TopicName.FRAMES, encode_frame(frame))
        live = live_message(self.robot_id, self.site, version, self.story, self.spool, wall_ns)
        self._send(TopicName.LIVE, orjson.dumps(live))
        settled = self.spool.is_empty and self.accounted != self.spool.head
        if now_ns >= self.due.account_ns or settled:
            self.due.account_ns = now_ns + ACCOUNT_NS
            self._send(TopicName.ACCOUNT, self.spool.account())
            self.accounted = self.spool.head if self.spool.is_empty else -1

    def close(self) -> None:
        if self.client is not None:
            if self.connected:
                self._send(TopicName.PRESENCE, self._presence("offline"))
            self.client.disconnect()

    def _send(self, name: TopicName, payload: bytes) -> None:
        assert self.client is not None
        topic = find_topic(name)
        self.client.publish(self._address(name), payload, topic.qos, topic.retained)

    def _address(self, name: TopicName) -> str:
        return address(name, self.site, self.robot_id)

    def _presence(self, state: str) -> bytes:
        who = {"robot_id": self.robot_id, "site": self.site}
        return orjson.dumps({"v": 1, "state": state, **who, "artifact_name": "", "config_hash": ""})

    def _on_connect(self, client: Client, _user: Any, _flags: Any, reason: Any, _p: Any) -> None:
        if reason.is_failure:
            log.warning("%s: the broker refused: %s", self.robot_id, reason)
            return
        client.subscribe(self._address(TopicName.ACK), qos=1)
        client.publish(self._address(TopicName.PRESENCE), self._presence("online"), 1, True)

    def _on_disconnect(self, _c: Client, _user: Any, _f: Any, _reason: Any, _p: Any) -> None:
        self.spool.disconnect()

    def _on_message(self, _client: Client, _user: Any, message: MQTTMessage) -> None:
        try:
            self.spool.note_ack(decode_ack(bytes(message.payload)), self._clock.wall_ns())
        except FrameError as error:
            log.warning("%s: %s", self.robot_id, error)


class Watched:
    """The sockets of all robots in one selector."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()

    def open(self, client: Client, _user: Any, sock: Any) -> None:
        self.selector.register(sock, selectors.EVENT_READ, client)

    def close(self, _client: Client, _user: Any, sock: Any) -> None:
        self.selector.unregister(sock)

    def want_write(self, client: Client, _user: Any, sock: Any) -> None:
        both = selectors.EVENT_READ | selectors.EVENT_WRITE
        self.selector.modify(sock, both, client)

    def no_write(self, client: Client, _user: Any, sock: Any) -> None:
        self.selector.modify(sock, selectors.EVENT_READ, client)

    def turn(self, seconds: float) -> None:
        for key, events in self.selector.select(seconds):
            client: Client = key.data
            if events & selectors.EVENT_READ:
                client.loop_read()
                sock = client.socket()
                while isinstance(sock, ssl.SSLSocket) and sock.pending():
                    client.loop_read()
                    sock = client.socket()
            if events & selectors.EVENT_WRITE and client.socket() is not None:
                client.loop_write()


class Crowd:
    def __init__(
        self, plan: Plan, settings: FleetSettings, clock: Clock, *, history_s: float = 0.0
    ) -> None:
        """With a history the robots come back from so long an outage, with all of it to tell."""
        authority = Authority(settings.pki)
        start_ns = clock.wall_ns() - round(history_s * 1e9)
        self.robots: list[Robot] = []
        self._clock = clock
        self._watched = Watched()
        self._frozen_ns: int | None = None  # since when nothing new happens
        self._misc_ns = 0
        for number in plan.numbers:
            keys = settings.root / "load" / plan.name(number)
            equip_robot(authority, plan.site(number), plan.name(number), keys)
            robot = Robot(plan, number, settings, keys, start_ns, clock)
            phase_ns = SEND_NS * number // plan.robots
            robot.due = Due(clock.now_ns() + phase_ns, clock.now_ns() + phase_ns + ACCOUNT_NS)
            self.robots.append(robot)

    @property
    def held(self) -> int:
        return sum(len(robot.spool.held) for robot in self.robots)

    @property
    def head(self) -> int:
        return sum(robot.spool.head for robot in self.robots)

    def run(self, over: Callable[[], bool], *, talks: Callable[[], bool] = lambda: True) -> None:
        """Until `over`; while `talks` is false nothing new happens and what is held drains."""
        while not over():
            self.turn(talks=talks())

    def turn(self, *, talks: bool = True) -> None:
        now_ns, wall_ns = self._clock.now_ns(), self._clock.wall_ns()
        if talks:
            self._frozen_ns = None
        elif self._frozen_ns is None:
            self._frozen_ns = wall_ns
        for robot in self.robots:
            self._keep_connected(robot, now_ns)
            robot.turn(now_ns, wall_ns, wall_ns if self._frozen_ns is None else self._frozen_ns)
        if now_ns - self._misc_ns > 10**9:
            self._misc_ns = now_ns
            for robot in self.robots:
                if robot.client is not None:
                    robot.client.loop_misc()
        self._watched.turn(TURN_S)

    def tell(self) -> None:
        """All that has happened up to now, before anybody is connected."""
        for robot in self.robots:
            robot.tell(self._clock.wall_ns())

    def settle(self, over: Callable[[], bool]) -> bool:
        """Nothing new; until every record has been named and every account says so."""
        self.run(lambda: over() or self.is_settled, talks=lambda: False)
        return self.is_settled

    @property
    def is_settled(self) -> bool:
        return all(robot.accounted == robot.spool.head for robot in self.robots)

    def close(self) -> None:
        for robot in self.robots:
            robot.close()
        self._watched.turn(0.2)
        for robot in self.robots:
            client = robot.client
            if client is not None and client.socket() is not None:
                client.loop_misc()
                client._sock_close()  # a broker that is gone does not end it for us
        self._watched.selector.close()

    def _keep_connected(self, robot: Robot, now_ns: int) -> None:
        if robot.client is not None and robot.client.socket() is not None:
            return
        if now_ns < robot.due.connect_ns:
            return
        robot.due.connect_ns = now_ns + AGAIN_NS
        robot.spool.disconnect()
        try:
            robot.connect(self._watched)
        except OSError as error:
            log.info("%s: %s", robot.robot_id, error)


__all__ = ["Crowd", "Robot"]
