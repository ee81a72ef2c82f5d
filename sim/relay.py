"""A TCP relay between the robot and its broker, so that the network can be cut, slowed, delayed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import threading
from dataclasses import dataclass

from runtime.hal.clock import NS_PER_MS, NS_PER_S, Clock
from sim.faults import NETWORK_GAP_NS, NETWORK_PERIOD_NS, Component, FaultSource, Kind

log = logging.getLogger(__name__)

CHUNK_BYTES = 4096
QUEUED_CHUNKS = 64
CONNECTIONS_MAX = 64
SLOW_BYTES_PER_S = 4000
DELAY_NS = 600 * NS_PER_MS
LOOK_S = 0.02
RESET = struct.pack("ii", 1, 0)  # linger of zero: closing sends a reset


@dataclass(frozen=True)
class Endpoint:
    host: str
    port: int


class Relay:
    """Runs in a thread of its own; the fault board says what the network does."""

    def __init__(
        self, listen: Endpoint, target: Endpoint, faults: FaultSource, clock: Clock
    ) -> None:
        self._listen, self._target = listen, target
        self._faults, self._clock = faults, clock
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._error: OSError | None = None
        self.port = 0  # the one obtained, for a listener on port 0
        self.carried_bytes = 0
        self.cuts = 0
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def start(self) -> None:
        """Listen; raises when the port is taken."""
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise OSError(
                f"relay: cannot listen on {self._listen.host}:{self._listen.port} ({self._error}),"
                " so telemetry would have no way out; another simulator may be running"
            ) from self._error

    def close(self) -> None:
        if self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(timeout=5.0)

    # In the relay's thread

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._ready.set()
            self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        try:
            server = await asyncio.start_server(self._accept, self._listen.host, self._listen.port)
        except OSError as error:
            self._error = error
            return
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        watch = asyncio.create_task(self._watch_cuts())
        await self._stop.wait()
        server.close()
        self._abort_all()
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch
        await _cancel_others()

    async def _watch_cuts(self) -> None:
        was_cut = False
        while True:
            cut = self._is_cut()
            if cut and not was_cut:
                self.cuts += 1
                self._abort_all()
            was_cut = cut
            await asyncio.sleep(LOOK_S)

    def _abort_all(self) -> None:
        for writer in list(self._open):
            _reset(writer)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut() or len(self._open) >= 2 * CONNECTIONS_MAX:
            _reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(
                self._target.host, self._target.port
            )
        except OSError as error:
            log.debug("relay: nobody at the far end: %s", error)
            _reset(writer)
            return
        pair = {writer, far_writer}
        self._open |= pair
        try:
            await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))
        finally:
            self._open -= pair
            for end in pair:
                end.close()

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """One direction: what is read now leaves when the network lets it."""
        queue: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue(QUEUED_CHUNKS)
        sender = asyncio.create_task(self._send(queue, sink))
        free_ns = 0
        try:
            while data := await source.read(CHUNK_BYTES):
                free_ns = self._due_ns(len(data), free_ns)
                await queue.put((free_ns, self._spoiled(data)))
        except OSError:
            log.debug("relay: a connection ended")
        finally:
            await queue.put(None)
            await sender

    async def _send(
        self, queue: asyncio.Queue[tuple[int, bytes] | None], sink: asyncio.StreamWriter
    ) -> None:
        broken = False
        while (entry := await queue.get()) is not None:
            due_ns, data = entry
            while self._clock.now_ns() < due_ns or self._is_stuck():
                await asyncio.sleep(LOOK_S)
            if broken:
                continue
            try:
                sink.write(data)
                await sink.drain()
                self.carried_bytes += len(data)
            except OSError:
                broken = True
        if not broken:
            sink.close()

    def _kind(self) -> Kind | None:
        fault = self._faults.active(Component.NETWORK)
        return None if fault is None else fault.kind

    def _is_cut(self) -> bool:
        fault = self._faults.active(Component.NETWORK)
        if fault is None:
            return False
        if fault.kind is Kind.INTERMITTENT:
            return fault.is_in_gap(self._clock.now_ns(), NETWORK_GAP_NS, NETWORK_PERIOD_NS)
        return fault.kind is Kind.OFF

    def _is_stuck(self) -> bool:
        return self._kind() is Kind.STUCK

    def _due_ns(self, size: int, free_ns: int) -> int:
        """When a chunk may leave: at once, after the delay, or when the thin line is free."""
        now_ns, kind = self._clock.now_ns(), self._kind()
        if kind is Kind.SLOW:
            return max(free_ns, now_ns) + size * NS_PER_S // SLOW_BYTES_PER_S
        if kind is Kind.DELAYED:
            return max(free_ns, now_ns + DELAY_NS)
        return now_ns

    def _spoiled(self, data: bytes) -> bytes:
        if self._kind() is not Kind.GARBAGE:
            return data
        return bytes(byte ^ 0x5A if index % 7 == 3 else byte for index, byte in enumerate(data))


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset, as a network that goes away looks."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


async def _cancel_others() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
