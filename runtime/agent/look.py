"""What Tier 1, the policy and the safety model count, as the agent reads it off their messages."""

from dataclasses import dataclass

import numpy as np

from runtime.shm import ActivePolicy, PolicyReason, Source, StopReason, Verdict

FRESH_NS = 500_000_000


@dataclass(frozen=True)
class PolicyFigures:
    task_id: int
    chunks: int  # counted since policyd started
    inference_ms: float  # of the newest chunk
    rejected: int
    reason: str
    active: str


@dataclass(frozen=True)
class ControlFigures:
    cycle: int
    source: str
    refused: int  # commands that Tier 1 did not take
    interventions: int  # cycles in which the shield changed a command
    misses: int
    speed_limit_ratio: float
    stop_reason: str


@dataclass(frozen=True)
class VerdictFigures:
    rank: int  # the higher the worse
    verdict: str
    surprise: float


@dataclass(frozen=True)
class Look:
    """What the others count, at one moment. None: nothing fresh."""

    policy: PolicyFigures | None = None
    control: ControlFigures | None = None
    verdict: VerdictFigures | None = None


def look_of(
    state: np.void | None, policy: np.void | None, verdict: np.void | None, now_ns: int
) -> Look:
    return Look(
        None if policy is None or _is_old(policy, now_ns) else _policy_figures(policy),
        None if state is None or _is_old(state, now_ns) else _control_figures(state),
        None if verdict is None or _is_old(verdict, now_ns) else _verdict_figures(verdict),
    )


def _is_old(record: np.void, now_ns: int) -> bool:
    return now_ns - int(record["created_ns"]) > FRESH_NS


def _policy_figures(policy: np.void) -> PolicyFigures:
    return PolicyFigures(
        task_id=int(policy["task_id"]),
        chunks=int(policy["chunk_index"]),
        inference_ms=int(policy["inference_ns"]) / 1e6,
        rejected=int(policy["rejected_actions"]),
        reason=PolicyReason(int(policy["reason"])).name.lower(),
        active=ActivePolicy(int(policy["active"])).name.lower(),
    )


def _control_figures(state: np.void) -> ControlFigures:
    return ControlFigures(
        cycle=int(state["cycle"]),
        source=Source(int(state["source"])).name.lower(),
        refused=int(state["rejected"].sum()),
        interventions=int(state["interventions"].sum()),
        misses=int(state["misses"]),
        speed_limit_ratio=float(state["speed_limit_ratio"]),
        stop_reason=StopReason(int(state["stop_reason"])).name.lower(),
    )


def _verdict_figures(verdict: np.void) -> VerdictFigures:
    found = Verdict(int(verdict["verdict"]))
    return VerdictFigures(int(found), found.name.lower(), float(verdict["surprise"]))
