"""A connection of the fleet's own to the broker: TLS, certificate, MQTT 5, always made again.

An ingester takes thousands of messages a second, and a call of the kernel for each would cost more
than all that is done with them. So whatever the network has is read at once and handed on as one
list, and all that a batch has to say goes out in one write.
"""

import logging
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import NamedTuple, Protocol

import mqtt5
from mqtt5 import PublishPacket, QoS

from fleet.pki import Authority
from fleet.settings import FleetSettings
from runtime.topics import Party, TopicName, find_topic, subscription

log = logging.getLogger(__name__)

KEEPALIVE_S = 20
TURN_S = KEEPALIVE_S / 4  # a read or a write waits no longer
SESSION_S = 3600  # how long the broker keeps what an ingester has not acknowledged
RECEIVE_MAXIMUM = 1000  # messages on their way to an ingester at once
READ_BYTES = 262_144
GATHER_S = 0.01  # between two reads: the broker writes each message on its own
HELLO_TURNS = 4
AGAIN_MIN_S, AGAIN_MAX_S = 1.0, 10.0
IDS = 65_535
PING = mqtt5.PingReqPacket()
REFUSALS = 128  # reasons from here on


class Saying(Protocol):
    @property
    def topic(self) -> str: ...

    @property
    def payload(self) -> bytes: ...


class Receipt(NamedTuple):
    """What an acknowledgement names: it is good on the connection that the message came by."""

    connection: int
    packet_id: int


OnMessages = Callable[[Sequence[PublishPacket], int], None]  # and by which connection


class FleetClient:
    """`party` decides which certificate, and so which rights, the connection has.

    `on_messages` runs on the network's thread. With `manual_ack` a message is the broker's until
    `answer` names it; else it counts as taken when `on_messages` returns.
    """

    def __init__(
        self,
        settings: FleetSettings,
        party: Party,
        client_id: str,
        topics: Sequence[TopicName],
        on_messages: OnMessages,
        *,
        manual_ack: bool = False,
    ) -> None:
        self._settings, self._party = settings, party
        self._client_id, self._topics = client_id, topics
        self._on_messages = on_messages
        self._manual_ack = manual_ack
        self._context = _tls(settings, party)
        self._connections = 0
        self._line: Line | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=client_id, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ending.set()
        if (line := self._line) is not None:
            line.end()
        if self._thread.is_alive():
            self._thread.join()

    def answer(self, said: Sequence[Saying], taken: Iterable[Receipt]) -> None:
        """Sends, and then tells the broker that messages are dealt with.

        Without a connection nothing is kept: whoever was not answered asks again.
        """
        line = self._line
        if line is None:
            return
        try:
            line.answer(
                said,
                [
                    item.packet_id
                    for item in taken
                    if item.connection == line.number and item.packet_id
                ],
            )
        except OSError as error:  # the network's thread makes it anew
            log.info("an answer was not sent: %s", error)
            line.end()

    def _run(self) -> None:
        again_s = AGAIN_MIN_S
        while not self._ending.is_set():
            before = self._connections
            try:
                self._connect()
            except (OSError, ValueError) as error:  # ValueError: no packet of MQTT
                if not self._ending.is_set():
                    log.info("disconnected from %s:%s: %s", *self._address, error)
            except Exception:
                log.exception("messages could not be taken; the broker gives them again")
            again_s = AGAIN_MIN_S if self._connections > before else min(2 * again_s, AGAIN_MAX_S)
            self._ending.wait(again_s)

    @property
    def _address(self) -> tuple[str, int]:
        return self._settings.broker_host, self._settings.broker_port

    def _connect(self) -> None:
        """One connection, to its end: OSError."""
        pipe = Pipe(self._address, self._context)
        try:
            pipe.write(self._greeting())
            packets = _packets(pipe)
            first = next(filter(None, islice(packets, HELLO_TURNS)), None)
            if first is None:
                raise TimeoutError("the broker does not answer")
            hello, *others = first
            if not isinstance(hello, mqtt5.ConnAckPacket) or int(hello.reason_code) >= REFUSALS:
                log.error("broker refused %s: %r", self._client_id, hello)
                return
            self._connections += 1
            line = Line(pipe, self._connections, min(hello.receive_max, IDS))
            pipe.write(self._wishes())
            log.info("connected to %s:%s", *self._address)
            self._line = line
            self._listen(line, chain([others], packets))
        finally:
            self._line = None
            pipe.close()

    def _listen(self, line: "Line", packets: Iterable[Sequence[mqtt5.Packet]]) -> None:
        for some in packets:
            messages: list[PublishPacket] = []
            for packet in some:
                match packet:
                    case PublishPacket():
                        messages.append(packet)
                    case mqtt5.PubAckPacket():
                        line.note_ack(packet.packet_id)
                    case mqtt5.DisconnectPacket():
                        raise ConnectionResetError(f"the broker says {packet.reason_code!r}")
                    case mqtt5.SubAckPacket():
                        _look_at(packet)
                    case _:
                        pass
            if messages:
                self._on_messages(messages, line.number)
                if not self._manual_ack:
                    line.answer((), [item.packet_id for item in messages if item.packet_id])
            if self._ending.wait(GATHER_S if some else 0):
                return
            line.keep_alive(time.monotonic())

    def _greeting(self) -> bytes:
        return mqtt5.ConnectPacket(
            self._client_id,
            keep_alive=KEEPALIVE_S,
            clean_start=not self._manual_ack,
            session_expiry_interval=SESSION_S if self._manual_ack else 0,
            receive_max=RECEIVE_MAXIMUM,
        ).write()

    def _wishes(self) -> bytes:
        topics = [
            mqtt5.TopicFilter(subscription(name), max_qos=QoS(find_topic(name).qos))
            for name in self._topics
        ]
        return mqtt5.SubscribePacket(1, topics).write()


