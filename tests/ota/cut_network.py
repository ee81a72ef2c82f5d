"""A network that drops: a relay in front of a server, which ends one connection in mid-answer."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

BLOCK = 1 << 14


@dataclass
class Relay:
    """`cut_after`: bytes of one connection's answer; `cuts` how many connections were ended so."""

    listener: socket.socket
    target: tuple[str, int]
    cut_after: int
    cuts_wanted: int
    cuts: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.listener.getsockname()[1]}"

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return  # closed: the test is over
            server = socket.create_connection(self.target)
            for one, other, answers in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pass, args=(one, other, answers), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket, answers: bool) -> None:
        passed = 0
        with suppress(OSError):
            while block := one.recv(BLOCK):
                other.sendall(block)
                passed += len(block)
                if answers and passed > self.cut_after and self._is_wanted():
                    break
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        one.close()  # the other way's thread closes the other

    def _is_wanted(self) -> bool:
        with self.lock:
            if self.cuts == self.cuts_wanted:
                return False
            self.cuts += 1
            return True


@contextmanager
def cutting(url: str, cut_after: int, cuts: int = 1) -> Iterator[Relay]:
    host, _, port = url.removeprefix("https://").partition(":")
    listener = socket.create_server(("127.0.0.1", 0))
    relay = Relay(listener, (host, int(port)), cut_after, cuts)
    thread = threading.Thread(target=relay.serve, daemon=True)
    thread.start()
    try:
        yield relay
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(timeout=10)
