"""Whether the robot's place is clear. What cannot be told is unknown, never clear."""

from dataclasses import dataclass

from runtime.shm.enums import Workspace

NEAR_M = 0.35  # a person this near to the tool's box occupies it
FULL_LOOK_WAIT_NS = 400_000_000  # how long a cue may wait for a full look to explain it


@dataclass(frozen=True)
class Sight:
    """What is known of the workspace at one instant."""

    is_blind: bool
    result_age_ns: int | None  # of the newest picture that was looked at
    max_age_ns: int
    can_tell: bool  # background known, depth good enough
    occupied: bool  # somebody stands in it
    unexplained_since_ns: int | None  # something stands somewhere that no look has explained


def judge(sight: Sight, now_ns: int) -> Workspace:
    if sight.is_blind or sight.result_age_ns is None or sight.result_age_ns > sight.max_age_ns:
        return Workspace.UNKNOWN
    if sight.occupied:
        return Workspace.OCCUPIED
    if not sight.can_tell:
        return Workspace.UNKNOWN
    since_ns = sight.unexplained_since_ns
    if since_ns is not None and now_ns - since_ns > FULL_LOOK_WAIT_NS:
        return Workspace.UNKNOWN
    return Workspace.CLEAR
