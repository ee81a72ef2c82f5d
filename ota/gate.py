"""The commit gate as a service: watches what is on trial, writes its verdict, and sees to the rest.

`python -m ota.gate --run-dir R --data-dir D --shm S [--switch]`, as root. Without --switch it
judges the slot of this boot: on a pass the boot environment may be told that the trial is over, and
once it is, the latency of this slot becomes the one that the next must not exceed, and data moves
on to this slot's version. A slot that fails and is still on trial after a while is left by a
restart: the boot loader then takes the other one. With --switch it judges a profile or a model.
"""

import argparse
import json
import logging
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import sdnotify

from conf.profile import ProfileError, read_profile
from ota import migrations, switch
from ota.commit_gate import GRACE_S, Decision, Item, Reading, Verdict, decide
from ota.gate_readings import (
    Environment,
    Looker,
    Machine,
    boot_id,
    booted_slot,
    installed_from_file,
    machine_of,
    read_environment,
)
from ota.install import forget_mark
from ota.looking import read_table
from records import Certainty
from runtime.active import ActiveError, Trial, read_trial
from runtime.paths import Paths
from runtime.processes import slow_motion_of
from runtime.skills.durable import replace_file

log = logging.getLogger(__name__)

VERSION: Final = 1
LOOK_S: Final = 1.0
POLL_S: Final = 5.0  # at the boot environment: each time a process of its own
FILE_GRACE_S: Final = 5.0  # nobody asked the client: only for the event to get on its way
SWITCH_GRACE_S: Final = 5.0
COMMIT_S: Final = 900.0  # as its unit has it
EXIT_REFUSED: Final = 3
REASONS_MAX: Final = 600
FAILURE: Final = "last-failure.json"
COMMIT: Final = ("systemctl", "--no-block", "start", "bedplate-commit.service")

Pause = Callable[[float], None]


@dataclass(frozen=True)
class Watched:
    """What is judged: from when its time counts, how long it has, where the verdict goes."""

    began_s: float
    timeout_s: float
    verdict_file: Path
    token: str | None = None  # of a switch


def verdict_table(
    machine: Machine,
    watched: Watched,
    decision: Decision,
    readings: tuple[Reading, ...],
    environment: Environment,
) -> dict[str, Any]:
    """The word that counts, and how far it is: what an operator and the fleet's page are shown."""
    config = machine.config
    table: dict[str, Any] = {
        "version": VERSION,
        "boot_id": boot_id(machine) or "",
        "slot": booted_slot(machine) or "",
        "verdict": decision.verdict.value,
        "reasons": list(decision.reasons),
        "config_hash": config.config_hash,
        "artifact_name": config.artifact_name,
        "decided_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "on_trial": environment.on_trial,
        "attempts": environment.attempts,
        "elapsed_s": round(machine.monotonic_s() - watched.began_s),
        "timeout_s": watched.timeout_s,
        "readings": [
            {
                "item": row.item.value,
                "certainty": row.certainty.value,
                "wanted": row.wanted,
                "found": row.found,
            }
            for row in readings
        ],
    }
    return table if watched.token is None else {**table, "token": watched.token}


def write_verdict(path: Path, table: dict[str, Any]) -> None:
    """A reader finds the whole verdict or the one before."""
    partial = path.with_name(f"{path.name}.part")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(table, file, ensure_ascii=False)
    partial.replace(path)


def watch(
    machine: Machine, looker: Looker, watched: Watched, pause: Pause, beat: Callable[[], None]
) -> Decision:
    """Until there is a verdict; the deadline is one."""
    said: tuple[str, ...] | None = None
    while True:
        readings = looker.look()
        elapsed_s = machine.monotonic_s() - watched.began_s
        decision = decide(readings, elapsed_s, watched.timeout_s)
        table = verdict_table(machine, watched, decision, readings, looker.environment)
        write_verdict(watched.verdict_file, table)
        beat()
        if decision.reasons != said:
            said = decision.reasons
            log.info("%s: %s", decision.verdict.value, "; ".join(said) or "everything is well")
        if decision.is_final:
            tell(machine, watched, decision, table)
            return decision
        pause(LOOK_S)


