"""What a robot is doing about updates, from the files it keeps: for its operator and the fleet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ota.looking import PRINT_TOOL, SLOT_OF_PART, read_table, read_text
from runtime.active import ActiveError, read_active, read_trial
from runtime.kernel_line import argument
from runtime.paths import Paths

Run = Callable[[Sequence[str]], str | None]


@dataclass(frozen=True)
class Status:
    """None: could not be told."""

    slot: str | None
    artifact_name: str | None
    config_hash: str | None
    on_trial: bool | None
    slot_next: str | None
    boot_attempts: int | None
    gate: dict[str, Any] | None
    switch: dict[str, Any] | None
    switch_gate: dict[str, Any] | None
    profile: str | None
    models: dict[str, str]
    committed_latency_us: float | None
    data_version: int | None
    last_failure: dict[str, Any] | None


def read_status(paths: Paths, run: Run, proc: Path = Path("/proc")) -> Status:
    said = run([PRINT_TOOL, "upgrade_available", "mender_boot_part", "bootcount"])
    lines = [line.partition("=") for line in (said or "").splitlines()]
    environment = {key: value for key, _, value in lines}
    slot = argument(read_text(proc / "cmdline") or "", "bedplate.slot")
    profile = read_table(paths.profile) or {}
    chosen = (read_active(paths.active) or {}).get(slot or "")
    latency = read_table(paths.ota / "latency.json") or {}
    attempts = environment.get("bootcount", "")
    return Status(
        slot=slot,
        artifact_name=profile.get("artifact_name"),
        config_hash=profile.get("config_hash"),
        on_trial={"1": True, "0": False}.get(environment.get("upgrade_available", "")),
        slot_next=SLOT_OF_PART.get(environment.get("mender_boot_part", "")),
        boot_attempts=int(attempts) if attempts.isdigit() else None,
        gate=read_table(paths.gate),
        switch=_switch(paths),
        switch_gate=read_table(paths.switch_gate),
        profile=None if chosen is None else chosen.selection.profile,
        models={} if chosen is None else dict(chosen.selection.models),
        committed_latency_us=latency.get("p999_us"),
        data_version=(read_table(paths.ota / "data-version.json") or {}).get("version", 1),
        last_failure=read_table(paths.ota / "last-failure.json"),
    )


def _switch(paths: Paths) -> dict[str, Any] | None:
    try:
        trial = read_trial(paths.trial)
    except (OSError, ActiveError) as error:
        return {"problem": str(error)}
    return None if trial is None else {"kind": trial.kind, "token": trial.token}


def as_lines(status: Status) -> list[str]:
    """For a person, the most urgent first."""
    shown = "unknown" if status.slot is None else status.slot
    trial = {True: "on trial", False: "committed", None: "its trial cannot be told"}
    lines = [
        f"slot {shown}, {trial[status.on_trial]}; Artifact {status.artifact_name or 'unknown'}"
    ]
    if status.on_trial:
        lines.append(f"boot attempts of the trial: {status.boot_attempts}")
    lines += _gate_lines("commit gate", status.gate)
    if status.switch is not None:
        lines.append(f"a {status.switch.get('kind', '?')} is on trial")
        lines += _gate_lines("its gate", status.switch_gate)
    lines.append(f"profile {status.profile or 'of the slot'}, config {status.config_hash or '?'}")
    lines += [f"model {name} {digest}" for name, digest in sorted(status.models.items())]
    lines += _failure_lines(status.last_failure)
    if status.committed_latency_us is not None:
        lines.append(f"last committed wake-up at 99.9 %: {status.committed_latency_us:.1f} µs")
    return lines


def _failure_lines(failure: dict[str, Any] | None) -> list[str]:
    """What was not kept, and why: asked about once the robot is back in what was before."""
    if failure is None:
        return []
    what = f"{failure.get('artifact_name')} in slot {failure.get('slot')}"
    reasons = failure.get("reasons")
    rows = [f"  {reason}" for reason in reasons] if isinstance(reasons, list) else []
    return [f"last not kept: {what}, {failure.get('decided_at')}", *rows]


def _gate_lines(name: str, gate: dict[str, Any] | None) -> list[str]:
    if gate is None:
        return [f"{name}: has not spoken in this boot"]
    rows = gate.get("readings")
    found = [
        f"  {row.get('certainty')!s:<8} {row.get('item')}: {row.get('found')}"
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict)
    ]
    return [f"{name}: {gate.get('verdict')}{_progress(gate)}", *found]


def _progress(gate: dict[str, Any]) -> str:
    elapsed_s, timeout_s = gate.get("elapsed_s"), gate.get("timeout_s")
    known = isinstance(elapsed_s, int | float) and isinstance(timeout_s, int | float)
    decided = gate.get("verdict") in ("pass", "fail")
    return f", {elapsed_s:.0f} of {timeout_s:.0f} s" if known and not decided else ""
