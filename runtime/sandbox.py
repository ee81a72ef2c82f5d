"""What a process may touch: the sandbox of each unit, as strict as its row of the table allows.

Nobody needs a capability. Real-time priority and locked memory come from the unit's limits, which
an unprivileged process may use up to their bound and no further.
"""

from conf.schema import Config
from conf.schema.hardware import CameraSource, Cia402Actuation, SimActuation
from runtime.processes import Policy, ProcessSpec, wanted_thread

MEMORY_CEILING = 3  # times the budget: beyond that it is a leak, not a load
TASKS_MAX = 64

# Of every unit, whatever it runs.
EVERYWHERE = (
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateMounts=yes",
    "PrivateUsers=yes",
    "ProtectProc=invisible",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectClock=yes",
    "RestrictNamespaces=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "KeyringMode=private",
    "RemoveIPC=no",  # the shared files of a robot outlive each of its processes
    "SystemCallArchitectures=native",
    "SystemCallErrorNumber=EPERM",
)
# A private /tmp would wait for the system's folders: what starts before them has none.
WITHOUT_TMP = (
    *(line for line in EVERYWHERE if line != "PrivateTmp=yes"),
    "InaccessiblePaths=/tmp /var/tmp",
)


def for_root(lines: tuple[str, ...]) -> tuple[str, ...]:
    """Of these, what fits a unit that keeps a capability, which its own lines name."""
    return tuple(
        line for line in lines if not line.startswith(("CapabilityBoundingSet=", "PrivateUsers="))
    )


def rights(spec: ProcessSpec, config: Config) -> list[str]:
    """CPUs, memory and priority: the unit grants them, and the process reports what it got."""
    memory = spec.budget.memory_mib
    lines = [f"MemoryHigh={memory * 2}M", f"MemoryMax={memory * MEMORY_CEILING}M"]
    lines.append(f"TasksMax={TASKS_MAX}")
    wanted, cpus = wanted_thread(spec, config)
    # A watchdog thread lives off its process's CPU, so the process may use both.
    watchdog = config.hardware.realtime.threads.get(f"{spec.name}_watchdog")
    cpus |= frozenset(watchdog.cpus) if cpus and watchdog else frozenset()
    if cpus:
        lines.append(f"CPUAffinity={' '.join(str(cpu) for cpu in sorted(cpus))}")
    if wanted.nice:
        lines.append(f"Nice={wanted.nice}")
    if wanted.policy is not Policy.FIFO:
        return [*lines, "RestrictRealtime=yes"]
    lines += [f"LimitRTPRIO={wanted.priority}", "LimitMEMLOCK=infinity"]
    if spec.scheduled_by_unit:
        lines += ["CPUSchedulingPolicy=fifo", f"CPUSchedulingPriority={wanted.priority}"]
    return lines


def sandbox(spec: ProcessSpec, config: Config, writable: tuple[str, ...]) -> list[str]:
    """Files, devices, sockets and system calls."""
    everywhere = WITHOUT_TMP if spec.starts_with_control else EVERYWHERE
    lines = [*everywhere, f"ReadWritePaths={' '.join(writable)}"]
    lines += _system_calls(spec)
    lines += _sockets(spec, config)
    lines += _devices(spec, config)
    if spec.module is None:
        # No inference library that makes code at run time, nothing to learn of the machine.
        lines += ["MemoryDenyWriteExecute=yes", "ProcSubset=pid"]
    return lines


def _system_calls(spec: ProcessSpec) -> list[str]:
    """Everyone arranges its own scheduling, so @resources stays; nobody changes owners or users."""
    lines = ["SystemCallFilter=@system-service", "SystemCallFilter=~@privileged"]
    if spec.name == "controld":
        lines.append("SystemCallFilter=seccomp")  # its control thread takes away what is left
    return lines


def _sockets(spec: ProcessSpec, config: Config) -> list[str]:
    families = ["AF_UNIX"]
    if spec.network:
        return [f"RestrictAddressFamilies={' '.join([*families, 'AF_INET', 'AF_INET6'])}"]
    if spec.name == "controld" and isinstance(config.hardware.actuation, Cia402Actuation):
        families += ["AF_CAN", "AF_NETLINK"]
    return [f"RestrictAddressFamilies={' '.join(families)}", "IPAddressDeny=any"]


def _devices(spec: ProcessSpec, config: Config) -> list[str]:
    """Devices of the row that this board has; a process without any sees an empty /dev."""
    allowed = [device for device in spec.devices if _has(device, config)]
    lines = ["DevicePolicy=closed"]
    if not allowed:
        return [*lines, "PrivateDevices=yes"]
    lines += [f"DeviceAllow={device} rw" for device in allowed]
    return [*lines, f"SupplementaryGroups={' '.join(spec.groups)}"] if spec.groups else lines


def _has(device: str, config: Config) -> bool:
    hardware = config.hardware
    if device.startswith("/dev/gpiochip"):
        return hardware.control.gpio is not None
    if device.startswith("char-video4linux"):
        return hardware.cameras.source is CameraSource.V4L2
    if device.startswith("char-nvidia"):
        return hardware.compute.accelerator == "cuda"
    return not isinstance(hardware.actuation, SimActuation)
