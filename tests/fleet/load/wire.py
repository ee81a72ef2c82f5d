"""A wire between two network namespaces that loses, delays, doubles, parts and resets.

The kernel here may know no `netem`: so the packets pass through this process, one by one, from one
TUN device to the other. Everything above them (TCP, TLS, MQTT) is real.
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
TCP, RST, ACK = 6, 0x04, 0x10
PACKET_BYTES = 65_536


@dataclass(frozen=True)
class Weather:
    """Of a wire, both ways; `loss` and `doubled` are shares of its packets."""

    loss: float = 0.0
    doubled: float = 0.0
    delay_s: float = 0.0
    spread_s: float = 0.0  # on top of the delay, by chance: packets overtake each other
    down: bool = False
    resets: bool = False  # as a gateway that has forgotten all connections


class Namespace:
    """One of the kernel's networks, empty at first; ends with `close`."""

    def __init__(self, name: str) -> None:
        self.name = name
        _run("ip", "netns", "add", name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *words: str) -> None:
        _run("ip", "-n", self.name, *words)

    def command(self, *words: str) -> list[str]:
        """The same, run in here."""
        return ["ip", "netns", "exec", self.name, *words]

    def tun(self, device: str) -> int:
        """A device in here whose packets this process reads and writes."""
        opened: list[int] = []
        worker = threading.Thread(target=lambda: opened.append(self._open(device)))
        worker.start()  # a thread may move into another network alone
        worker.join()
        return opened[0]

    def close(self) -> None:
        _run("ip", "netns", "del", self.name)

    def _open(self, device: str) -> int:
        space = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        if ctypes.CDLL(None, use_errno=True).setns(space, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(space)
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        wanted = struct.pack("16sH", device.encode(), IFF_TUN | IFF_NO_PI)
        fcntl.ioctl(tun, TUNSETIFF, wanted.ljust(40, b"\0"))
        return tun


class Wire:
    """From one network's address to another's. Set `weather` at any moment."""

    def __init__(
        self, one: tuple[Namespace, str], other: tuple[Namespace, str], seed: int = 1
    ) -> None:
        self.weather = Weather()
        self.lost = self.doubled = self.parted = self.resets = 0
        self._ends: list[int] = []
        for (space, address), (_, far) in ((one, other), (other, one)):
            device = f"to{far.replace('.', '')}"
            self._ends.append(space.tun(device))
            space.ip("addr", "replace", f"{address}/32", "dev", "lo")
            space.ip("link", "set", device, "up")
            space.ip("route", "add", f"{far}/32", "dev", device, "src", address)
        self._draw = random.Random(seed)
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._order = count()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        for end in self._ends:
            os.close(end)

    def _carry(self) -> None:
        while not self._over.is_set():
            wait_s = 0.05
            if self._waiting:
                wait_s = min(wait_s, max(0.0, self._waiting[0][0] - time.monotonic()))
            for end in select.select(self._ends, [], [], wait_s)[0]:
                self._take(end, os.read(end, PACKET_BYTES))
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                _, _, end, packet = heapq.heappop(self._waiting)
                os.write(end, packet)

    def _take(self, end: int, packet: bytes) -> None:
        weather, draw = self.weather, self._draw
        if weather.down:
            self.parted += 1
            return
        if weather.resets:
            self._reset(end, packet)
            return
        if draw.random() < weather.loss:
            self.lost += 1
            return
        twice = draw.random() < weather.doubled
        self.doubled += twice
        far = self._ends[1 - self._ends.index(end)]
        for _ in range(1 + twice):
            at_s = time.monotonic() + weather.delay_s + draw.uniform(0, weather.spread_s)
            heapq.heappush(self._waiting, (at_s, next(self._order), far, packet))

    def _reset(self, end: int, packet: bytes) -> None:
        answer = reset_of(packet)
        if answer is not None:
            self.resets += 1
            os.write(end, answer)


def reset_of(packet: bytes) -> bytes | None:
    """The TCP reset that ends its connection at its sender; None where there is none to end."""
    start = (packet[0] & 15) * 4
    if packet[0] >> 4 != 4 or packet[9] != TCP or packet[start + 13] & (ACK | RST) != ACK:
        return None
    sender, receiver = packet[12:16], packet[16:20]
    from_port, to_port, _, expected = struct.unpack_from("!HHII", packet, start)
    words = struct.pack("!HHIIBBHHH", to_port, from_port, expected, 0, 5 << 4, RST, 0, 0, 0)
    length = len(words)
    sum_ = _checksum(receiver + sender + struct.pack("!HH", TCP, length) + words)
    words = words[:16] + struct.pack("!H", sum_) + words[18:]
    about = (0x45, 0, 20 + length, 0, 0, 64, TCP)
    sum_ = _checksum(struct.pack("!BBHHHBBH", *about, 0) + receiver + sender)
    return struct.pack("!BBHHHBBH", *about, sum_) + receiver + sender + words


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def why_not() -> str:
    """What is missing here for a wire, or nothing."""
    if os.geteuid() != 0:
        return "needs root"
    if not Path("/dev/net/tun").exists():
        return "needs /dev/net/tun"
    return "" if shutil.which("ip") else "ip is not installed (apt-get install iproute2)"


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)
