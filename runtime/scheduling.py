"""Asking the kernel for what the table and the profile want, and saying what was obtained.

A right that is missing is never passed over in silence: where the profile requires real time the
process does not start, elsewhere every report carries the policy that was really given.
"""

import os
from dataclasses import dataclass

from runtime.processes import Policy, Scheduling


class RealtimeRefusedError(RuntimeError):
    """A precondition of the profile, not a failure of the process."""


@dataclass(frozen=True)
class Obtained:
    policy: Policy
    priority: int
    cpus: tuple[int, ...]
    missing: tuple[str, ...]  # what was asked for and not given, in words

    def fields(self) -> dict[str, str | int]:
        return {
            "scheduling": self.policy.value,
            "priority": self.priority,
            "cpus": ",".join(str(cpu) for cpu in self.cpus),
            "missing": "; ".join(self.missing),
        }


def obtain_scheduling(
    wanted: Scheduling, cpus: frozenset[int], *, required: bool, name: str
) -> Obtained:
    """Applies policy, priority and CPU set to this process and reads back what it got."""
    missing = [*_set_cpus(cpus), *_set_policy(wanted)]
    obtained = _read_back(tuple(missing))
    if required and missing:
        raise RealtimeRefusedError(
            f"{name}: {'; '.join(missing)}; the hardware profile requires real-time rights, so"
            " the process does not start; grant CAP_SYS_NICE (LimitRTPRIO in the unit), or choose"
            " a hardware profile with realtime.required: false"
        )
    return obtained


def _set_cpus(cpus: frozenset[int]) -> list[str]:
    if not cpus:
        return []
    available = os.sched_getaffinity(0)
    usable = cpus & available
    if not usable:
        return [f"CPUs {sorted(cpus)} wanted, but only {sorted(available)} may be used here"]
    try:
        os.sched_setaffinity(0, usable)
    except OSError as error:
        return [f"CPUs {sorted(usable)} refused ({error.strerror})"]
    lost = cpus - available
    return [f"CPUs {sorted(lost)} do not exist here"] if lost else []


def _set_policy(wanted: Scheduling) -> list[str]:
    try:
        match wanted.policy:
            case Policy.FIFO:
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(wanted.priority))
            case Policy.OTHER:
                if wanted.nice:
                    os.nice(wanted.nice)
    except OSError as error:
        asked = f"{wanted.policy.value} {wanted.priority or wanted.nice}"
        return [f"scheduling {asked} refused ({error.strerror})"]
    return []


def _read_back(missing: tuple[str, ...]) -> Obtained:
    kernel = os.sched_getscheduler(0) & ~getattr(os, "SCHED_RESET_ON_FORK", 0)
    policy = Policy.FIFO if kernel == os.SCHED_FIFO else Policy.OTHER
    return Obtained(
        policy=policy,
        priority=os.sched_getparam(0).sched_priority,
        cpus=tuple(sorted(os.sched_getaffinity(0))),
        missing=missing,
    )
