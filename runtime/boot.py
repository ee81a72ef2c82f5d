"""The first unit of a boot: hands out the profile, then tells what the boot came to.

`python -m runtime.boot --run-dir R --data-dir D --shm S [--own TOPIC=USER ...]`, as root. Ready as
soon as the profile lies in R and every message has its owner: all other units wait for that. What
follows waits for them: a report in R/boot.json, and the same as an event to the fleet.
"""

import argparse
import contextlib
import json
import logging
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sdnotify

from runtime.handout import LIBRARY, HandedOut, HandoutRefusedError, hand_out, this_boot
from runtime.paths import Paths
from runtime.shm import Shm

if TYPE_CHECKING:
    from conf.schema import Config
    from records import BootReport, BootStage

log = logging.getLogger(__name__)

EXIT_REFUSED = 3
WAIT_S = 300.0
LOOK_S = 1.0
NS_PER_S = 1_000_000_000
FILE_MAX = 1 << 20
TEXT_MAX = 600
SYSTEMD_STAGES = {
    "UserspaceTimestampMonotonic": "userspace",
    "UnitsLoadFinishTimestampMonotonic": "units_loaded",
    "FinishTimestampMonotonic": "start_finished",
}


def own_messages(shm: Path, owners: dict[str, str]) -> None:
    """Makes each message's file and gives it to the user of the process that writes it; readers
    that start earlier would else make it, and then it would be theirs."""
    memory = Shm(shm)
    for topic, user in owners.items():
        memory.writer(topic)
        account = pwd.getpwnam(user)
        os.chown(shm / topic, account.pw_uid, account.pw_gid)
        (shm / topic).chmod(0o644)


def uptime_s() -> float:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) / NS_PER_S


def read_text(path: Path) -> str | None:
    try:
        with path.open("r", encoding="utf-8", errors="replace") as file:
            return file.read(FILE_MAX).strip()
    except OSError:
        return None


def read_json(path: Path) -> Any:
    """None where there is nothing sound."""
    text = read_text(path)
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None


class Watch:
    """Follows the robot's start from the outside, and notes when each stage was reached."""

    def __init__(self, config: "Config", paths: Paths, shm: Path) -> None:
        from runtime.processes import slow_motion_of

        self._paths = paths
        self._state = Shm(shm).reader("state")
        self._period_ns = config.hardware.control.period_us * 1000
        self._slow_motion = slow_motion_of(config)
        self._wants_kernel = config.hardware.realtime.kernel != "any"
        self.at_s: dict[str, float] = {}

    def look(self) -> bool:
        """Whether everything that this robot can show has been seen."""
        if "control_cycle" not in self.at_s and (first_s := self._first_cycle_s()) is not None:
            self.at_s["control_cycle"] = first_s
        for stage, path in (
            ("kernel_compared", self._paths.kernel),
            ("telemetry", self._paths.uplink),
        ):
            if stage not in self.at_s and path.exists():
                self.at_s[stage] = uptime_s()
        wanted = {
            "control_cycle",
            "telemetry",
            *(["kernel_compared"] if self._wants_kernel else []),
        }
        return wanted <= set(self.at_s)

    def _first_cycle_s(self) -> float | None:
        """Counted back from the newest cycle: the machine's clock starts with the kernel."""
        state = self._state.latest()
        if state is None:
            return None
        first_ns = int(state["created_ns"]) - (int(state["cycle"]) - 1) * self._period_ns
        return max(0.0, first_ns * self._slow_motion / NS_PER_S)


def wait(watch: Watch, seconds: float, pause: Callable[[float], None] = time.sleep) -> None:
    until_s = uptime_s() + seconds
    while not watch.look() and uptime_s() < until_s:
        pause(LOOK_S)


