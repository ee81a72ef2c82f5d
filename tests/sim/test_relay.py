"""The network can be cut, held, slowed, delayed and spoiled between two ends."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from runtime.hal.clock import SystemClock
from sim.faults import Component, FaultBoard, Kind, Venue
from sim.relay import Endpoint, Relay

LOCAL = "127.0.0.1"


class Echo:
    """Sends back whatever it gets."""

    def __init__(self) -> None:
        self._listener = socket.create_server((LOCAL, 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(peer,), daemon=True).start()

    @staticmethod
    def _answer(peer: socket.socket) -> None:
        with peer:
            try:
                while data := peer.recv(4096):
                    peer.sendall(data)
            except OSError:
                return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def board() -> FaultBoard:
    return FaultBoard(Venue.FREE_RUNNING)


@pytest.fixture
def relay(board: FaultBoard) -> Iterator[Relay]:
    echo = Echo()
    opened = Relay(Endpoint(LOCAL, 0), Endpoint(LOCAL, echo.port), board, SystemClock())
    opened.start()
    yield opened
    opened.close()
    echo.close()


def inject(board: FaultBoard, kind: Kind) -> None:
    board.inject(Component.NETWORK, kind, SystemClock().now_ns())


def call(port: int, timeout_s: float = 10.0) -> socket.socket:
    return socket.create_connection((LOCAL, port), timeout=timeout_s)


def ask(peer: socket.socket, text: bytes) -> bytes:
    peer.sendall(text)
    got = b""
    while len(got) < len(text):
        part = peer.recv(4096)
        if not part:
            break
        got += part
    return got


def is_dead(peer: socket.socket) -> bool:
    """Whether the other end closes or resets the connection; a live echo never does."""
    try:
        return peer.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def is_refused(port: int) -> bool:
    """A reset may arrive while the connection is still being made, or just after."""
    try:
        with call(port) as peer:
            return is_dead(peer)
    except OSError:
        return True


def test_relay_carries_both_ways_when_nothing_is_wrong(relay: Relay) -> None:
    with call(relay.port) as peer:
        text = bytes(range(256)) * 400
        assert ask(peer, text) == text


def test_relay_cut_ends_open_connections_and_refuses_new_ones(
    relay: Relay, board: FaultBoard
) -> None:
    with call(relay.port) as peer:
        assert ask(peer, b"before") == b"before"
        inject(board, Kind.OFF)
        assert is_dead(peer)
    assert is_refused(relay.port)
    board.clear(Component.NETWORK)
    with call(relay.port) as peer:
        assert ask(peer, b"after") == b"after"
    assert relay.cuts == 1


def test_relay_stuck_holds_what_is_sent_until_it_is_cleared(
    relay: Relay, board: FaultBoard
) -> None:
    with call(relay.port) as peer:
        assert ask(peer, b"first") == b"first"
        inject(board, Kind.STUCK)
        peer.settimeout(0.3)
        peer.sendall(b"held")
        with pytest.raises(TimeoutError):
            peer.recv(16)
        board.clear(Component.NETWORK)
        peer.settimeout(10.0)
        assert peer.recv(16) == b"held"


def test_relay_delayed_takes_longer_and_loses_nothing(relay: Relay, board: FaultBoard) -> None:
    with call(relay.port) as peer:
        inject(board, Kind.DELAYED)
        begun = time.monotonic()
        assert ask(peer, b"late") == b"late"
        assert time.monotonic() - begun >= 1.2  # 600 ms each way; a relay is never early


def test_relay_slow_carries_little_at_a_time(relay: Relay, board: FaultBoard) -> None:
    with call(relay.port) as peer:
        inject(board, Kind.SLOW)
        begun = time.monotonic()
        assert len(ask(peer, b"x" * 2000)) == 2000
        assert time.monotonic() - begun >= 0.9  # 4 kB/s, there and back


def test_relay_garbage_flips_bytes_on_the_way(board: FaultBoard) -> None:
    with socket.create_server((LOCAL, 0)) as sink:
        relay = Relay(
            Endpoint(LOCAL, 0), Endpoint(LOCAL, sink.getsockname()[1]), board, SystemClock()
        )
        relay.start()
        inject(board, Kind.GARBAGE)
        with call(relay.port) as peer:
            peer.sendall(b"0123456789")
            far, _ = sink.accept()
            with far:
                got = far.recv(64)
        relay.close()
    assert len(got) == 10
    assert got != b"0123456789"


def test_relay_on_a_taken_port_says_so(board: FaultBoard) -> None:
    with socket.create_server((LOCAL, 0)) as taken:
        port = taken.getsockname()[1]
        relay = Relay(Endpoint(LOCAL, port), Endpoint(LOCAL, 1), board, SystemClock())
        with pytest.raises(OSError, match=f"{port}"):
            relay.start()
