"""Somebody between a client and its database who takes his time, or hangs up."""

import select
import socket
import threading
import time
from pathlib import Path

CHUNK_BYTES = 65_536
Place = tuple[str, int] | Path


class SlowDoor:
    """Listens at `here`; what `there` answers comes `delay_s` later, as long as that is set.

    The next message with `cut_at` in it is the last of its connection, and gets through if `heard`.
    """

    def __init__(self, here: Place, there: Place) -> None:
        self.delay_s = 0.0
        self.answers_delayed = 0
        self.cut_at = b""
        self.heard = False
        self.cuts = 0
        self._there = there
        self._door = _socket(here)
        self._door.bind(_name(here))
        self._door.listen(64)
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._open, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._door.close()

    def _open(self) -> None:
        while not self._over.is_set():
            if not select.select([self._door], [], [], 0.1)[0]:
                continue
            client = self._door.accept()[0]
            thread = threading.Thread(target=self._carry, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _carry(self, client: socket.socket) -> None:
        with client, _socket(self._there) as server:
            try:
                server.connect(_name(self._there))
                while not self._over.is_set():
                    for end in select.select([client, server], [], [], 0.1)[0]:
                        data = end.recv(CHUNK_BYTES)
                        if not data:
                            return
                        if self.cut_at and self.cut_at in data:
                            self.cut_at = b""
                            self.cuts += 1
                            if self.heard:
                                server.sendall(data)
                            return
                        if end is server and self.delay_s:
                            self.answers_delayed += 1
                            time.sleep(self.delay_s)
                        (client if end is server else server).sendall(data)
            except OSError:  # one of them has left
                return


def _socket(place: Place) -> socket.socket:
    return socket.socket(socket.AF_UNIX if isinstance(place, Path) else socket.AF_INET)


def _name(place: Place) -> str | tuple[str, int]:
    return str(place) if isinstance(place, Path) else place