def systemd_stages() -> dict[str, float]:
    """Nothing where systemd is not there or does not answer."""
    try:
        said = subprocess.run(
            ["systemctl", "show", f"--property={','.join(SYSTEMD_STAGES)}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found: dict[str, float] = {}
    for line in said.splitlines():
        key, _, value = line.partition("=")
        if key in SYSTEMD_STAGES and value.isdigit() and int(value):
            found[SYSTEMD_STAGES[key]] = int(value) / 1e6
    return found


def report_of(
    config: "Config", handed: HandedOut, paths: Paths, at_s: dict[str, float]
) -> "BootReport":
    from datetime import UTC, datetime

    from records import BootStage
    from runtime.boot_report import BootFacts, judge, kernel_findings

    stages = [BootStage(name=name, at_s=round(value, 3)) for name, value in at_s.items()]
    realtime = read_json(paths.realtime)
    facts = BootFacts(
        boot_id=read_text(Path("/proc/sys/kernel/random/boot_id")) or "",
        kernel_release=os.uname().release,
        kernel_arguments=read_text(Path("/proc/cmdline")) or "",
        slot_expected=read_text(paths.data / "slot-expected"),
        kernel_findings=kernel_findings(read_json(paths.kernel)),
        realtime=realtime if isinstance(realtime, dict) else None,
        data_volatile=read_text(paths.data_volatile),
        first_boot=tuple((read_text(paths.first_boot) or "").splitlines()),
        stages=tuple(sorted(stages, key=_when)),
        control_runs="control_cycle" in at_s,
        booted_at=datetime.now(UTC),
    )
    return judge(config, handed, facts)


def _when(stage: "BootStage") -> float:
    return stage.at_s


def write_report(path: Path, report: "BootReport") -> None:
    partial = path.with_name(f"{path.name}.part")
    partial.write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def event_fields(report: "BootReport") -> dict[str, str | float | int | bool]:
    health = {True: "yes", False: "no", None: "unknown"}[report.healthy]
    times = {f"{stage.name}_s": stage.at_s for stage in report.stages}
    return {
        "boot": report.boot_id,
        "slot": report.slot_booted,
        "slot_expected": report.slot_expected,
        "kernel": report.kernel_release,
        "healthy": health,
        "problems": "; ".join(report.problems)[:TEXT_MAX],
        "first_boot": "; ".join(report.first_boot)[:TEXT_MAX],
        "memory_locked": report.memory_locked,
        **times,
    }


def tell(report: "BootReport", paths: Paths, seconds: float) -> bool:
    """Whether the event is on telemetryd's disk."""
    from records import Severity
    from runtime.hal.clock import SystemClock
    from runtime.telemetry.client import TelemetryClient

    client = TelemetryClient(paths.telemetry_socket, "boot", SystemClock())
    severity = Severity.INFO if report.healthy else Severity.WARNING
    client.event("boot.reported", severity, event_fields(report))
    until_s = uptime_s() + seconds
    told = False
    while not told and uptime_s() < until_s:
        told = client.barrier()
        if not told:
            time.sleep(LOOK_S)
    client.close()
    return told


def follow(
    handed: HandedOut, paths: Paths, shm: Path, at_s: dict[str, float], wait_s: float
) -> None:
    """The unhurried half, once the others may start."""
    from conf.profile import read_profile

    config = read_profile(paths.profile)
    for remark in handed.remarks:
        log.info("%s", remark)
    watch = Watch(config, paths, shm)
    wait(watch, wait_s)
    report = report_of(config, handed, paths, {**systemd_stages(), **at_s, **watch.at_s})
    write_report(paths.boot_report, report)
    for problem in report.problems:
        log.warning("%s", problem)
    if not tell(report, paths, wait_s):
        log.warning("telemetryd did not take the report; it stays in %s", paths.boot_report)


def cpus(text: str) -> frozenset[int]:
    return frozenset(int(cpu) for cpu in text.split(","))


def move_to(wanted: frozenset[int] | None) -> None:
    """Off the CPUs of control, which start when this is done."""
    if not wanted:
        return
    try:
        os.sched_setaffinity(0, wanted)
    except OSError as error:
        log.warning("still on the CPUs of control: %s refused (%s)", sorted(wanted), error.strerror)


def main() -> None:
    parser = argparse.ArgumentParser(prog="boot", description="The first unit of a boot")
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--shm", type=Path, required=True, help="folder of the shared messages")
    parser.add_argument("--library", type=Path, default=LIBRARY, help="profile and manifest")
    parser.add_argument("--own", action="append", default=[], metavar="TOPIC=USER")
    parser.add_argument("--then-cpus", type=cpus, help="where to go before the others start")
    parser.add_argument("--wait-s", type=float, default=WAIT_S, help="for the others to start")
    args = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="boot %(levelname)s %(message)s"
    )
    at_s = {"boot_unit": uptime_s()}
    paths = Paths(run=args.run_dir, data=args.data_dir)
    try:
        handed = hand_out(args.library, paths, this_boot())
        own_messages(args.shm, dict(pair.split("=", 1) for pair in args.own))
    except (HandoutRefusedError, OSError, KeyError) as error:
        log.error("%s", error)
        sys.exit(EXIT_REFUSED)
    at_s["profile"] = uptime_s()
    move_to(args.then_cpus)
    with contextlib.suppress(OSError):
        sdnotify.SystemdNotifier().notify("READY=1")
    follow(handed, paths, args.shm, at_s, args.wait_s)


if __name__ == "__main__":
    main()
