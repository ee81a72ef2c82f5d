"""What if: the modes and effects of all that can go wrong, by the code that drives the robot.

Each row is a `Scenario`: a robot that was well and armed, then one or more readings change and stay
so for good. The table is what `decide` makes of it, so it cannot differ from the robot.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from conf.schema.modes import Modes
from runtime.modes import (
    ControlReading,
    Effects,
    GpuReading,
    HealthReading,
    ModeState,
    PerceptionHealth,
    Reading,
    Readings,
    StopCause,
    WorkspaceReading,
    decide,
    effects_of,
    names_of,
)

STEP_NS = 50_000_000
SETTLE_EXTRA_MS = 5000


@dataclass(frozen=True)
class Scenario:
    name: str
    change: Callable[[Readings], Readings]


@dataclass(frozen=True)
class Row:
    scenario: str
    modes: tuple[str, ...]
    causes: tuple[str, ...]
    settled_after_ms: int
    effects: Effects


def healthy(now_ns: int) -> Readings:
    return Readings(
        network_online=Reading(value=True, at_ns=now_ns),
        gpu=Reading(GpuReading(present=True, slowdown=1.0, load_ratio=0.3), now_ns),
        perception=Reading(PerceptionHealth.OK, now_ns),
        workspace=Reading(WorkspaceReading.CLEAR, now_ns),
        control=Reading(ControlReading(latched=frozenset()), now_ns),
        health=Reading(HealthReading.OK, now_ns),
    )


def _gpu(now: Readings, **change: float | bool) -> Readings:
    assert now.gpu is not None
    return replace(now, gpu=replace(now.gpu, value=replace(now.gpu.value, **change)))


def _latched(cause: StopCause) -> Callable[[Readings], Readings]:
    def change(now: Readings) -> Readings:
        assert now.control is not None
        reading = replace(now.control, value=ControlReading(latched=frozenset({cause})))
        return replace(now, control=reading)

    return change


def _perception(value: PerceptionHealth) -> Callable[[Readings], Readings]:
    def change(now: Readings) -> Readings:
        assert now.perception is not None
        return replace(now, perception=replace(now.perception, value=value))

    return change


def _network_down(now: Readings) -> Readings:
    assert now.network_online is not None
    return replace(now, network_online=replace(now.network_online, value=False))


def _workspace_unknown(now: Readings) -> Readings:
    assert now.workspace is not None
    return replace(now, workspace=replace(now.workspace, value=WorkspaceReading.UNKNOWN))


def _health_failed(now: Readings) -> Readings:
    assert now.health is not None
    return replace(now, health=replace(now.health, value=HealthReading.FAILED))


def _both(*changes: Callable[[Readings], Readings]) -> Callable[[Readings], Readings]:
    def change(now: Readings) -> Readings:
        for one in changes:
            now = one(now)
        return now

    return change


def _gpu_gone(now: Readings) -> Readings:
    return _gpu(now, present=False)


def _gpu_slow(now: Readings) -> Readings:
    return _gpu(now, slowdown=3.0)


SCENARIOS: tuple[Scenario, ...] = (
    Scenario("all is well", lambda now: now),
    Scenario("network down", _network_down),
    Scenario("no word about the network", lambda now: replace(now, network_online=None)),
    Scenario("GPU three times slower", _gpu_slow),
    Scenario("GPU gone", _gpu_gone),
    Scenario("no word about the GPU", lambda now: replace(now, gpu=None)),
    Scenario("perception overloaded", _perception(PerceptionHealth.OVERLOADED)),
    Scenario("perception silent", lambda now: replace(now, perception=None)),
    Scenario("workspace unknown", _workspace_unknown),
    Scenario("GPU gone, workspace unknown", _both(_gpu_gone, _workspace_unknown)),
    Scenario("network down, GPU slower", _both(_network_down, _gpu_slow)),
    Scenario("network down, GPU gone", _both(_network_down, _gpu_gone)),
    Scenario("critical health check fails", _health_failed),
    Scenario("no word about health", lambda now: replace(now, health=None)),
    Scenario("control silent", lambda now: replace(now, control=None)),
    Scenario("collision", _latched(StopCause.COLLISION)),
    Scenario("emergency stop", _latched(StopCause.ESTOP)),
    Scenario("operator stops", lambda now: replace(now, operator_stop=True)),
)


def settle(
    state: ModeState, change: Callable[[Readings], Readings], start_ns: int, table: Modes
) -> tuple[ModeState, int]:
    """The state once every hysteresis has run out, and when it last changed."""
    changed_ns = start_ns
    for step in range(1, settle_steps(table) + 1):
        now_ns = start_ns + step * STEP_NS
        after = decide(state, change(healthy(now_ns)), now_ns, table)
        if after.modes != state.modes:
            changed_ns = now_ns
        state = after
    return state, changed_ns


def settle_steps(table: Modes) -> int:
    longest_ms = max(max(row.enter_ms, row.leave_ms) for row in table.hysteresis.values())
    return (longest_ms + SETTLE_EXTRA_MS) * 1_000_000 // STEP_NS


def whatif(table: Modes) -> list[Row]:
    armed, _ = settle(ModeState(), lambda now: now, 0, table)
    armed = replace(armed, causes=frozenset())
    start_ns = settle_steps(table) * STEP_NS
    rows: list[Row] = []
    for scenario in SCENARIOS:
        state, changed_ns = settle(armed, scenario.change, start_ns, table)
        rows.append(
            Row(
                scenario=scenario.name,
                modes=tuple(name.value for name in names_of(state.modes)),
                causes=tuple(sorted(cause.value for cause in state.causes)),
                settled_after_ms=(changed_ns - start_ns) // 1_000_000,
                effects=effects_of(state.modes, table),
            )
        )
    return rows


def as_json(rows: list[Row]) -> list[dict[str, object]]:
    return [
        {
            "scenario": row.scenario,
            "modes": list(row.modes),
            "causes": list(row.causes),
            "settled_after_ms": row.settled_after_ms,
            "capabilities": row.effects.capabilities.model_dump(mode="json"),
            "behaviour": row.effects.behaviour.model_dump(mode="json"),
        }
        for row in rows
    ]
