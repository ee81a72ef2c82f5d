"""What must hold before a skill begins and after it has ended, as its manifest declares it."""

from dataclasses import dataclass

from runtime.skills.manifest import Postcondition, Precondition, SkillManifest


@dataclass(frozen=True)
class Facts:
    """What is known now; not known is False."""

    gripper_empty: bool
    target_visible: bool
    workspace_clear: bool
    arm_at_home: bool


def unmet_preconditions(manifest: SkillManifest, facts: Facts) -> tuple[Precondition, ...]:
    return tuple(rule for rule in manifest.preconditions if not _holds_before(rule, facts))


def unmet_postconditions(manifest: SkillManifest, facts: Facts) -> tuple[Postcondition, ...]:
    return tuple(rule for rule in manifest.postconditions if not _holds_after(rule, facts))


def _holds_before(rule: Precondition, facts: Facts) -> bool:
    match rule:
        case Precondition.GRIPPER_EMPTY:
            return facts.gripper_empty
        case Precondition.TARGET_VISIBLE:
            return facts.target_visible
        case Precondition.WORKSPACE_CLEAR:
            return facts.workspace_clear


def _holds_after(rule: Postcondition, facts: Facts) -> bool:
    match rule:
        case Postcondition.GRIPPER_EMPTY:
            return facts.gripper_empty
        case Postcondition.ARM_AT_HOME:
            return facts.arm_at_home
