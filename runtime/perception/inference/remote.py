"""Networks that run on another machine: level 3 may be placed off the robot.

A frame is a length, a JSON header with the tensors' names, types and shapes, and their bytes. No
pickle crosses the network, and nothing longer than a card allows is read.
"""

import json
import selectors
import socket
import struct
from pathlib import Path
from typing import Any

import numpy as np

from runtime.perception.inference.card import Card, CardError, TensorSpec, check_inputs, read_card
from runtime.perception.inference.port import Tensors

_LENGTHS = struct.Struct("<II")  # header, body
MAX_HEADER_BYTES = 16_384
MAX_BODY_BYTES = 64 * 2**20
CONNECT_TIMEOUT_S = 2.0


class FrameError(ValueError):
    """Bytes that are no frame: the connection is closed, nothing of it is believed."""


def encode_frame(header: dict[str, Any], tensors: Tensors) -> bytes:
    """Header and tensors as one run of bytes."""
    rows = [[name, a.dtype.name, list(a.shape)] for name, a in tensors.items()]
    head = json.dumps({**header, "tensors": rows}).encode()
    body = b"".join(np.ascontiguousarray(a).tobytes() for a in tensors.values())
    return _LENGTHS.pack(len(head), len(body)) + head + body


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[dict[str, Any], Tensors]]:
        self._buffer += data
        frames: list[tuple[dict[str, Any], Tensors]] = []
        while len(self._buffer) >= _LENGTHS.size:
            head, body = _LENGTHS.unpack_from(self._buffer)
            if head > MAX_HEADER_BYTES or body > MAX_BODY_BYTES:
                raise FrameError(f"a frame of {head} + {body} bytes is more than any network needs")
            end = _LENGTHS.size + head + body
            if len(self._buffer) < end:
                break
            frame = bytes(self._buffer[_LENGTHS.size : end])
            del self._buffer[:end]
            frames.append(_decode(frame[:head], frame[head:]))
        return frames


def _decode(head: bytes, body: bytes) -> tuple[dict[str, Any], Tensors]:
    try:
        header = json.loads(head)
        specs = [
            TensorSpec(name=name, dtype=dtype, shape=tuple(shape))
            for name, dtype, shape in header.pop("tensors")
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FrameError(f"the header of a frame makes no sense: {error}") from error
    if sum(spec.size_bytes for spec in specs) != len(body):
        raise FrameError(f"a frame declares other sizes than its {len(body)} bytes")
    tensors: Tensors = {}
    at = 0
    for spec in specs:
        data = np.frombuffer(
            body, spec.dtype, offset=at, count=spec.size_bytes // np.dtype(spec.dtype).itemsize
        )
        tensors[spec.name] = data.reshape(spec.shape)
        at += spec.size_bytes
    return header, tensors


class RemoteSession:
    def __init__(self, card: Card, engine: "RemoteEngine") -> None:
        self.card = card
        self._engine = engine
        self._run = 0
        self._ready: Tensors | None = None
        self._problem = ""

    def start(self, tensors: Tensors) -> None:
        check_inputs(self.card, tensors)
        self._run += 1
        self._ready, self._problem = None, ""
        header = {"network": self.card.name, "sha256": self.card.sha256, "run": self._run}
        self._engine.send(encode_frame(header, tensors))

    def collect(self) -> Tensors | None:
        self._engine.receive()
        if self._problem:
            problem, self._problem = self._problem, ""
            raise CardError(problem)
        ready, self._ready = self._ready, None
        return ready

    def deliver(self, header: dict[str, Any], tensors: Tensors) -> None:
        if header.get("run") != self._run:
            return  # the answer to a run that was given up
        if "error" in header:
            self._problem = f"{self.card.name} at the edge: {header['error']}"
            return
        if not all(
            spec.name in tensors and spec.matches(tensors[spec.name]) for spec in self.card.outputs
        ):
            self._problem = f"{self.card.name} at the edge: outputs differ from the card"
            return
        self._ready = tensors

    def give_up(self, problem: str) -> None:
        self._problem = problem


class RemoteEngine:
    """A client of serve.py; a lost connection fails the run under way and is opened anew."""

    name = "remote"

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise CardError(
                f"perception.edge_address got {address!r}, must be host:port, because networks "
                "placed off the robot are reached there"
            )
        self._address = (host, int(port))
        self._socket: socket.socket | None = None
        self._reader = FrameReader()
        self._sessions: dict[str, RemoteSession] = {}

    def load(self, network: str, card_path: str) -> RemoteSession:
        # The edge may come later: the robot works without it, so no connection is needed here.
        session = RemoteSession(read_card(Path(card_path)), self)
        self._sessions[network] = session
        return session

    def send(self, frame: bytes) -> None:
        try:
            self._connected().sendall(frame)
        except OSError as error:
            self.close()
            raise CardError(
                f"edge {self._address[0]}:{self._address[1]} cannot be reached ({error}); "
                "the run is given up, levels on the robot go on"
            ) from error

    def receive(self) -> None:
        """Hand out what has arrived; never waits."""
        if self._socket is None:
            return
        try:
            self._socket.settimeout(0.0)
            data = self._socket.recv(2**20)
            frames = self._reader.feed(data)
        except BlockingIOError:
            return
        except (OSError, FrameError) as error:
            self._drop(str(error))
            return
        if not data:
            self._drop("the connection was closed")
        for header, tensors in frames:
            session = self._sessions.get(str(header.get("network")))
            if session is not None:
                session.deliver(header, tensors)

    def _drop(self, why: str) -> None:
        self.close()
        for session in self._sessions.values():
            session.give_up(f"edge lost: {why}")

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, CONNECT_TIMEOUT_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._reader = FrameReader()
        self._socket.settimeout(CONNECT_TIMEOUT_S)
        return self._socket

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def ready_sockets(selector: selectors.BaseSelector, timeout_s: float) -> list[socket.socket]:
    return [key.fileobj for key, _ in selector.select(timeout_s)]  # type: ignore[misc]
