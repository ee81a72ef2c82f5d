"""What both update modules do alike: switch, wait for the gate, commit or go back.

The commit is refused without this switch's own pass, whoever asks for it and whatever scripts the
artifact brought or lacks.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from ota import switch
from ota.looking import PRINT_TOOL, read_table, run_program
from ota.modules.states import ModuleRefusedError, State, download, read_files
from ota.refusal import OtaRefusedError
from ota.switch import Surroundings, SwitchRefusedError
from runtime.active import ActiveError, Selection, Trial
from runtime.handout import LIBRARY, HandoutRefusedError, this_boot
from runtime.paths import Paths

RUN: Final = Path("/run/bedplate")
DATA: Final = Path("/data/bedplate")
SLACK_S: Final = 30.0  # beyond the gate's own deadline: a gate that is stuck is no pass
LOOK_S: Final = 0.5
GATE: Final = ("systemctl", "--no-block", "restart", "bedplate-switch-gate.service")
META_MAX: Final = 1 << 14


class Kind(Protocol):
    """A profile or a model: what a payload holds, and what it makes of a selection."""

    name: str

    def limits(self, meta: dict[str, Any]) -> dict[str, int]:
        """Payload file → most bytes."""
        ...

    def install(self, around: Surroundings, files: dict[str, bytes], meta: dict[str, Any]) -> str:
        """Checks everything and stores it; returns the digest it is stored under."""
        ...

    def wanted(self, before: Selection, digest: str, meta: dict[str, Any]) -> Selection: ...


@dataclass(frozen=True)
class Call:
    """One call of a module; all that is the machine's is handed in."""

    around: Surroundings
    folder: Path
    kind: Kind
    timeout_s: Callable[[], float]
    now_s: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_MONOTONIC)
    pause: Callable[[float], None] = time.sleep
    print_tool: str = PRINT_TOOL

    def meta(self) -> dict[str, Any]:
        with (self.folder / "header/meta-data").open("rb") as file:
            raw = file.read(META_MAX + 1)
        try:
            table = json.loads(raw) if len(raw) <= META_MAX else None
        except ValueError:
            table = None
        if not isinstance(table, dict):
            raise ModuleRefusedError("the artifact's meta-data is no table; nothing was changed")
        return table


def answer(call: Call, state: State) -> str | None:
    """What to print; ModuleRefusedError ends the call with a reason."""
    match state:
        case State.NEEDS_REBOOT:
            return "No"
        case State.SUPPORTS_ROLLBACK:
            return "Yes"
        case State.DOWNLOAD:
            refuse_on_slot_trial(call)
            download(call.folder, call.kind.limits(call.meta()))
        case State.INSTALL:
            install(call)
        case State.COMMIT:
            commit(call)
        case State.ROLLBACK | State.FAILURE:
            go_back(call)
        case State.CLEANUP:
            switch.finish(call.around)
            switch.sweep(call.around.paths)
        case State.REBOOT | State.VERIFY_REBOOT | State.ROLLBACK_REBOOT:
            raise ModuleRefusedError(f"{state.value}: nothing here needs a reboot")
        case State.VERIFY_ROLLBACK_REBOOT:
            return None
    return None


def refuse_on_slot_trial(call: Call) -> None:
    """A slot that is not committed may be left at any moment, and with it what was chosen."""
    said = call.around.run([call.print_tool, "upgrade_available"])
    if said is None or said.strip() != "upgrade_available=0":
        raise ModuleRefusedError(
            f"the boot environment says {(said or 'nothing').strip()!r}: a root filesystem is on"
            " trial, or it cannot be told; commit or roll it back first; nothing was changed"
        )


def install(call: Call) -> None:
    refuse_on_slot_trial(call)
    meta = call.meta()
    files = read_files(call.folder, call.kind.limits(meta))
    digest = call.kind.install(call.around, files, meta)
    before = switch.present(call.around).selection
    switch.begin(call.around, call.kind.name, call.kind.wanted(before, digest, meta))
    restarted = switch.apply(call.around)
    call.around.run(GATE)
    say(f"switched; restarted: {', '.join(restarted) or 'nothing'}")


