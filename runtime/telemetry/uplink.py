"""The way to the fleet: MQTT 5 over TLS with the robot's certificate, or memory in a lock-step run.

The broker's PUBACK is not an acknowledgement and is not looked at: a record leaves the spool only
when the fleet names it on the robot's own topic. Nothing waits in the client but the few frames on
their way, so that a broker gone for an hour costs disk, not memory.
"""

import hashlib
import logging
import queue
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from records import TelemetryFrame
from runtime.telemetry.frame import Ack, decode_frame, encode_ack
from runtime.telemetry.ranges import SeqSet
from runtime.topics import TopicName, address, find_topic

log = logging.getLogger(__name__)

RECONNECT_MIN_S = 1
RECONNECT_MAX_S = 15
ACKS_WAITING = 1000
SOCKET_TIMEOUT_S = 5.0

UserProperties = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class UplinkSettings:
    host: str
    port: int
    keepalive_s: int
    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True)
class Presence:
    """What the retained presence message says."""

    robot_id: str
    site: str
    artifact_name: str
    config_hash: str

    def encode(self, state: str) -> bytes:
        return orjson.dumps({"v": 1, "state": state, **self.__dict__})


class Uplink(Protocol):
    @property
    def connected(self) -> bool: ...

    @property
    def connections(self) -> int:
        """How often a connection was made; a change means that what was on its way may be lost."""
        ...

    def send(
        self, name: TopicName, payload: bytes, leaf: str = "", said: UserProperties = ()
    ) -> bool:
        """Whether the message was taken; never waits. `said` goes beside it, as MQTT 5 has it."""
        ...

    def acks(self) -> list[bytes]:
        """Acknowledgements that came since the last call."""
        ...

    def close(self) -> None: ...


class MqttUplink:
    """paho with its own network thread; every method returns at once."""

    def __init__(self, settings: UplinkSettings, presence: Presence) -> None:
        self.connections = 0
        self.last_error = "not tried yet"
        self._presence = presence
        self._site, self._robot_id = presence.site, presence.robot_id
        self._acks: queue.Queue[bytes] = queue.Queue(ACKS_WAITING)
        self._client = self._make_client(settings)
        self._client.connect_async(settings.host, settings.port, settings.keepalive_s)
        self._client.loop_start()

    @property
    def connected(self) -> bool:
        return self._client.is_connected()

    def send(
        self, name: TopicName, payload: bytes, leaf: str = "", said: UserProperties = ()
    ) -> bool:
        if not self.connected:
            return False
        topic = find_topic(name)
        properties = Properties(PacketTypes.PUBLISH)
        if said:
            properties.UserProperty = list(said)
        if topic.expiry_s is not None:
            properties.MessageExpiryInterval = topic.expiry_s
        where = address(name, self._site, self._robot_id, leaf)
        sent = self._client.publish(where, payload, topic.qos, topic.retained, properties)
        return sent.rc is MQTTErrorCode.MQTT_ERR_SUCCESS

    def acks(self) -> list[bytes]:
        got: list[bytes] = []
        while True:
            try:
                got.append(self._acks.get_nowait())
            except queue.Empty:
                return got

    def close(self) -> None:
        if self.connected:
            self.send(TopicName.PRESENCE, self._presence.encode("offline"))
        self._client.disconnect()
        self._client.loop_stop()

    def _make_client(self, settings: UplinkSettings) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"robot/{self._site}/{self._robot_id}",
            protocol=MQTTProtocolVersion.MQTTv5,
        )
        client.tls_set_context(_tls(settings))
        client.reconnect_delay_set(RECONNECT_MIN_S, RECONNECT_MAX_S)
        client.connect_timeout = SOCKET_TIMEOUT_S
        client.max_queued_messages_set(64)
        client.will_set(self._address(TopicName.PRESENCE), self._presence.encode("lost"), 1, True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_connect_fail = self._on_connect_fail
        client.suppress_exceptions = True  # a fault in a callback must not end the network thread
        return client

    def _address(self, name: TopicName) -> str:
        return address(name, self._site, self._robot_id)

    def _on_connect(
        self, client: Client, _user: Any, _flags: ConnectFlags, reason: ReasonCode, _p: Any
    ) -> None:
        if reason.is_failure:
            self.last_error = f"the broker refused: {reason}"
            log.warning("uplink: %s", self.last_error)
            return
        client.subscribe(self._address(TopicName.ACK), qos=1)
        self.connections += 1
        self.last_error = ""
        log.info("uplink: connected as %s/%s", self._site, self._robot_id)
        self.send(TopicName.PRESENCE, self._presence.encode("online"))

    def _on_disconnect(
        self, _client: Client, _user: Any, _flags: DisconnectFlags, reason: ReasonCode, _p: Any
    ) -> None:
        self.last_error = f"disconnected: {reason}"
        log.info("uplink: %s", self.last_error)

    def _on_connect_fail(self, _client: Client, _user: Any) -> None:
        self.last_error = "the broker cannot be reached"

    def _on_message(self, _client: Client, _user: Any, message: MQTTMessage) -> None:
        try:
            self._acks.put_nowait(bytes(message.payload))
        except queue.Full:
            log.warning("uplink: acknowledgements come faster than they are read")


def _tls(settings: UplinkSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(settings.ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.certificate, settings.key)
    return context


class MemoryUplink:
    """A fleet in the same process: tests and lock-step runs cut and mend it as they like.

    It stores every frame at once and says so, unless told to be silent. What it was sent is kept
    as a running hash, so that two runs can be compared byte for byte; frames can be kept too.
    """

    def __init__(self, *, answers: bool = True, keeps: bool = False) -> None:
        self.connected = True
        self.connections = 1
        self.answers = answers
        self.frames: list[TelemetryFrame] = []
        self.latest: dict[str, bytes] = {}
        self.stored: dict[int, SeqSet] = {}
        self.replayed = SeqSet()
        self._keeps = keeps
        self._digest = hashlib.sha256()
        self._acks: list[bytes] = []

    @property
    def digest(self) -> str:
        """Of every byte sent so far."""
        return self._digest.hexdigest()

    def cut(self) -> None:
        self.connected = False

    def mend(self) -> None:
        self.connected = True
        self.connections += 1

    def send(
        self, name: TopicName, payload: bytes, leaf: str = "", said: UserProperties = ()
    ) -> bool:
        if not self.connected:
            return False
        self._digest.update(f"{name}/{leaf}:{len(payload)}:{len(said)}:".encode())
        self._digest.update(payload)
        self.latest[f"{name}/{leaf}" if leaf else name.value] = payload
        if name is TopicName.FRAMES:
            self._receive(decode_frame(payload))
        return True

    def receive_ack(self, ack: Ack) -> None:
        self._acks.append(encode_ack(ack))

    def acks(self) -> list[bytes]:
        if not self.connected:
            return []
        got, self._acks = self._acks, []
        return got

    def close(self) -> None:
        self.connected = False

    def _receive(self, frame: TelemetryFrame) -> None:
        if self._keeps:
            self.frames.append(frame)
        for first, last in frame.ranges:
            self.stored.setdefault(frame.epoch, SeqSet()).add(first, last)
            if frame.replayed:
                self.replayed.add(first, last)
        if self.answers:
            self.receive_ack(Ack(frame.epoch, stored=frame.ranges, thinned=frame.thinned))