@dataclass
class Line:
    """One connection: what was sent by it and is not acknowledged, and what waits for that."""

    pipe: "Pipe"
    number: int
    quota: int  # messages that the broker takes at once
    _away: set[int] = field(default_factory=set)
    _waiting: deque[Saying] = field(default_factory=deque)
    _last_id: int = 1  # the subscription's
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, said: Sequence[Saying], taken: Sequence[int]) -> None:
        with self._lock:
            self._waiting.extend(said)
            out = self._next()
            out += [mqtt5.PubAckPacket(packet_id).write() for packet_id in taken]
            if out:
                self.pipe.write(b"".join(out))

    def note_ack(self, packet_id: int) -> None:
        with self._lock:
            self._away.discard(packet_id)
            if self._waiting:
                self.pipe.write(b"".join(self._next()))

    def keep_alive(self, now_s: float) -> None:
        """After each read, which waits no longer than a turn; ConnectionResetError."""
        silent_s = now_s - self.pipe.read_s
        if silent_s > 2 * KEEPALIVE_S:
            raise ConnectionResetError(f"nothing was heard for {silent_s:.0f} s")
        if max(silent_s, now_s - self.pipe.written_s) > KEEPALIVE_S / 2:
            self.pipe.write(PING.write())

    def end(self) -> None:
        """Says goodbye; who reads hears of it."""
        try:
            self.pipe.write(mqtt5.DisconnectPacket().write())
        except OSError:
            pass
        finally:
            self.pipe.hang_up()

    def _next(self) -> list[bytes]:
        out: list[bytes] = []
        while self._waiting and len(self._away) < self.quota:
            item = self._waiting.popleft()
            self._last_id = self._last_id % IDS + 1
            while self._last_id in self._away:
                self._last_id = self._last_id % IDS + 1
            self._away.add(self._last_id)
            packet = PublishPacket(
                item.topic, item.payload, qos=QoS.AT_LEAST_ONCE, packet_id=self._last_id
            )
            out.append(packet.write())
        return out


class Pipe:
    """TLS over one socket, for one who reads and any who write; OSError when it is over.

    The standard library's own socket reads one TLS record with each call, which is one message.
    """

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext) -> None:
        self.read_s = self.written_s = time.monotonic()
        self._lock = threading.Lock()
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=address[0])
        self._socket = socket.create_connection(address, timeout=TURN_S)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._shake_hands()
        except OSError:
            self.close()
            raise

    def read(self) -> bytes:
        """What has come; nothing after a turn without anything."""
        try:
            sealed = self._socket.recv(READ_BYTES)
        except TimeoutError:
            return b""
        if not sealed:
            raise ConnectionResetError("the broker hung up")
        self.read_s = time.monotonic()
        with self._lock:
            self._in.write(sealed)
            found: list[bytes] = []
            try:
                while piece := self._tls.read(READ_BYTES):
                    found.append(piece)
            except ssl.SSLWantReadError:
                pass
            self._flush()
        return b"".join(found)

    def write(self, data: bytes) -> None:
        with self._lock:
            self._tls.write(data)
            self._flush()
            self.written_s = time.monotonic()

    def hang_up(self) -> None:
        """Who reads hears of it at once."""
        with suppress(OSError):  # it is gone already
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.hang_up()
        with self._lock:  # nobody writes into a socket that has the same number later
            self._socket.close()

    def _flush(self) -> None:
        if sealed := self._out.read():
            self._socket.sendall(sealed)

    def _shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                sealed = self._socket.recv(READ_BYTES)
                if not sealed:
                    raise ConnectionResetError("the broker hung up in the handshake") from None
                self._in.write(sealed)
        self._flush()


def _packets(pipe: Pipe) -> Iterator[list[mqtt5.Packet]]:
    """All that came together, again and again; an empty list is a turn without any."""
    rest = b""
    while True:
        read = pipe.read()
        rest = rest + read if rest else read
        found: list[mqtt5.Packet] = []
        at = 0
        with memoryview(rest) as view:
            while at < len(view):
                try:
                    packet, length = mqtt5.read(view[at:])
                except IndexError:  # it is not whole yet
                    break
                found.append(packet)
                at += length
        rest = rest[at:]
        yield found


def _look_at(packet: mqtt5.SubAckPacket) -> None:
    refused = [code for code in packet.reason_codes if int(code) >= REFUSALS]
    if refused:
        log.error("the broker refused to be listened to: %r", refused)


def _tls(settings: FleetSettings, party: Party) -> ssl.SSLContext:
    authority = Authority(settings.pki)
    pair = authority.issue_party(party)
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(authority.ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pair.certificate, pair.key)
    return context
