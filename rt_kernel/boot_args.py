"""The real-time part of the kernel's command line, from the profile. Pure.

Where the root is, what verifies it and where the console is, is the image's to say.
"""

from typing import Final

from conf.schema import Config
from conf.schema.hardware import Realtime
from rt_kernel.problem import KernelError

# The timer in every arm64 core: read without leaving the CPU.
CLOCK_SOURCE: Final = "arch_sys_counter"
PANIC_S: Final = 5


def boot_arguments(config: Config) -> tuple[str, ...]:
    """Arguments for this profile; a board whose kernel is not ours gets none."""
    realtime = config.hardware.realtime
    if realtime.kernel == "any":
        return ()
    return (
        f"clocksource={CLOCK_SOURCE}",
        # A kernel that has lost its way restarts; the slot's trial count decides what boots then.
        f"panic={PANIC_S}",
        "oops=panic",
        *_isolation(realtime, config.hardware.name),
    )


def _isolation(realtime: Realtime, board: str) -> tuple[str, ...]:
    """Only where the profile claims it: on a board without spare CPUs it would take them away."""
    isolated = frozenset(realtime.isolated_cpus)
    if not isolated:
        return ()
    shared = realtime.shared_cpus
    if 0 in isolated or not shared:
        raise KernelError(
            f"conf/hardware/{board}.yaml  realtime.isolated_cpus",
            str(sorted(isolated)),
            "CPU 0 boots, keeps the time and takes the interrupts; it cannot be kept free",
            "leave CPU 0 to everything that is not real-time",
        )
    cpus = cpu_list(isolated)
    return (
        # domain: the balancer puts nothing there; managed_irq: neither do drivers with many queues.
        f"isolcpus=managed_irq,domain,{cpus}",
        f"nohz_full={cpus}",
        f"rcu_nocbs={cpus}",
        f"irqaffinity={cpu_list(shared)}",
    )


def cpu_list(cpus: frozenset[int]) -> str:
    """The kernel's notation: `0-2,5`."""
    runs: list[tuple[int, int]] = []
    for cpu in sorted(cpus):
        if runs and runs[-1][1] == cpu - 1:
            runs[-1] = (runs[-1][0], cpu)
        else:
            runs.append((cpu, cpu))
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def parse_cpu_list(text: str) -> frozenset[int] | None:
    """The kernel's notation read; None where it is not understood. An empty list is no CPU."""
    cpus: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, dash, last = part.partition("-")
        if not first.isascii() or not first.isdigit():
            return None
        if dash and not (last.isascii() and last.isdigit()):
            return None
        begin, end = int(first), int(last) if dash else int(first)
        if not begin <= end < 4096:
            return None
        cpus.update(range(begin, end + 1))
    return frozenset(cpus)
