"""Work beside the loop while it is judged: `python -m runtime.acceptance.load disk`.

Nothing comes from outside the machine: a packet from elsewhere would bring the noise of elsewhere.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from conf.schema.hardware import Load

DISK_CHUNK_BYTES: Final = 1 << 20
DISK_CHUNKS: Final = 16
MEMORY_BYTES: Final = 64 << 20
PAGE_BYTES: Final = 4096
PACKET_BYTES: Final = 1400
# Ends by itself even where whoever started it was killed: longer than any declared part.
LIFETIME_S: Final = 6 * 3600
WORKER: Final = (
    "import json; d = [json.dumps(list(range(2000))) for _ in range(200)]; print(len(d))"
)


def write_disk(turns: int | None) -> None:
    """Writes and syncs a file where temporary files go, over and over."""
    path = Path(os.environ.get("TMPDIR", "/var/tmp")) / f"bedplate-load-{os.getpid()}"
    chunk = os.urandom(DISK_CHUNK_BYTES)
    with path.open("wb", buffering=0) as file:
        path.unlink()  # gone with this process, however it ends
        for _ in _turns(turns):
            for _chunk in range(DISK_CHUNKS):
                file.write(chunk)
            os.fdatasync(file.fileno())
            file.truncate(0)
            file.seek(0)


def touch_memory(turns: int | None) -> None:
    """Writes to every page of a block that no cache holds."""
    block = bytearray(MEMORY_BYTES)
    for turn in _turns(turns):
        for page in range(0, MEMORY_BYTES, PAGE_BYTES):
            block[page] = turn & 0xFF


def send_packets(turns: int | None) -> None:
    """A stream to itself over the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = socket.create_connection(server.getsockname())
        receiver, _ = server.accept()
    drain = threading.Thread(target=_drain, args=(receiver,), daemon=True)
    drain.start()
    packet = bytes(PACKET_BYTES)
    with sender:
        for _ in _turns(turns):
            sender.sendall(packet)
    drain.join()


def _drain(receiver: socket.socket) -> None:
    with receiver:
        while receiver.recv(1 << 16):
            pass


def start_processes(turns: int | None) -> None:
    """Python starts, works, ends; and again: faults, signals, the page cache."""
    for _ in _turns(turns):
        subprocess.run([sys.executable, "-c", WORKER], stdout=subprocess.DEVNULL, check=True)


def _turns(turns: int | None) -> Iterator[int]:
    turn = 0
    while turns is None or turn < turns:
        yield turn
        turn += 1


PROGRAMS: Final[dict[Load, Callable[[int | None], None]]] = {
    Load.DISK: write_disk,
    Load.MEMORY: touch_memory,
    Load.NETWORK: send_packets,
    Load.PYTHON: start_processes,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("load", type=Load, choices=list(Load))
    parser.add_argument("--turns", type=int, help="then end; without it, until it is ended")
    arguments = parser.parse_args()
    signal.alarm(LIFETIME_S)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    PROGRAMS[arguments.load](arguments.turns)


if __name__ == "__main__":
    main()
