"""From messages to what the modes are decided on. Nothing here decides; it only translates."""

from dataclasses import dataclass

import numpy as np

from runtime.health.check import Finding, HealthState
from runtime.health.rounds import worst_critical
from runtime.modes import (
    ControlReading,
    GpuReading,
    HealthReading,
    PerceptionHealth,
    Reading,
    Readings,
    StopCause,
    WorkspaceReading,
)
from runtime.shm import GpuState, StopLevel, StopReason, Workspace
from runtime.uplink import Uplink

CAUSE_OF: dict[StopReason, StopCause] = {
    StopReason.BOOT: StopCause.BOOT,
    StopReason.ESTOP: StopCause.ESTOP,
    StopReason.LIVENESS: StopCause.LIVENESS,
    StopReason.COLLISION: StopCause.COLLISION,
    StopReason.VETO: StopCause.VETO,
    StopReason.THERMAL: StopCause.THERMAL,
    StopReason.STALE_COMMAND: StopCause.STALE_COMMAND,
    StopReason.STALE_SENSORS: StopCause.STALE_SENSORS,
    StopReason.INVALID_SENSORS: StopCause.FAULT,
    StopReason.DEADLINE: StopCause.DEADLINE,
    StopReason.DRIVE_FAULT: StopCause.FAULT,
    StopReason.OUTSIDE_SAFE_SET: StopCause.FAULT,
    StopReason.TRACKING: StopCause.FAULT,
    StopReason.GRIPPER_PRESSURE: StopCause.FAULT,
    StopReason.SHUTDOWN: StopCause.CONTROL_LOST,
    StopReason.POWER_LOST: StopCause.FAULT,
}


@dataclass(frozen=True)
class Messages:
    """The newest message of each topic; None: never seen."""

    state: np.void | None
    gpu: np.void | None
    scene: np.void | None
    people: np.void | None


def read_everything(
    messages: Messages,
    uplink: Uplink | None,
    findings: tuple[Finding, ...],
    health_at_ns: int,
    *,
    operator_stop: bool,
    own_request: bool,
    network_silence_ns: int,
) -> Readings:
    return Readings(
        network_online=_network(uplink, network_silence_ns),
        gpu=_gpu(messages.gpu),
        perception=_perception(messages.scene),
        workspace=_workspace(messages.people),
        control=_control(messages.state, own_request=own_request),
        health=_health(findings, health_at_ns),
        operator_stop=operator_stop,
    )


def _network(uplink: Uplink | None, silence_ns: int) -> Reading[bool] | None:
    if uplink is None:
        return None
    heard_ns = uplink.last_heard_ns
    heard = heard_ns is not None and uplink.at_ns - heard_ns <= silence_ns
    return Reading(uplink.connected and heard, uplink.at_ns)


def _gpu(gpu: np.void | None) -> Reading[GpuReading] | None:
    if gpu is None:
        return None
    value = GpuReading(
        present=bool(gpu["present"]),
        slowdown=float(gpu["slowdown"]),
        load_ratio=float(gpu["load_ratio"]),
    )
    return Reading(value, int(gpu["created_ns"]))


def _perception(scene: np.void | None) -> Reading[PerceptionHealth] | None:
    if scene is None:
        return None
    match GpuState(int(scene["gpu_state"])):
        case GpuState.OK:
            value = PerceptionHealth.OK
        case GpuState.OVERLOADED:
            value = PerceptionHealth.OVERLOADED
        case GpuState.OFFLINE:
            value = PerceptionHealth.OFFLINE
        case GpuState.UNKNOWN:
            value = PerceptionHealth.UNKNOWN
    return Reading(value, int(scene["created_ns"]))


def _workspace(people: np.void | None) -> Reading[WorkspaceReading] | None:
    """Dated by the picture, not the message: a late result is as old as its picture."""
    if people is None:
        return None
    match Workspace(int(people["workspace"])):
        case Workspace.CLEAR:
            value = WorkspaceReading.CLEAR
        case Workspace.OCCUPIED:
            value = WorkspaceReading.OCCUPIED
        case Workspace.UNKNOWN:
            value = WorkspaceReading.UNKNOWN
    return Reading(value, int(people["capture_ns"]))


def _control(state: np.void | None, *, own_request: bool) -> Reading[ControlReading] | None:
    if state is None:
        return None
    lasting = frozenset({StopCause.ESTOP}) if state["estop"] else frozenset[StopCause]()
    latched = _latched(state, own_request=own_request)
    return Reading(ControlReading(latched | lasting, lasting), int(state["created_ns"]))


def _latched(state: np.void, *, own_request: bool) -> frozenset[StopCause]:
    """A stop that this agent asked for has its cause here already; anybody else's is a person's."""
    if StopLevel(int(state["stop_level"])) is StopLevel.NONE:
        return frozenset()
    reason = StopReason(int(state["stop_reason"]))
    if reason is StopReason.REQUESTED:
        return frozenset() if own_request else frozenset({StopCause.OPERATOR})
    return frozenset({CAUSE_OF.get(reason, StopCause.FAULT)})


def _health(findings: tuple[Finding, ...], at_ns: int) -> Reading[HealthReading] | None:
    if not findings:
        return None
    match worst_critical(findings):
        case HealthState.OK | HealthState.WARN:
            value = HealthReading.OK
        case HealthState.FAIL:
            value = HealthReading.FAILED
        case HealthState.UNKNOWN:
            value = HealthReading.UNKNOWN
    return Reading(value, at_ns)
