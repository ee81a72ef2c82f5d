"""The edge's side: `python -m runtime.perception.inference.serve --cards DIR --port N`.

Serves networks to robots over TCP, one thread, one run after the other. A robot names the network
and its hash; another file than the robot's card describes is refused by name.
"""

import argparse
import logging
import selectors
import socket
from pathlib import Path
from typing import Any

from runtime.perception.inference.card import CardError, read_card
from runtime.perception.inference.onnx_cpu import OnnxEngine, OnnxSession
from runtime.perception.inference.port import Tensors
from runtime.perception.inference.remote import FrameError, FrameReader, encode_frame, ready_sockets

log = logging.getLogger(__name__)


class EdgeServer:
    def __init__(self, cards: list[Path], host: str, port: int, threads: int = 1) -> None:
        engine = OnnxEngine(threads)
        self._sessions: dict[str, OnnxSession] = {}
        for path in cards:
            card = read_card(path)
            self._sessions[card.name] = engine.load(card.name, str(path))
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server((host, port))
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._readers: dict[socket.socket, FrameReader] = {}

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def step(self, timeout_s: float) -> None:
        """Serve whatever has come in, waiting at most this long for it."""
        for ready in ready_sockets(self._selector, timeout_s):
            if ready is self._listener:
                peer, _ = self._listener.accept()
                peer.settimeout(2.0)
                self._readers[peer] = FrameReader()
                self._selector.register(peer, selectors.EVENT_READ)
            else:
                self._serve(ready)

    def close(self) -> None:
        for peer in list(self._readers):
            self._drop(peer)
        self._selector.close()
        self._listener.close()

    def _serve(self, peer: socket.socket) -> None:
        try:
            data = peer.recv(2**20)
            frames = self._readers[peer].feed(data)
            for header, tensors in frames:
                peer.sendall(self._answer(header, tensors))
        except (OSError, FrameError) as error:
            log.warning("a robot's connection is closed: %s", error)
            data = b""
        if not data:
            self._drop(peer)

    def _answer(self, header: dict[str, Any], tensors: Tensors) -> bytes:
        back = {"network": str(header.get("network")), "run": header.get("run")}
        session = self._sessions.get(back["network"])
        if session is None:
            return encode_frame({**back, "error": "this edge does not have that network"}, {})
        if header.get("sha256") != session.card.sha256:
            held = session.card.sha256[:16]
            return encode_frame({**back, "error": f"this edge holds version {held}…"}, {})
        try:
            return encode_frame(back, session.run(tensors))
        except CardError as error:
            return encode_frame({**back, "error": str(error)}, {})

    def _drop(self, peer: socket.socket) -> None:
        self._selector.unregister(peer)
        del self._readers[peer]
        peer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cards", type=Path, required=True, help="folder with cards and networks")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    server = EdgeServer(sorted(args.cards.glob("*.yaml")), args.host, args.port, args.threads)
    log.info("serving on %s:%d", args.host, server.port)
    try:
        while True:
            server.step(1.0)
    except KeyboardInterrupt:
        server.close()


if __name__ == "__main__":
    main()
