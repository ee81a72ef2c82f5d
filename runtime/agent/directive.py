"""From the modes that hold to the message that tells everyone what they may do."""

from conf.schema.modes import PolicySource
from runtime.modes import Effects
from runtime.shm import CHALLENGE_KEY, Levels, Mode, Sources, StopLevel


def answer_to(challenge: int) -> int:
    """What shows Tier 1 that the agent read its newest challenge and still thinks."""
    return challenge ^ CHALLENGE_KEY


def allowed_levels(level_max: int) -> Levels:
    allowed = Levels(0)
    for level, bit in enumerate((Levels.LEVEL1, Levels.LEVEL2, Levels.LEVEL3), start=1):
        if level <= level_max:
            allowed |= bit
    return allowed


def allowed_sources(source: PolicySource) -> Sources:
    match source:
        case PolicySource.LEARNED:
            return Sources.POLICY | Sources.FALLBACK
        case PolicySource.FALLBACK:
            return Sources.FALLBACK
        case PolicySource.NONE:
            return Sources(0)


def directive_fields(
    modes: Mode, effects: Effects, stop: StopLevel, *, estop: bool
) -> dict[str, float | int]:
    behaviour = effects.behaviour
    return {
        "mode": int(modes),
        "margin_multiplier": behaviour.margin_multiplier,
        "speed_scale": behaviour.speed_scale,
        "allowed_sources": int(allowed_sources(behaviour.policy_source)),
        "allowed_levels": int(allowed_levels(effects.capabilities.perception_level_max)),
        "policy_rate_hz": behaviour.policy_rate_hz,
        "perception_rate_hz": behaviour.perception_rate_hz,
        "stereo": int(behaviour.stereo),
        "stop_request": int(stop),
        "estop": int(estop),
    }
