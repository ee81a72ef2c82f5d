"""What goes on while the arm moves: inference, checks, commands, added up look by look. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite

from runtime.agent.look import ControlFigures, Look, PolicyFigures
from runtime.telemetry.client import Value
from runtime.telemetry.span import Status


@dataclass(frozen=True)
class Part:
    """One of these, and from when to when it was seen to go on. None: never."""

    first_ns: int | None = None
    last_ns: int = 0
    figures: tuple[tuple[str, Value], ...] = ()
    status: Status = Status.UNSET

    def seen(self, now_ns: int, figures: Mapping[str, Value], *, good: bool = True) -> "Part":
        first_ns = now_ns if self.first_ns is None else self.first_ns
        status = Status.OK if good and self.status is not Status.ERROR else Status.ERROR
        merged = tuple({**dict(self.figures), **figures}.items())
        return Part(first_ns, now_ns, merged, status)

    def number(self, name: str, unknown: float = 0.0) -> float:
        value = dict(self.figures).get(name, unknown)
        return unknown if isinstance(value, str) else float(value)


@dataclass(frozen=True)
class Motion:
    """Of one stage in which the arm moves; `before` is the look that the counting goes on from."""

    before: Look
    inference: Part = Part()
    safety_check: Part = Part()
    command: Part = Part()

    @property
    def parts(self) -> tuple[tuple[str, Part], ...]:
        return (
            ("inference", self.inference),
            ("safety_check", self.safety_check),
            ("command", self.command),
        )


def watch(motion: Motion, task_id: int, look: Look, now_ns: int) -> Motion:
    policy = look.policy
    if policy is not None and policy.task_id == task_id:
        motion = replace(
            motion,
            inference=_inferred(motion, policy, now_ns),
            safety_check=_checked(motion, policy, now_ns),
        )
    if look.verdict is not None and motion.safety_check.first_ns is not None:
        motion = replace(motion, safety_check=_judged(motion, look, now_ns))
    if look.control is not None:
        motion = replace(motion, **_obeyed(motion, look.control, now_ns))
    return replace(motion, before=_newest(motion.before, look))


def _inferred(motion: Motion, policy: PolicyFigures, now_ns: int) -> Part:
    part, before = motion.inference, motion.before.policy
    if before is None or before.chunks == policy.chunks:
        return part  # nothing new since the last look
    chunks = part.number("chunks") + _more(before.chunks, policy.chunks)
    slowest_ms = max(part.number("slowest_ms"), policy.inference_ms)
    figures: dict[str, Value] = {
        "chunks": chunks,
        "slowest_ms": round(slowest_ms, 3),
        "last_ms": round(policy.inference_ms, 3),
        "policy": policy.active,
    }
    good = policy.reason not in ("inference_late", "inference_failed")
    return part.seen(now_ns, figures, good=good)


def _checked(motion: Motion, policy: PolicyFigures, now_ns: int) -> Part:
    """A rejected action is the check at work, not its failure: the arm waits and asks again."""
    part, before = motion.safety_check, motion.before.policy
    more = 0.0 if before is None else _more(before.rejected, policy.rejected)
    rejected = part.number("rejected_actions") + more
    why: dict[str, Value] = {"rejected_for": policy.reason} if more else {}
    return part.seen(now_ns, {"rejected_actions": rejected, **why})


def _judged(motion: Motion, look: Look, now_ns: int) -> Part:
    assert look.verdict is not None
    part, verdict = motion.safety_check, look.verdict
    worst = max(part.number("verdict_rank", -1.0), float(verdict.rank))
    named: dict[str, Value] = {"verdict": verdict.verdict} if worst == verdict.rank else {}
    if isfinite(verdict.surprise):
        named["surprise_max"] = round(max(part.number("surprise_max"), verdict.surprise), 3)
    figures = {"verdict_rank": worst, **named}
    return part.seen(now_ns, figures, good=verdict.verdict != "veto")


def _obeyed(motion: Motion, control: ControlFigures, now_ns: int) -> dict[str, Part]:
    """What became of the commands in Tier 1; the shield's part belongs to the checks."""
    before = motion.before.control
    if before is None:
        return {}
    made: dict[str, Part] = {}
    checks, command = motion.safety_check, motion.command
    if checks.first_ns is not None:
        counts: dict[str, Value] = {
            "shield_cycles": _more(before.interventions, control.interventions),
            "refused_commands": _more(before.refused, control.refused),
        }
        made["safety_check"] = checks.seen(now_ns, _added(checks, counts))
    if control.source != "none":
        counts = {
            "cycles": _more(before.cycle, control.cycle),
            "misses": _more(before.misses, control.misses),
        }
        figures = {**_added(command, counts), "source": control.source}
        if isfinite(control.speed_limit_ratio):
            lowest = min(command.number("speed_limit_min", 1.0), control.speed_limit_ratio)
            figures["speed_limit_min"] = round(lowest, 3)
        made["command"] = command.seen(now_ns, figures)
    return made


def _added(part: Part, counts: Mapping[str, Value]) -> dict[str, Value]:
    return {name: part.number(name) + float(more) for name, more in counts.items()}


def _newest(before: Look, look: Look) -> Look:
    return Look(
        before.policy if look.policy is None else look.policy,
        before.control if look.control is None else look.control,
        before.verdict if look.verdict is None else look.verdict,
    )


def _more(before: int, now: int) -> float:
    """A counter that fell has begun again with its process."""
    return float(now - before if now >= before else now)