def tell(machine: Machine, watched: Watched, decision: Decision, table: dict[str, Any]) -> None:
    """To the fleet at once; a failure also to data, for it is asked about after the restart."""
    well = decision.verdict is Verdict.PASS
    fields = {
        "slot": str(table.get("slot")),
        "what": "slot" if watched.token is None else "switch",
        "reasons": "; ".join(decision.reasons)[:REASONS_MAX],
    }
    machine.tell("ota.gate_passed" if well else "ota.gate_failed", well, fields)
    if well:
        return
    try:
        machine.paths.ota.mkdir(mode=0o755, exist_ok=True)
        replace_file(machine.paths.ota / FAILURE, json.dumps(table).encode() + b"\n")
    except OSError as error:
        log.error("the reasons cannot be kept: %s", error)


def judge_boot(machine: Machine, pause: Pause, beat: Callable[[], None]) -> Decision:
    """The slot of this boot; a boot that is not on trial is judged alike, and only told."""
    gate = machine.config.ota.gate
    watched = Watched(0.0, gate.timeout_s, machine.paths.gate)
    settle_switch(machine)
    if read_environment(machine).on_trial is False:
        forget_mark(machine.paths.ota, boot_id(machine))  # of a trial that is over
    looker = Looker(machine, gate.observe_s)
    decision = watch(machine, looker, watched, pause, beat)
    follow(machine, looker, decision, pause, beat)
    return decision


def follow(
    machine: Machine, looker: Looker, decision: Decision, pause: Pause, beat: Callable[[], None]
) -> None:
    """What comes after a verdict on a slot."""
    on_trial = read_environment(machine).on_trial
    if on_trial is None:
        log.error("the boot environment cannot be read: nothing is committed, nothing restarted")
        return
    if decision.verdict is not Verdict.PASS:
        if on_trial:
            leave(machine, decision, pause, beat)
        return
    from_file = on_trial and installed_from_file(machine)
    if from_file:
        log.info("installed from a file and well: committing")
        machine.run(COMMIT)
    until_s = machine.monotonic_s() + (COMMIT_S if from_file else math.inf)
    while (now := read_environment(machine)).on_trial is True:
        if machine.monotonic_s() >= until_s:
            give_up(machine, pause, beat)
            return
        beat()
        pause(POLL_S)
    if now.on_trial is None or now.slot != booted_slot(machine):
        # Somebody rolled it back after all. What the slot before reads must stay as it was.
        log.error("slot %s was given up, slot %s starts next", booted_slot(machine), now.slot)
        return
    if on_trial:
        say_committed(machine.paths.gate)
    settle(machine, looker, was_on_trial=on_trial)


def give_up(machine: Machine, pause: Pause, beat: Callable[[], None]) -> None:
    """It is well, and the client cannot write it down: without a word it would stay on trial."""
    reason = f"the update client did not commit it within {COMMIT_S:g} s; its log says why"
    decision = Decision(Verdict.FAIL, (reason,))
    table = read_table(machine.paths.gate) or {}
    table |= {"verdict": decision.verdict.value, "reasons": list(decision.reasons)}
    write_verdict(machine.paths.gate, table)
    tell(machine, Watched(0.0, 0.0, machine.paths.gate), decision, table)
    leave(machine, decision, pause, beat)


def say_committed(verdict_file: Path) -> None:
    table = read_table(verdict_file)
    if table is not None:
        write_verdict(verdict_file, {**table, "on_trial": False})


def leave(machine: Machine, decision: Decision, pause: Pause, beat: Callable[[], None]) -> None:
    """The client rolls back by itself where somebody asked it to commit; else a restart does."""
    log.error("this slot is not kept: %s", "; ".join(decision.reasons))
    grace_s = FILE_GRACE_S if installed_from_file(machine) else GRACE_S
    until_s = machine.monotonic_s() + grace_s
    while machine.monotonic_s() < until_s:
        if read_environment(machine).on_trial is False:
            return
        beat()
        pause(POLL_S)
    machine.run(["systemctl", "reboot"])


def settle(machine: Machine, looker: Looker, *, was_on_trial: bool) -> None:
    """After the commit, and on every boot after it: what must not be done before it."""
    ota = machine.paths.ota
    ota.mkdir(mode=0o755, exist_ok=True)
    forget_mark(ota, boot_id(machine))
    if was_on_trial or read_table(ota / "latency.json") is None:
        keep_latency(machine, looker)
    migrations.migrate(machine.paths.data, log.info)


