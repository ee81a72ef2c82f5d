"""What a boot came to, as a pure function of what was found."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from conf.schema import Config
from conf.schema.hardware import Scheduling, Thread
from records import BootFinding, BootReport, BootStage, Certainty, SchedulingObtained
from runtime.handout import HandedOut
from runtime.kernel_line import argument

UNSTATED = "unstated"
TEXT_MAX = 400
FINDINGS_MAX = 200


@dataclass(frozen=True)
class BootFacts:
    """Read at the edge; None: not to be read."""

    boot_id: str
    kernel_release: str
    kernel_arguments: str
    slot_expected: str | None
    kernel_findings: tuple[BootFinding, ...] | None
    realtime: dict[str, Any] | None  # controld's own report of the rights it obtained
    data_volatile: str | None
    first_boot: tuple[str, ...]
    stages: tuple[BootStage, ...]
    control_runs: bool
    booted_at: datetime


def judge(config: Config, handed: HandedOut, facts: BootFacts) -> BootReport:
    findings = (
        *_identity(handed, facts),
        *_rights(config, facts),
        _data(facts),
        _control(facts),
        *_kernel(config, facts),
    )[:FINDINGS_MAX]
    problems = (
        *handed.notes,
        *(_sentence(row) for row in findings if row.verdict is not Certainty.OK),
    )
    return BootReport(
        config_hash=handed.config_hash,
        artifact_name=handed.artifact_name,
        robot_id=handed.robot_id,
        boot_id=facts.boot_id or UNSTATED,
        slot_expected=facts.slot_expected or UNSTATED,
        slot_booted=argument(facts.kernel_arguments, "bedplate.slot") or UNSTATED,
        kernel_release=facts.kernel_release or UNSTATED,
        kernel_arguments=facts.kernel_arguments,
        memory_locked=bool((facts.realtime or {}).get("memory_locked") is True),
        scheduling=_scheduling(config, facts),
        findings=findings,
        stages=facts.stages,
        first_boot=facts.first_boot,
        healthy=health(findings, handed.notes),
        problems=problems,
        booted_at=facts.booted_at,
    )


def health(findings: tuple[BootFinding, ...], notes: tuple[str, ...]) -> bool | None:
    """One wrong thing is enough for no, one unknown one for not knowing."""
    verdicts = {row.verdict for row in findings}
    if Certainty.WRONG in verdicts or notes:
        return False
    return None if Certainty.UNKNOWN in verdicts or not findings else True


def _identity(handed: HandedOut, facts: BootFacts) -> list[BootFinding]:
    booted = argument(facts.kernel_arguments, "bedplate.slot")
    found = [_compared("boot.slot", facts.slot_expected or booted, booted)]
    wanted = None if handed.manifest is None else handed.manifest.get("kernel_release")
    found.append(_compared("boot.kernel_release", wanted, facts.kernel_release or None))
    return found


def _rights(config: Config, facts: BootFacts) -> list[BootFinding]:
    """Where rights are a precondition, missing ones are wrong; elsewhere they are only told."""
    required = config.hardware.realtime.required
    wanted = "full" if required else "any"
    if facts.realtime is None:
        verdict = Certainty.UNKNOWN if required else Certainty.OK
        return [_finding("boot.realtime", wanted, "controld did not say", verdict)]
    missing = facts.realtime.get("missing")
    lacks = [str(right) for right in missing] if isinstance(missing, list) else ["not stated"]
    verdict = Certainty.WRONG if lacks and required else Certainty.OK
    return [_finding("boot.realtime", wanted, "; ".join(lacks) or "full", verdict)]


def _data(facts: BootFacts) -> BootFinding:
    kept = facts.data_volatile is None
    found = "on its partition" if kept else f"in memory: {facts.data_volatile}"
    verdict = Certainty.OK if kept else Certainty.WRONG
    return _finding("boot.data", "on its partition", found, verdict)


def _control(facts: BootFacts) -> BootFinding:
    runs = facts.control_runs
    found = "cycles" if runs else "no cycle in the time given"
    return _finding("boot.control", "cycles", found, Certainty.OK if runs else Certainty.WRONG)


def _kernel(config: Config, facts: BootFacts) -> tuple[BootFinding, ...]:
    if facts.kernel_findings is not None:
        return facts.kernel_findings
    if config.hardware.realtime.kernel == "any":
        return ()
    return (_finding("boot.kernel", "compared", "nothing compared it", Certainty.UNKNOWN),)


def kernel_findings(document: object) -> tuple[BootFinding, ...] | None:
    """The rows of kernel.json; None where it is something else."""
    if not isinstance(document, list):
        return None
    rows: list[BootFinding] = []
    for row in document:
        if not isinstance(row, dict) or not isinstance(row.get("item"), str) or not row["item"]:
            return None
        verdict = row.get("verdict")
        known = isinstance(verdict, str) and verdict in set(Certainty)
        rows.append(
            _finding(
                row["item"],
                str(row.get("wanted", "")),
                str(row.get("found", "")),
                Certainty(verdict) if known else Certainty.UNKNOWN,
            )
        )
    return tuple(rows)


def _compared(item: str, wanted: str | None, found: str | None) -> BootFinding:
    if wanted is None or found is None:
        return _finding(item, wanted or UNSTATED, found or UNSTATED, Certainty.UNKNOWN)
    return _finding(item, wanted, found, Certainty.OK if wanted == found else Certainty.WRONG)


def _finding(item: str, wanted: str, found: str, verdict: Certainty) -> BootFinding:
    return BootFinding(
        item=item[:128], wanted=wanted[:TEXT_MAX], found=found[:TEXT_MAX], verdict=verdict
    )


def _sentence(row: BootFinding) -> str:
    return f"{row.item} is {row.found}, wanted {row.wanted} ({row.verdict.value})"


def _scheduling(config: Config, facts: BootFacts) -> tuple[SchedulingObtained, ...]:
    """What controld says of its loop: yes or no, so figures are the profile's or none."""
    if facts.realtime is None:
        return ()
    thread = config.hardware.realtime.threads.get("controld", Thread())
    fifo = facts.realtime.get("fifo") is True
    pinned = facts.realtime.get("pinned") is True
    return (
        SchedulingObtained(
            thread="controld",
            policy_wanted=thread.policy.value,
            policy_obtained=(Scheduling.FIFO if fifo else Scheduling.OTHER).value,
            priority_obtained=thread.priority if fifo else 0,
            cpus_obtained=tuple(thread.cpus) if pinned else (),
        ),
    )
