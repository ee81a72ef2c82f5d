"""The real broker: certificates are asked for, and no robot acts in another's place."""

import gc
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from fleet.pki import Authority, KeyPair
from runtime.topics import Party, TopicName, address
from tests.fleet.conftest import Broker, wait_for

# paho leaves the socket of a failed handshake to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

Messages = list[tuple[str, bytes]]


class Peer:
    """A client that keeps what it hears."""

    def __init__(self, broker: Broker, pair: KeyPair | None, ca: Path | None = None) -> None:
        self.heard: Messages = []
        self.failed: list[str] = []
        self.client = Client(
            CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5, client_id=""
        )
        context = ssl.create_default_context(cafile=str(ca or broker.authority.ca))
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        self.client.tls_set_context(context)
        self.client.on_message = self._on_message
        self.client.on_connect_fail = lambda *_: self.failed.append("no connection")
        self.client.on_disconnect = lambda *args: self.failed.append(str(args[3]))
        self.client.connect_async("127.0.0.1", broker.settings.broker_port)
        self.client.loop_start()

    def say(self, topic: str, payload: bytes) -> int:
        """The broker's reason code for the message: 0x87 is "not authorized"."""
        codes: list[int] = []
        self.client.on_publish = lambda _c, _u, _mid, reason, _p: codes.append(reason.value)
        self.client.publish(topic, payload, qos=1)
        wait_for(lambda: bool(codes))
        return codes[0]

    def hear(self, topic: str) -> None:
        done: list[Any] = []
        self.client.on_subscribe = lambda *_: done.append(1)
        self.client.subscribe(topic, qos=1)
        wait_for(lambda: bool(done))

    def _on_message(self, _client: Client, _user: Any, message: Any) -> None:
        self.heard.append((message.topic, bytes(message.payload)))


@pytest.fixture
def connect(broker: Broker) -> Iterator[Callable[..., Peer]]:
    made: list[Peer] = []

    def make(pair: KeyPair | None, **options: Any) -> Peer:
        peer = Peer(broker, pair, **options)
        made.append(peer)
        return peer

    yield make
    for peer in made:
        peer.client.disconnect()
        peer.client.loop_stop()
    made.clear()
    gc.collect()


@pytest.fixture
def robots(broker: Broker, connect: Callable[..., Peer]) -> tuple[Peer, Peer]:
    a = connect(broker.authority.issue_robot("osaka", "robot-a"))
    b = connect(broker.authority.issue_robot("osaka", "robot-b"))
    wait_for(lambda: a.client.is_connected() and b.client.is_connected())
    return a, b


NOT_AUTHORIZED = 0x87


@pytest.mark.parametrize("name", [TopicName.FRAMES, TopicName.PRESENCE, TopicName.LIVE])
def test_robot_cannot_publish_as_another(
    robots: tuple[Peer, Peer], broker: Broker, connect: Callable[..., Peer], name: TopicName
) -> None:
    a, _b = robots
    fleet = connect(broker.authority.issue_party(Party.FLEET))
    ingest = connect(broker.authority.issue_party(Party.INGEST))
    wait_for(lambda: fleet.client.is_connected() and ingest.client.is_connected())
    for peer in (fleet, ingest):
        peer.hear(f"bedplate/v1/+/+/{name}")
    assert a.say(address(name, "osaka", "robot-b"), b"forged") == NOT_AUTHORIZED
    assert a.say(address(name, "other", "robot-a"), b"forged") == NOT_AUTHORIZED
    assert a.say(address(name, "osaka", "robot-a"), b"own") in (0, 0x10)
    wait_for(lambda: bool(fleet.heard or ingest.heard))
    assert {payload for _, payload in fleet.heard + ingest.heard} == {b"own"}


def test_robot_hears_its_own_acknowledgements_only(
    robots: tuple[Peer, Peer], broker: Broker, connect: Callable[..., Peer]
) -> None:
    a, b = robots
    for topic in ("bedplate/v1/+/+/ack", "bedplate/v1/#", "#", "$share/x/bedplate/v1/+/+/ack"):
        a.hear(topic)
    b.hear(address(TopicName.ACK, "osaka", "robot-b"))
    ingest = connect(broker.authority.issue_party(Party.INGEST))
    wait_for(ingest.client.is_connected)
    assert ingest.say(address(TopicName.ACK, "osaka", "robot-b"), b"for b") == 0
    wait_for(lambda: bool(b.heard))
    time.sleep(0.2)
    assert a.heard == []
    ingest.say(address(TopicName.ACK, "osaka", "robot-a"), b"for a")
    wait_for(lambda: bool(a.heard))
    assert {payload for _, payload in a.heard} == {b"for a"}


def test_robot_cannot_acknowledge_itself_and_a_page_cannot_write(
    robots: tuple[Peer, Peer], broker: Broker, connect: Callable[..., Peer]
) -> None:
    a, _b = robots
    assert a.say(address(TopicName.ACK, "osaka", "robot-a"), b"x") == NOT_AUTHORIZED
    fleet = connect(broker.authority.issue_party(Party.FLEET))
    wait_for(fleet.client.is_connected)
    assert fleet.say(address(TopicName.ACK, "osaka", "robot-a"), b"x") == NOT_AUTHORIZED
    assert fleet.say(address(TopicName.FRAMES, "osaka", "robot-a"), b"x") == NOT_AUTHORIZED


def test_client_without_a_certificate_is_turned_away(
    broker: Broker, connect: Callable[..., Peer]
) -> None:
    peer = connect(None)
    wait_for(lambda: bool(peer.failed))
    assert not peer.client.is_connected()


def test_client_of_another_authority_is_turned_away(
    broker: Broker, connect: Callable[..., Peer], tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    other.ensure()
    peer = connect(other.issue_robot("osaka", "robot-a"))
    wait_for(lambda: bool(peer.failed))
    assert not peer.client.is_connected()


def test_broker_of_another_authority_is_not_trusted(
    broker: Broker, connect: Callable[..., Peer], tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    other.ensure()
    pair = broker.authority.issue_robot("osaka", "robot-a")
    peer = connect(pair, ca=other.ca)
    wait_for(lambda: bool(peer.failed))
    assert not peer.client.is_connected()
