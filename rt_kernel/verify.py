"""Whether the kernel that runs is the one the profile counts on.

`python -m rt_kernel.verify` runs on the robot, after boot: facts are read at the edge, judged
purely. What cannot be read is `unknown`, and unknown is never `ok`.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from conf.profile import ProfileError, read_profile
from conf.schema import Config
from records import Certainty
from rt_kernel.boot_args import (
    CLOCK_SOURCE,
    boot_arguments,
    cpu_list,
    parse_cpu_list,
)
from rt_kernel.problem import KernelError

DEFAULT_PROFILE: Final = Path("/run/bedplate/profile.json")
DEFAULT_MANIFEST: Final = Path("/usr/lib/bedplate/manifest.json")
DEFAULT_OUT: Final = Path("/run/bedplate/kernel.json")
CPUS: Final = "sys/devices/system/cpu"


@dataclass(frozen=True)
class Finding:
    item: str
    wanted: str
    found: str
    verdict: Certainty


@dataclass(frozen=True)
class Facts:
    """What the running kernel says of itself; None: it does not say."""

    release: str | None
    version: str | None
    realtime: str | None
    command_line: str | None
    cpus_online: str | None
    cpus_isolated: str | None
    cpus_nohz_full: str | None
    irq_default: str | None
    irqs: tuple[tuple[str, str], ...]  # number → CPUs it is really sent to
    clock_source: str | None
    governors: tuple[str, ...]  # of each CPU whose frequency the kernel sets
    loads_modules: bool | None


def read_facts(root: Path) -> Facts:
    """From /proc and /sys below `root`."""

    def read(path: str) -> str | None:
        try:
            return (root / path).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None

    mask = read("proc/irq/default_smp_affinity")
    governors = sorted((root / CPUS).glob("cpu[0-9]*/cpufreq/scaling_governor"))
    return Facts(
        release=read("proc/sys/kernel/osrelease"),
        version=read("proc/version"),
        realtime=read("sys/kernel/realtime"),
        command_line=read("proc/cmdline"),
        cpus_online=read(f"{CPUS}/online"),
        cpus_isolated=read(f"{CPUS}/isolated"),
        cpus_nohz_full=read(f"{CPUS}/nohz_full"),
        irq_default=None if mask is None else mask_as_list(mask),
        irqs=_read_irqs(root / "proc/irq"),
        clock_source=read("sys/devices/system/clocksource/clocksource0/current_clocksource"),
        governors=tuple(sorted({file.read_text().strip() for file in governors})),
        loads_modules=(root / "proc/modules").exists() if (root / "proc/irq").is_dir() else None,
    )


def _read_irqs(folder: Path) -> tuple[tuple[str, str], ...]:
    """Where each interrupt goes. One without such a place belongs to each CPU by itself."""
    found = []
    for entry in sorted(folder.glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            cpus = (entry / "effective_affinity_list").read_text(encoding="utf-8").strip()
        except OSError:
            continue  # it went while we looked
        if cpus:
            found.append((entry.name, cpus))
    return tuple(found)


def mask_as_list(mask: str) -> str | None:
    """`f0` and `00000001,00000000` as lists of CPUs."""
    digits = mask.replace(",", "")
    if not digits or not set(digits.lower()) <= set("0123456789abcdef"):
        return None
    bits = int(digits, 16)
    return cpu_list(frozenset(cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1))


def judge(config: Config, facts: Facts, release_wanted: str | None) -> tuple[Finding, ...]:
    """Pure. A profile that counts on no particular kernel has nothing to compare."""
    if config.hardware.realtime.kernel == "any":
        return ()
    return (
        *_judge_kernel(facts, release_wanted),
        *_judge_arguments(boot_arguments(config), facts.command_line),
        *_judge_cpus(config, facts),
        _same("clock.source", CLOCK_SOURCE, facts.clock_source),
        _judge_governors(facts),
    )


def _same(item: str, wanted: str, found: str | None) -> Finding:
    if found is None:
        return Finding(item, wanted, "not to be read", Certainty.UNKNOWN)
    return Finding(item, wanted, found, Certainty.OK if found == wanted else Certainty.WRONG)


def _judge_kernel(facts: Facts, release_wanted: str | None) -> Iterable[Finding]:
    if release_wanted is None:
        found = facts.release or "not to be read"
        yield Finding("kernel.release", "not stated by a manifest", found, Certainty.UNKNOWN)
    else:
        yield _same("kernel.release", release_wanted, facts.release)
    if facts.realtime is None and facts.version is not None and "PREEMPT_RT" in facts.version:
        yield Finding("kernel.realtime", "1", "PREEMPT_RT in its version", Certainty.OK)
    elif facts.realtime is None and facts.version is not None:
        yield Finding("kernel.realtime", "1", "no PREEMPT_RT in its version", Certainty.WRONG)
    else:
        yield _same("kernel.realtime", "1", facts.realtime)
    loads = None if facts.loads_modules is None else "on" if facts.loads_modules else "off"
    yield _same("kernel.module_loading", "off", loads)


def _judge_arguments(wanted: tuple[str, ...], line: str | None) -> Iterable[Finding]:
    """Each argument as it should be; of one that is given twice the kernel takes the last."""
    given: dict[str, str] = {}
    for word in (line or "").split():
        name = word.partition("=")[0]
        given[name] = word
    for argument in wanted:
        name = argument.partition("=")[0]
        found = None if line is None else given.get(name, "absent")
        yield _same(f"argument.{name}", argument, found)


def _judge_cpus(config: Config, facts: Facts) -> Iterable[Finding]:
    realtime = config.hardware.realtime
    isolated = frozenset(realtime.isolated_cpus)
    yield _same_cpus("cpu.online", frozenset(range(realtime.cpus)), facts.cpus_online)
    yield _same_cpus("cpu.isolated", isolated, facts.cpus_isolated)
    yield _same_cpus("cpu.nohz_full", isolated, facts.cpus_nohz_full)
    if not isolated:
        return
    yield _same_cpus("irq.default_affinity", realtime.shared_cpus, facts.irq_default)
    yield _judge_irqs(isolated, facts.irqs)


def _same_cpus(item: str, wanted: frozenset[int], found: str | None) -> Finding:
    """Lists are compared as sets: `0-1` is `0,1`; `(null)` is the kernel's word for none."""
    text = cpu_list(wanted) or "none"
    if found is None:
        return Finding(item, text, "not to be read", Certainty.UNKNOWN)
    cpus = parse_cpu_list("" if found == "(null)" else found)
    if cpus is None:
        return Finding(item, text, found[:80], Certainty.UNKNOWN)
    verdict = Certainty.OK if cpus == wanted else Certainty.WRONG
    return Finding(item, text, cpu_list(cpus) or "none", verdict)