def keep_latency(machine: Machine, looker: Looker) -> None:
    if looker.wakeups is None:
        return
    table = {
        "version": VERSION,
        "hardware": machine.config.hardware.name,
        "config_hash": machine.config.config_hash,
        "artifact_name": machine.config.artifact_name,
        "p999_us": looker.wakeups.p999_us,
        "cycles": looker.wakeups.cycles,
    }
    replace_file(machine.paths.ota / "latency.json", json.dumps(table).encode() + b"\n")


def settle_switch(machine: Machine) -> None:
    """A switch that an earlier boot left uncommitted is taken back for good."""
    try:
        trial = read_trial(machine.paths.trial)
    except (OSError, ActiveError) as error:
        log.error(
            "%s: %s; it is removed, and the slot runs what it brought", machine.paths.trial, error
        )
        switch.forget(machine.paths)
        return
    if trial is not None and trial.boot_id != (boot_id(machine) or ""):
        log.warning("a %s that was not committed before this boot is taken back", trial.kind)
        switch.take_back(machine.paths, trial)


class SwitchLooker(Looker):
    """The same look, at a switch: the slot is not in question, nor is what its boot came to."""

    def look(self) -> tuple[Reading, ...]:
        excused = {Item.SLOT: "the slot was not switched", Item.BOOT: "no boot was made"}
        return tuple(
            Reading(row.item, Certainty.OK, row.wanted, excused[row.item])
            if row.item in excused
            else row
            for row in super().look()
        )


def judge_switch(
    machine: Machine, trial: Trial, pause: Pause, beat: Callable[[], None]
) -> Decision:
    """A profile or model that was switched to; one that nobody takes back goes by itself."""
    gate = machine.config.ota.gate
    timeout_s = float(gate.switch_timeout_s * slow_motion_of(machine.config))
    watched = Watched(trial.started_s, timeout_s, machine.paths.switch_gate, trial.token)
    looker = SwitchLooker(machine, gate.switch_observe_s)
    decision = watch(machine, looker, watched, pause, beat)
    from_file = installed_from_file(machine)
    if decision.verdict is Verdict.PASS and not from_file:
        return decision
    if decision.verdict is Verdict.PASS:
        machine.run(COMMIT)
        wait_while_on(machine, trial, COMMIT_S, pause, beat)
    elif wait_while_on(machine, trial, SWITCH_GRACE_S, pause, beat):
        log.error("taken back: %s", "; ".join(decision.reasons))
        switch.take_back_and_apply(switch.surroundings_of(machine.paths, machine.shm), trial)
    if from_file:
        forget_mark(machine.paths.ota, None)  # the next may come from the server
    return decision


def wait_while_on(
    machine: Machine, trial: Trial, longest_s: float, pause: Pause, beat: Callable[[], None]
) -> bool:
    """Whether the switch is on trial still, then."""
    until_s = machine.monotonic_s() + longest_s
    while machine.monotonic_s() < until_s and still_on(machine, trial):
        beat()
        pause(LOOK_S)
    return still_on(machine, trial)


def still_on(machine: Machine, trial: Trial) -> bool:
    try:
        now = read_trial(machine.paths.trial)
    except (OSError, ActiveError):
        return False
    return now is not None and now.token == trial.token


def main() -> None:
    parser = argparse.ArgumentParser(prog="gate", description="The commit gate")
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--shm", type=Path, required=True, help="folder of the shared messages")
    parser.add_argument("--switch", action="store_true", help="judge a switched profile or model")
    args = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="gate %(levelname)s %(message)s"
    )
    paths = Paths(run=args.run_dir, data=args.data_dir)
    try:
        machine = machine_of(read_profile(paths.profile), paths, args.shm)
    except ProfileError as error:
        log.error("%s", error)
        sys.exit(EXIT_REFUSED)
    notifier = sdnotify.SystemdNotifier()
    notifier.notify("READY=1")

    def beat() -> None:
        notifier.notify("WATCHDOG=1")

    if not args.switch:
        judge_boot(machine, time.sleep, beat)
        return
    trial = read_trial(paths.trial)
    if trial is not None:
        judge_switch(machine, trial, time.sleep, beat)


if __name__ == "__main__":
    main()