def commit(call: Call) -> None:
    """Waits for the verdict on this very switch. Asked again after a commit, it has been done."""
    trial = switch.trial_on(call.around)
    if trial is None:
        done = switch.committed(call.around)
        if done is not None and switch.present(call.around) == done.wanted:
            return
        raise ModuleRefusedError("no switch is on trial: there is nothing to commit")
    verdict = wait_for_verdict(call, trial)
    if verdict.get("verdict") != "pass":
        reasons = verdict.get("reasons")
        text = "; ".join(map(str, reasons)) if isinstance(reasons, list) and reasons else "no word"
        raise ModuleRefusedError(f"the commit gate did not pass: {text}")
    switch.commit(call.around, trial)


def wait_for_verdict(call: Call, trial: Trial) -> dict[str, Any]:
    until_s = trial.started_s + call.timeout_s() + SLACK_S
    while True:
        table = read_table(call.around.paths.switch_gate) or {}
        of_this = (table.get("boot_id"), table.get("token")) == (trial.boot_id, trial.token)
        if of_this and table.get("verdict") in ("pass", "fail"):
            return table
        if call.now_s() >= until_s:
            said = "; ".join(map(str, table.get("reasons", []))) if of_this else "it said nothing"
            return {"verdict": "fail", "reasons": [f"the gate did not decide in time: {said}"]}
        call.pause(LOOK_S)


def go_back(call: Call) -> None:
    """What was before; also after a commit, while the client has not finished. Twice is once."""
    trial = switch.trial_on(call.around)
    if trial is not None:
        restarted = switch.take_back_and_apply(call.around, trial)
        say(f"taken back; restarted: {', '.join(restarted) or 'nothing'}")
        return
    done = switch.committed(call.around)
    if done is not None and switch.present(call.around) == done.wanted:
        switch.take_back_and_apply(call.around, done)
        switch.finish(call.around)


def say(text: str) -> None:
    """To the client's log."""
    sys.stderr.write(f"{text}\n")


def main(kind: Kind) -> None:
    parser = argparse.ArgumentParser(prog=f"bedplate-{kind.name}")
    parser.add_argument("state")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--run-dir", type=Path, default=RUN)
    parser.add_argument("--data-dir", type=Path, default=DATA)
    parser.add_argument("--library", type=Path, default=LIBRARY)
    parser.add_argument("--proc", type=Path, default=Path("/proc"))
    parser.add_argument("--print-tool", default=PRINT_TOOL)
    args = parser.parse_args()
    if args.state not in set(State):
        return  # a state of a later client: to be passed over, as its rules say
    try:
        around = _surroundings(args)
        call = Call(
            around, args.folder, kind, lambda: timeout_s(around), print_tool=args.print_tool
        )
        said = answer(call, State(args.state))
    except (
        ModuleRefusedError,
        SwitchRefusedError,
        OtaRefusedError,
        HandoutRefusedError,
        ActiveError,
        OSError,
    ) as error:
        say(f"bedplate-{kind.name} {args.state}: {error}")
        sys.exit(1)
    if said is not None:
        sys.stdout.write(f"{said}\n")


def _surroundings(args: argparse.Namespace) -> Surroundings:
    boot = this_boot(args.proc)
    if boot is None:
        raise SwitchRefusedError(f"{args.proc}/cmdline: names no slot; nothing was changed")
    return Surroundings(Paths(args.run_dir, args.data_dir), args.library, boot, run_program)


def timeout_s(around: Surroundings) -> float:
    """As the profile that runs declares it."""
    table = read_table(around.paths.profile) or {}
    try:
        slow = int(table["hardware"]["actuation"].get("slow_motion", 1))
        return float(table["ota"]["gate"]["switch_timeout_s"]) * slow
    except (KeyError, TypeError, ValueError) as error:
        raise ModuleRefusedError(f"the running profile has no deadline ({error})") from error