def _judge_irqs(isolated: frozenset[int], irqs: tuple[tuple[str, str], ...]) -> Finding:
    wanted = f"none on {cpu_list(isolated)}"
    if not irqs:
        return Finding("irq.affinity", wanted, "not to be read", Certainty.UNKNOWN)
    there = [
        f"{number} on {cpus}" for number, cpus in irqs if (parse_cpu_list(cpus) or set()) & isolated
    ]
    if there:
        return Finding("irq.affinity", wanted, ", ".join(there), Certainty.WRONG)
    return Finding("irq.affinity", wanted, f"none of {len(irqs)}", Certainty.OK)


def _judge_governors(facts: Facts) -> Finding:
    """A board that sets no frequencies, as QEMU's, has nothing to hold steady."""
    if not facts.governors:
        return Finding("cpu.governor", "performance", "frequency is fixed", Certainty.OK)
    return _same("cpu.governor", "performance", ", ".join(facts.governors))


def is_wrong(findings: Iterable[Finding]) -> bool:
    return any(finding.verdict is Certainty.WRONG for finding in findings)


def verify_kernel(profile: Path, manifest: Path, root: Path = Path("/")) -> tuple[Finding, ...]:
    try:
        config = read_profile(profile)
    except (OSError, ProfileError) as error:
        raise KernelError(
            str(profile),
            str(error),
            "the running kernel is compared with what the profile says",
            "give the robot's profile with --profile",
        ) from None
    return judge(config, read_facts(root), read_release(manifest))


def read_release(manifest: Path) -> str | None:
    """The release that the image was built with; None where no manifest says so."""
    try:
        document: Any = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    release = document.get("kernel_release") if isinstance(document, dict) else None
    return release if isinstance(release, str) else None


def as_document(findings: Iterable[Finding]) -> list[dict[str, str]]:
    return [asdict(finding) for finding in findings]


def as_text(findings: tuple[Finding, ...]) -> str:
    if not findings:
        return "this profile counts on no particular kernel"
    width = max(len(finding.item) for finding in findings)
    lines = [
        f"{f.verdict.value:<8} {f.item:<{width}}  {f.found}"
        + ("" if f.verdict is Certainty.OK else f"   (wanted {f.wanted})")
        for f in findings
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="The running kernel against the profile")
    parser.add_argument("--profile", type=Path, default=DEFAULT_PROFILE)
    parser.add_argument("--manifest", type=Path, default=DEFAULT_MANIFEST)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    arguments = parser.parse_args()
    try:
        found = verify_kernel(arguments.profile, arguments.manifest)
    except KernelError as error:
        sys.exit(str(error))
    partial = arguments.out.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(as_document(found), indent=2) + "\n", encoding="utf-8")
    partial.replace(arguments.out)
    sys.stdout.write(as_text(found) + "\n")
    # What is wrong goes into the boot report, which decides; a unit that failed says nothing new.


if __name__ == "__main__":
    main()
