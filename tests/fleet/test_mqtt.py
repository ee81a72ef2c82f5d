"""The fleet's own connection: nothing is lost between a message and its acknowledgement."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import mqtt5
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mqtt5 import PublishPacket, QoS

from fleet.mqtt import KEEPALIVE_S, FleetClient, Line, Pipe, Receipt, _packets
from runtime.telemetry.uplink import MqttUplink
from runtime.topics import Party, TopicName, address
from tests.fleet.conftest import SITE, Broker, wait_for
from tests.fleet.fleet_of import Message

ROBOT = "robot-a"


@dataclass
class Heard:
    """What an ingester was given, call by call."""

    calls: list[tuple[list[PublishPacket], int]] = field(default_factory=list)
    is_broken: bool = False

    def __call__(self, messages: Sequence[PublishPacket], connection: int) -> None:
        if self.is_broken:
            raise RuntimeError("on purpose")
        self.calls.append((list(messages), connection))

    @property
    def payloads(self) -> list[bytes]:
        return [message.payload for messages, _ in self.calls for message in messages]

    @property
    def receipts(self) -> list[Receipt]:
        return [
            Receipt(connection, message.packet_id or 0)
            for messages, connection in self.calls
            for message in messages
        ]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def link(broker: Broker, heard: Heard) -> Iterator[FleetClient]:
    topics = (TopicName.FRAMES, TopicName.ACCOUNT)
    made = FleetClient(broker.settings, Party.INGEST, "ingest/test", topics, heard, manual_ack=True)
    made.start()
    wait_for(lambda: made._line is not None)
    yield made
    made.stop()
    assert not made._thread.is_alive()


@pytest.fixture
def robot(make_uplink: Callable[[str], MqttUplink]) -> MqttUplink:
    return make_uplink(ROBOT)


def lose(link: FleetClient) -> None:
    """The connection, as a network does it; until there is another."""
    line = link._line
    assert line is not None
    line.pipe.hang_up()
    wait_for(lambda: link._line is not None and link._line is not line)


def test_what_was_not_acknowledged_comes_again_and_the_rest_does_not(
    link: FleetClient, robot: MqttUplink, heard: Heard
) -> None:
    for number in range(4):
        robot.send(TopicName.FRAMES, b"%d" % number, said=(("traceparent", f"00-{number}"),))
    wait_for(lambda: len(heard.payloads) == 4)
    said = [message.user_properties for messages, _ in heard.calls for message in messages]
    assert said == [[("traceparent", f"00-{number}")] for number in range(4)]
    link.answer((), [heard.receipts[0], heard.receipts[2]])
    time.sleep(0.2)  # they are on their way
    heard.calls.clear()
    lose(link)
    wait_for(lambda: sorted(heard.payloads) == [b"1", b"3"])
    link.answer((), heard.receipts)
    heard.calls.clear()
    lose(link)
    robot.send(TopicName.FRAMES, b"new")
    wait_for(lambda: heard.payloads == [b"new"])


def test_a_receipt_of_an_older_connection_acknowledges_nothing(
    link: FleetClient, robot: MqttUplink, heard: Heard
) -> None:
    robot.send(TopicName.FRAMES, b"a")
    wait_for(lambda: heard.payloads == [b"a"])
    old = heard.receipts
    lose(link)
    wait_for(lambda: heard.payloads == [b"a", b"a"])
    link.answer((), old)
    heard.calls.clear()
    lose(link)
    wait_for(lambda: heard.payloads == [b"a"])


def test_what_could_not_be_taken_is_given_again(
    link: FleetClient, robot: MqttUplink, heard: Heard
) -> None:
    heard.is_broken, line = True, link._line
    robot.send(TopicName.FRAMES, b"a")
    wait_for(lambda: link._line is not line)
    heard.is_broken = False
    wait_for(lambda: heard.payloads == [b"a"])


def test_more_answers_than_the_broker_takes_at_once_all_arrive_in_order(
    link: FleetClient, robot: MqttUplink
) -> None:
    line = link._line
    assert line is not None
    line.quota = 20
    topic = address(TopicName.ACK, SITE, ROBOT)
    wanted = [b"%d" % number for number in range(300)]
    link.answer([Message(topic, payload) for payload in wanted], ())
    got: list[bytes] = []
    wait_for(lambda: bool(got.extend(robot.acks()) or len(got) >= len(wanted)))
    assert got == wanted
    wait_for(lambda: not line._away)


def test_large_messages_and_many_at_once_arrive_whole(
    link: FleetClient, robot: MqttUplink, heard: Heard
) -> None:
    wanted = [bytes([number]) * size for number, size in enumerate((1, 60_000, 7, 200_000, 0))]
    for payload in wanted:
        robot.send(TopicName.FRAMES, payload)
    wait_for(lambda: len(heard.payloads) == len(wanted))
    assert heard.payloads == wanted


def test_an_answer_without_a_connection_is_no_error(broker: Broker, heard: Heard) -> None:
    link = FleetClient(broker.settings, Party.INGEST, "ingest/x", (TopicName.FRAMES,), heard)
    link.answer([Message("a", b"b")], [Receipt(1, 1)])
    link.stop()


@dataclass
class Slots:
    """In place of a pipe: what is read, in pieces, and what was written."""

    pieces: list[bytes] = field(default_factory=list)
    written: list[bytes] = field(default_factory=list)
    read_s: float = 0.0
    written_s: float = 0.0

    def read(self) -> bytes:
        return self.pieces.pop(0)

    def write(self, data: bytes) -> None:
        self.written.append(data)


def line_on(slots: Slots, quota: int = 10) -> Line:
    return Line(slots, 1, quota)  # pyright: ignore[reportArgumentType]


@given(
    sizes=st.lists(st.integers(0, 300), min_size=1, max_size=8),
    cuts=st.lists(st.integers(0, 2500), max_size=12),
)
def test_packets_come_out_whole_wherever_the_stream_is_cut(
    sizes: list[int], cuts: list[int]
) -> None:
    wanted = [
        PublishPacket("t", b"x" * size, qos=QoS.AT_LEAST_ONCE, packet_id=number)
        for number, size in enumerate(sizes, start=1)
    ]
    stream = b"".join(packet.write() for packet in wanted)
    ends = sorted({min(cut, len(stream)) for cut in cuts} | {len(stream)})
    pieces = [stream[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    slots = Slots(pieces)
    read = _packets(slots)  # pyright: ignore[reportArgumentType]
    found = [packet for _ in range(len(pieces)) for packet in next(read)]
    assert [(p.packet_id, p.payload) for p in found if isinstance(p, PublishPacket)] == [
        (p.packet_id, p.payload) for p in wanted
    ]


@given(taken=st.lists(st.integers(1, 6), max_size=60), quota=st.integers(1, 5))
def test_never_more_is_on_its_way_than_the_broker_takes(taken: list[int], quota: int) -> None:
    slots = Slots()
    line = line_on(slots, quota)
    line.answer([Message("t", b"%d" % number) for number in range(len(taken))], ())
    for _ in taken:
        assert len(line._away) <= quota
        assert line._away
        line.note_ack(min(line._away))
    assert not line._away
    stream, sent = b"".join(slots.written), []
    while stream:
        packet, length = mqtt5.read(memoryview(stream))
        assert isinstance(packet, PublishPacket)
        sent.append(packet.payload)
        stream = stream[length:]
    assert sent == [b"%d" % number for number in range(len(taken))]


def test_numbers_of_messages_come_round_and_pass_over_those_on_their_way() -> None:
    slots = Slots()
    line = line_on(slots, quota=5)
    line._last_id = 65_533
    line._away = {65_535, 1}
    line.answer([Message("t", b"a")] * 3, ())
    assert line._away == {65_535, 1, 65_534, 2, 3}


def test_a_silent_connection_is_asked_and_then_given_up() -> None:
    slots = Slots()
    line = line_on(slots)
    line.keep_alive(KEEPALIVE_S / 4)
    assert not slots.written
    slots.written_s = KEEPALIVE_S  # it speaks, but nothing is heard
    line.keep_alive(KEEPALIVE_S)
    assert slots.written == [mqtt5.PingReqPacket().write()]
    slots.read_s, slots.written_s = 2.0 * KEEPALIVE_S, KEEPALIVE_S  # it hears, but says nothing
    line.keep_alive(2.0 * KEEPALIVE_S)
    assert len(slots.written) == 2
    with pytest.raises(ConnectionResetError, match="nothing was heard for 41 s"):
        line.keep_alive(4.0 * KEEPALIVE_S + 1)


def test_two_may_write_while_one_reads(broker: Broker, heard: Heard, link: FleetClient) -> None:
    """As the thread of batches and the network's own do."""
    line = link._line
    assert line is not None
    pipe: Pipe = line.pipe
    ping = mqtt5.PingReqPacket().write()
    threads = [
        threading.Thread(target=lambda: [pipe.write(ping) for _ in range(500)]) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(0.2)
    assert link._line is line
