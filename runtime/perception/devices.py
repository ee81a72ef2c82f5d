"""What runs the networks of a profile: a worker process, the edge, or lock-step in place."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from conf.schema import Config
from conf.schema.hardware import Placement
from conf.schema.perception import Backend as BackendKind
from runtime.daemon import Context
from runtime.hal.clock import NS_PER_MS, NS_PER_S, VirtualClock
from runtime.perception.inference import Card, Inference, read_card
from runtime.perception.inference.child import ChildSpec, NetworkSpec, load_all
from runtime.perception.inference.lockstep import LockstepInference
from runtime.perception.inference.restart import RestartRule
from runtime.perception.inference.routed import RoutedInference
from runtime.perception.inference.worker import WorkerInference, WorkerSettings
from runtime.perception.level import Level
from runtime.shm.enums import Backend

INSTALL_ROOT = Path(__file__).resolve().parents[2]
EDGE_STUCK_NS = 5 * NS_PER_S
PARTS_PRIORITY = 1


@dataclass(frozen=True)
class Networks:
    """The cards of a profile: by level, and the one for the bin."""

    levels: dict[Level, Card]
    parts: Card

    def level_hash(self, level: int) -> int:
        return self.levels[Level(level)].model_hash if level else 0


def card_paths(config: Config, chosen: Path) -> dict[str, Path]:
    """The profile's networks; an update may have put others in their place."""
    instead: object = {}
    with contextlib.suppress(OSError, ValueError):
        instead = orjson.loads(chosen.read_bytes())
    table = instead if isinstance(instead, dict) else {}
    networks = config.perception.networks
    return {name: INSTALL_ROOT / table.get(name, row.card) for name, row in networks.items()}


def read_cards(config: Config, paths: Mapping[str, Path]) -> Networks:
    perception = config.perception
    return Networks(
        levels={level: read_card(paths[perception.levels[level.key].network]) for level in Level},
        parts=read_card(paths[perception.parts.network]),
    )


def network_specs(
    config: Config, paths: Mapping[str, Path]
) -> tuple[list[NetworkSpec], list[NetworkSpec]]:
    """Networks on the robot, and those that the profile places at the edge."""
    perception = config.perception
    own: list[NetworkSpec] = []
    edge: list[NetworkSpec] = []
    for level in Level:
        name = perception.levels[level.key].network
        share = config.hardware.compute.shares.get(level.key)
        away = share is not None and share.placement is Placement.EDGE
        backend = "remote" if away else perception.backend.value
        path = str(paths[name])
        # Level 1 first, the bin before level 2: the lower its number the sooner it runs.
        row = NetworkSpec(name, path, backend, priority=2 * level - 2)
        (edge if away else own).append(row)
    parts = perception.parts.network
    own.append(NetworkSpec(parts, str(paths[parts]), perception.backend.value, PARTS_PRIORITY))
    return own, edge


def latencies(config: Config) -> dict[str, int]:
    rows = {row.network: row.latency_ms for row in config.perception.levels.values()}
    rows[config.perception.parts.network] = config.perception.parts.latency_ms
    return {network: round(ms * NS_PER_MS) for network, ms in rows.items()}


def backend_of(config: Config) -> Backend:
    match config.perception.backend:
        case BackendKind.ONNXRUNTIME:
            return Backend.ONNX_CPU
        case BackendKind.TENSORRT:
            return Backend.TENSORRT
        case BackendKind.FAKE:
            return Backend.FAKE


def open_inference(context: Context) -> Inference:
    paths = card_paths(context.config, context.paths.chosen_models)
    own, edge = network_specs(context.config, paths)
    if isinstance(context.clock, VirtualClock):
        # Placed away or not, a lock-step run computes here; the declared latency tells them apart.
        rows = tuple(_local(row, context.config) for row in (*own, *edge))
        sessions, _ = load_all(_child(context, rows))
        return LockstepInference(sessions, latencies(context.config))
    restart = context.config.perception.restart
    inference = _worker(context, tuple(own), restart.stuck_ms * NS_PER_MS)
    if not edge:
        return inference
    remote = _worker(context, tuple(edge), EDGE_STUCK_NS)
    return RoutedInference(inference, {row.network: remote for row in edge})


def _local(row: NetworkSpec, config: Config) -> NetworkSpec:
    return NetworkSpec(row.network, row.card_path, _lockstep_backend(config), row.priority)


def _lockstep_backend(config: Config) -> str:
    """Lock-step needs the same bytes every time, so it computes on the CPU."""
    fake = config.perception.backend is BackendKind.FAKE
    return "fake" if fake else BackendKind.ONNXRUNTIME.value


def _child(context: Context, networks: tuple[NetworkSpec, ...]) -> ChildSpec:
    perception = context.config.perception
    return ChildSpec(
        networks=networks,
        threads=perception.threads,
        cache_dir=str(context.paths.data / "engines"),
        edge_address=perception.edge_address,
    )


def _worker(context: Context, networks: tuple[NetworkSpec, ...], stuck_ns: int) -> WorkerInference:
    restart = context.config.perception.restart
    settings = WorkerSettings(
        child=_child(context, networks),
        restart=RestartRule(
            first_delay_ns=restart.first_delay_ms * NS_PER_MS,
            max_delay_ns=restart.max_delay_ms * NS_PER_MS,
            offline_after=restart.offline_after,
        ),
        stuck_ns=stuck_ns,
        start_ns=restart.load_s * NS_PER_S,
        latency_ns=latencies(context.config),
        # The simulated board reports a GPU, a CPU stands in for it: its slowdown is imitated.
        imitate=context.config.hardware.actuation.kind == "sim",
    )
    return WorkerInference(settings, context.clock)
