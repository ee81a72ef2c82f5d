"""The worker's own side: holds the device, runs what it is sent, the lowest level first."""

import signal
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

from runtime.perception.inference.background import BackgroundSession
from runtime.perception.inference.card import CardError
from runtime.perception.inference.port import BackendEngine, DeviceLostError, Session, Tensors

POLL_S = 0.0005  # while something runs elsewhere (a GPU, another machine, a thread)
URGENT_PRIORITY = 1  # up to this one a network runs in the loop's own thread
NICE_STEP = 3


@dataclass(frozen=True)
class NetworkSpec:
    network: str
    card_path: str
    backend: str
    priority: int  # lower runs first


@dataclass(frozen=True)
class ChildSpec:
    """All that the child needs to open its device; it travels to a fresh interpreter."""

    networks: tuple[NetworkSpec, ...]
    threads: int = 1
    cache_dir: str = ""  # built engines
    edge_address: str = ""  # host:port of networks placed off the robot
    fake: "object | None" = None  # a fake.Script


@dataclass(frozen=True)
class Run:
    run_id: int
    network: str
    tensors: Tensors
    stretch_ns: int


@dataclass(frozen=True)
class Reply:
    run_id: int
    tensors: Tensors | None
    reason: str = ""


def open_engine(backend: str, spec: ChildSpec) -> BackendEngine:
    """Backends are imported where they are used: a robot without a GPU has no CUDA to import."""
    match backend:
        case "onnxruntime":
            from runtime.perception.inference.onnx_cpu import OnnxEngine

            return OnnxEngine(spec.threads)
        case "tensorrt":
            from runtime.perception.inference.tensorrt_gpu import open_tensorrt

            return open_tensorrt(spec.cache_dir)
        case "remote":
            from runtime.perception.inference.remote import RemoteEngine

            return RemoteEngine(spec.edge_address)
        case "fake":
            from runtime.perception.inference.fake import FakeEngine, Script

            return FakeEngine(spec.fake if isinstance(spec.fake, Script) else None)
        case _:
            raise CardError(
                f"inference backend {backend!r} is not known; "
                "allowed: onnxruntime, tensorrt, remote, fake"
            )


def load_all(spec: ChildSpec) -> tuple[dict[str, Session], list[BackendEngine]]:
    engines = {row.backend: open_engine(row.backend, spec) for row in spec.networks}
    sessions = {
        row.network: engines[row.backend].load(row.network, row.card_path) for row in spec.networks
    }
    return sessions, list(engines.values())


def _give_way(spec: ChildSpec, sessions: dict[str, Session]) -> dict[str, Session]:
    """The large networks on a CPU, made to run behind the urgent ones."""
    return {
        row.network: BackgroundSession(sessions[row.network], NICE_STEP * row.priority)
        for row in spec.networks
        if row.backend == "onnxruntime" and row.priority > URGENT_PRIORITY
    }


def serve(pipe: Connection, spec: ChildSpec) -> None:
    """Main of the child. Ends when the pipe does; a lost device ends it with an error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    sessions, engines = load_all(spec)
    sessions |= _give_way(spec, sessions)
    pipe.send(None)  # ready
    order = {row.network: row.priority for row in spec.networks}
    try:
        _Loop(pipe, sessions, order).run()
    except (EOFError, OSError):
        return  # the parent is gone
    finally:
        for engine in engines:
            engine.close()


class _Loop:
    def __init__(
        self, pipe: Connection, sessions: dict[str, Session], order: dict[str, int]
    ) -> None:
        self._pipe = pipe
        self._sessions = sessions
        self._order = order
        self._waiting: list[Run] = []
        self._running: dict[str, tuple[Run, int]] = {}  # one at a time for each network

    def run(self) -> None:
        while True:
            self._take()
            self._begin()
            self._collect()

    def _take(self) -> None:
        """All that has been sent; waits only when there is nothing else to do."""
        timeout_s = None if not (self._waiting or self._running) else 0.0
        if self._running and not self._waiting:
            timeout_s = POLL_S
        while self._pipe.poll(timeout_s):
            self._waiting.append(self._pipe.recv())
            timeout_s = 0.0
        self._waiting.sort(key=lambda run: (self._order[run.network], run.run_id))

    def _begin(self) -> None:
        """Start what waits, most urgent first; a new message may overtake after each run."""
        for run in self._waiting:
            if run.network in self._running:
                continue
            self._waiting.remove(run)
            started_ns = time.monotonic_ns()
            try:
                self._sessions[run.network].start(run.tensors)
            except CardError as error:
                self._pipe.send(Reply(run.run_id, None, str(error)))
                return
            self._running[run.network] = (run, started_ns)
            return

    def _collect(self) -> None:
        for network, (run, _) in list(self._running.items()):
            try:
                tensors = self._sessions[network].collect()
            except CardError as error:
                del self._running[network]
                self._pipe.send(Reply(run.run_id, None, str(error)))
                continue
            except DeviceLostError as error:
                raise SystemExit(f"inference device lost: {error}") from error
            if tensors is None:
                continue
            del self._running[network]
            if run.stretch_ns:
                time.sleep(run.stretch_ns / 1e9)
            self._pipe.send(Reply(run.run_id, tensors))
