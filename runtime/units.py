"""The table of processes, rendered as systemd units for a robot.

Pure functions from the table and a profile to text; whoever builds the image writes the files.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from conf.schema import Config
from conf.schema.hardware import Cia402Actuation, Realtime
from runtime import can_bus
from runtime.processes import CONTROL_ORDER, ProcessSpec, Tier, find_process, slow_motion_of
from runtime.sandbox import EVERYWHERE, WITHOUT_TMP, for_root, rights, sandbox

USER = "bedplate"
CONTROL_OOM = -900  # the last to go when memory runs out
SLOWED_WATCHDOG_MS = 20_000
START_S = 120
SLOWED_START_S = 900  # in emulation all of them import at once, on one processor
BOOT_MEMORY_MIB = 256
HARDWARE_WATCHDOG_S = 20
SLOWED_HARDWARE_WATCHDOG_S = 120  # where a starved host can keep the whole guest from its turn
REBOOT_WATCHDOG_S = 60
ACCEPTANCE_WISH = "acceptance-wanted"  # on data: how many cycles at most, or nothing
TMPFILES = "/usr/lib/tmpfiles.d/bedplate.conf"
# Not after the system's own folders and devices, as units are that do not say otherwise.
EARLY = ("DefaultDependencies=no", "Conflicts=shutdown.target", "Before=shutdown.target")


@dataclass(frozen=True)
class Place:
    """Where the pieces lie on the machine that the text is for."""

    root: Path
    python: Path
    controld: Path
    run: Path
    data: Path
    shm: Path
    dynamics: Path = Path("/opt/bedplate/bin/dynamics")  # plays the arm where there is no cell
    keep_irqs: Path = Path("/usr/lib/bedplate/keep-irqs")
    fleet: Path = Path()  # the fleet side's folder and broker, in development only
    mosquitto: Path = Path("/usr/sbin/mosquitto")


def robot_place(robot_id: str) -> Place:
    """The layout of the image."""
    root = Path("/opt/bedplate")
    return Place(
        root=root,
        python=root / "venv/bin/python",
        controld=root / "bin/controld",
        run=Path("/run/bedplate"),
        data=Path("/data/bedplate"),
        shm=Path("/dev/shm/bedplate") / robot_id,
    )


def command_line(spec: ProcessSpec, place: Place) -> list[str]:
    if spec.module is not None:
        folders = ["--run-dir", str(place.run), "--data-dir", str(place.data)]
        return [str(place.python), "-m", spec.module, *folders, *_filled(spec, place)]
    return _filled(spec, place)


def _filled(spec: ProcessSpec, place: Place) -> list[str]:
    values = {
        "python": place.python,
        "controld": place.controld,
        "dynamics": place.dynamics,
        "control": place.run / "control.json",
        "run": place.run,
        "data": place.data,
        "shm": place.shm,
        "root": place.root,
        "fleet": place.fleet,
        "mosquitto": place.mosquitto,
    }
    return [
        part.format_map({key: str(path) for key, path in values.items()}) for part in spec.command
    ]


def user_of(spec: ProcessSpec) -> str:
    """Each process has a user of its own, so that it alone can write the messages it owns."""
    return f"{USER}-{spec.name}"


def render_unit(spec: ProcessSpec, config: Config, place: Place) -> str:
    sections = {
        "Unit": _unit_section(spec, config),
        "Service": [
            *_service_lines(spec, config, place),
            *rights(spec, config),
            *sandbox(spec, config, _writable(spec, place)),
        ],
        "Install": ["WantedBy=bedplate.target"],
    }
    return _text(sections)


def render_units(
    processes: tuple[ProcessSpec, ...], config: Config, place: Place
) -> dict[str, str]:
    """File name → text of everything systemd needs to run the robot; `image_path` says where."""
    chosen = [spec for spec in processes if spec.runs(config)]
    files = {f"bedplate-{spec.name}.service": render_unit(spec, config, place) for spec in chosen}
    files["bedplate-boot.service"] = _boot_unit(chosen, config.hardware.realtime, place)
    files["bedplate-accept.service"] = _accept_unit(place)
    if isinstance(config.hardware.actuation, Cia402Actuation):
        files[can_bus.UNIT] = _text(can_bus.sections(config.hardware.actuation))
    files["bedplate-kernel.service"] = _kernel_unit(place)
    files["bedplate-enrol.service"] = _enrol_unit(place)
    files["bedplate.target"] = _target(files)
    files["sysusers.d/bedplate.conf"] = _sysusers(chosen)
    files["tmpfiles.d/bedplate.conf"] = _tmpfiles(place)
    files["system.conf.d/bedplate.conf"] = _manager(slow_motion_of(config))
    return files


def image_path(name: str) -> str:
    """Where a rendered file lies in the image, from its root."""
    folder = name.split("/")[0]
    if folder in ("sysusers.d", "tmpfiles.d"):
        return f"usr/lib/{name}"
    return f"usr/lib/systemd/{name}" if "/" in name else f"usr/lib/systemd/system/{name}"


def _text(sections: dict[str, list[str]]) -> str:
    return "\n".join(f"[{name}]\n" + "\n".join(lines) + "\n" for name, lines in sections.items())


def _unit_section(spec: ProcessSpec, config: Config) -> list[str]:
    lines = [
        f"Description=Bedplate {spec.name}, tier {spec.tier.value}",
        "PartOf=bedplate.target",
        *_when(spec, config),
        # Without a profile that was checked there is nothing to run.
        "Requires=bedplate-boot.service",
        "After=bedplate-boot.service bedplate-accept.service",
        f"StartLimitIntervalSec={spec.restart.burst_s}",
        f"StartLimitBurst={spec.restart.burst}",
    ]
    if spec.name == "controld":
        # A robot whose control cannot be kept alive is reset; everything else may fail by itself.
        # What plays its arm, where something does, is there before it looks for sensors.
        return [
            *lines,
            f"After=bedplate-dynamics.service {can_bus.UNIT}",
            "StartLimitAction=reboot-force",
            "FailureAction=reboot-force",
        ]
    if spec.start_order < CONTROL_ORDER:
        return lines
    return [*lines, "Wants=bedplate-controld.service", "After=bedplate-controld.service"]


def _when(spec: ProcessSpec, config: Config) -> tuple[str, ...]:
    """Control and what plays its arm use files of their own only, so nothing else of the system is
    waited for. Real drives are reached by devices: there udev and its rules come before."""
    if spec.starts_with_control and not isinstance(config.hardware.actuation, Cia402Actuation):
        return EARLY
    return ()


def _service_lines(spec: ProcessSpec, config: Config, place: Place) -> list[str]:
    lines = [
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={' '.join(command_line(spec, place))}",
        f"WorkingDirectory={place.root}",
        f"User={user_of(spec)}",
        f"Group={USER}",
        f"Restart={spec.restart.when.value}",
        # A start that is tried again is no failure yet: the failure action waits for the last one.
        "RestartMode=direct",
        f"RestartSec={spec.restart.delay_ms}ms",
        f"TimeoutStartSec={SLOWED_START_S if slow_motion_of(config) > 1 else START_S}s",
        f"TimeoutStopSec={spec.stop_s}s",
        "UMask=0027",
        f"OOMScoreAdjust={CONTROL_OOM if spec.tier is Tier.CONTROL else 0}",
    ]
    if spec.watchdog_ms is not None:
        lines.append(f"WatchdogSec={_watchdog_ms(spec.watchdog_ms, slow_motion_of(config))}ms")
    lines.extend(f"Environment={key}={value}" for key, value in spec.environment)
    return lines


def _writable(spec: ProcessSpec, place: Place) -> tuple[str, ...]:
    folders = [place.run, *([place.data] if spec.keeps else []), place.shm]
    return tuple(str(folder) for folder in folders)


def _boot_unit(chosen: list[ProcessSpec], realtime: Realtime, place: Place) -> str:
    """Before all others, as root: it hands out the profile and makes every message its owner's.
    The CPUs kept free for control are idle until then, and all else starts on the others: it uses
    them, and leaves them before control starts."""
    owners = [f"--own {topic}={user_of(spec)}" for spec in chosen for topic in spec.writes]
    command = f"{place.python} -m runtime.boot --run-dir {place.run} --data-dir {place.data}"
    kept_free = realtime.isolated_cpus
    if kept_free:
        command += f" --then-cpus {','.join(str(cpu) for cpu in sorted(realtime.shared_cpus))}"
    service = [
        "Type=notify",
        "NotifyAccess=main",
        "RemainAfterExit=yes",
        f"ExecStartPre=+/usr/bin/systemd-tmpfiles --create {TMPFILES}",
        f"ExecStart={' '.join([command, f'--shm {place.shm}', *owners])}",
        f"WorkingDirectory={place.root}",
        f"Group={USER}",
        f"TimeoutStartSec={START_S}s",
        *([f"CPUAffinity={' '.join(str(cpu) for cpu in kept_free)}"] if kept_free else []),
        "UMask=0022",
        *for_root(WITHOUT_TMP),
        "CapabilityBoundingSet=CAP_CHOWN CAP_FOWNER CAP_DAC_OVERRIDE",
        f"ReadWritePaths={place.run} {place.shm}",
        f"ReadOnlyPaths=-{place.data}",
        "SystemCallFilter=@system-service",
        "RestrictAddressFamilies=AF_UNIX",
        "IPAddressDeny=any",
        "RestrictRealtime=yes",
        "DevicePolicy=closed",
        "PrivateDevices=yes",
        f"MemoryMax={BOOT_MEMORY_MIB}M",
    ]
    unit = [
        "Description=Bedplate boot: the profile handed out, the machine compared with it",
        *EARLY,
        "Requires=local-fs.target",
        # Control comes first: the rest of the system is not waited for.
        "After=local-fs.target",
        "Before=bedplate.target",
    ]
    return _text({"Unit": unit, "Service": service, "Install": ["WantedBy=bedplate.target"]})


def _kernel_unit(place: Place) -> str:
    """The running kernel compared with the profile; what it finds, the boot report tells."""
    unit = [
        "Description=Bedplate kernel: the running one compared with the profile",
        "Requires=bedplate-boot.service",
        # Drivers place their interrupts when their device comes up.
        # And nothing takes time from control's start.
        "After=bedplate-boot.service bedplate-controld.service network.target",
    ]
    files = f"--profile {place.run / 'profile.json'} --out {place.run / 'kernel.json'}"
    service = [
        "Type=oneshot",
        "RemainAfterExit=yes",
        f"ExecStartPre=+{place.keep_irqs}",
        f"ExecStart={place.python} -m rt_kernel.verify {files}",
        f"WorkingDirectory={place.root}",
        f"User={user_of(find_process('agentd'))}",
        f"Group={USER}",
        "UMask=0022",
        *EVERYWHERE,
        f"ReadWritePaths={place.run}",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@privileged @resources",
        "RestrictAddressFamilies=AF_UNIX",
        "IPAddressDeny=any",
        "PrivateNetwork=yes",
        "RestrictRealtime=yes",
        "DevicePolicy=closed",
        "PrivateDevices=yes",
        f"MemoryMax={BOOT_MEMORY_MIB}M",
    ]
    return _text({"Unit": unit, "Service": service, "Install": ["WantedBy=bedplate.target"]})


def _accept_unit(place: Place) -> str:
    """Once, where a robot was flashed with the wish for it: before anything of the robot runs, its
    deadlines are measured as its profile declares. What is said goes to the serial port too."""
    unit = [
        "Description=Bedplate acceptance: the deadlines, before the robot starts",
        *EARLY,  # who waits for it waits for nothing else
        f"ConditionPathExists={place.data}/{ACCEPTANCE_WISH}",
        "Requires=bedplate-boot.service",
        "After=bedplate-boot.service",
    ]
    service = [
        "Type=oneshot",
        f"ExecStart={place.python} -m runtime.acceptance.once --data-dir {place.data}",
        f"WorkingDirectory={place.root}",
        "TimeoutStartSec=infinity",
        f"Environment=TMPDIR={place.data}",
        "StandardOutput=journal+console",
        "StandardError=journal+console",
        "UMask=0022",
        *for_root(WITHOUT_TMP),
        "CapabilityBoundingSet=CAP_SYS_NICE CAP_IPC_LOCK",
        "LimitRTPRIO=99",
        "LimitMEMLOCK=infinity",
        f"ReadWritePaths={place.data} /dev/shm",
        "RestrictAddressFamilies=AF_UNIX AF_INET",
        "IPAddressDeny=any",
        "IPAddressAllow=localhost",
        "DevicePolicy=closed",
        "DeviceAllow=/dev/cpu_dma_latency rw",
    ]
    return _text({"Unit": unit, "Service": service, "Install": ["WantedBy=bedplate.target"]})


def _enrol_unit(place: Place) -> str:
    """Until the fleet knows this robot: keys are made, a certificate is asked for. As telemetryd,
    whose keys they are. The robot works meanwhile, and keeps its records. It asks again until it
    is heard, so nothing waits for the network: a robot without one has no failed unit."""
    row = find_process("telemetryd")
    unit = [
        "Description=Bedplate enrolment: this robot's keys, and the fleet's certificate for them",
        f"ConditionPathExists={place.data}/enrolment.json",
        f"ConditionPathExists=!{place.data}/pki/robot.crt",
        "After=bedplate-boot.service bedplate-controld.service",
        "StartLimitIntervalSec=0",
    ]
    command = f"{place.python} -m runtime.enrol --data-dir {place.data}"
    service = [
        "Type=exec",
        f"TimeoutStartSec={SLOWED_START_S}s",
        f"ExecStart={command}",
        f"WorkingDirectory={place.root}",
        f"User={user_of(row)}",
        f"Group={USER}",
        "Restart=on-failure",
        "RestartSec=10s",
        "RestartPreventExitStatus=2",  # a token that the fleet refuses for good
        "UMask=0077",
        *EVERYWHERE,
        f"ReadWritePaths={place.data}",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@privileged @resources",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
        "RestrictRealtime=yes",
        "DevicePolicy=closed",
        "PrivateDevices=yes",
        f"MemoryMax={BOOT_MEMORY_MIB}M",
    ]
    return _text({"Unit": unit, "Service": service, "Install": ["WantedBy=bedplate.target"]})


def _target(services: Iterable[str]) -> str:
    wants = " ".join(services)
    unit = f"[Unit]\nDescription=Bedplate: one robot\nWants={wants}\n"
    return f"{unit}\n[Install]\nWantedBy=multi-user.target\n"


def _manager(slow_motion: int) -> str:
    """systemd alone opens the hardware watchdog, and feeds it while it runs. controld's WatchdogSec
    is what a hung control process misses; restarts that do not help end in a forced reset, and a
    reset that hangs is ended by the hardware."""
    slowed = slow_motion > 1
    fed_s = SLOWED_HARDWARE_WATCHDOG_S if slowed else HARDWARE_WATCHDOG_S
    reset_s = max(fed_s, REBOOT_WATCHDOG_S)
    lines = [
        f"RuntimeWatchdogSec={fed_s}s",
        f"RebootWatchdogSec={reset_s}s",
        f"KExecWatchdogSec={reset_s}s",
        "CtrlAltDelBurstAction=none",
        *([f"DefaultDeviceTimeoutSec={SLOWED_START_S}s"] if slowed else []),
    ]
    return "[Manager]\n" + "\n".join(lines) + "\n"


def _watchdog_ms(watchdog_ms: int, slow_motion: int) -> int:
    """What a process does in its own time takes longer on the clock of a slowed guest; and there
    systemd itself, which reads the answers, gets no turn for seconds while Python starts."""
    return max(watchdog_ms * slow_motion, SLOWED_WATCHDOG_MS) if slow_motion > 1 else watchdog_ms


def _sysusers(chosen: list[ProcessSpec]) -> str:
    lines = [f"g {USER} -"]
    lines += [f'u {user_of(spec)} - "Bedplate {spec.name}" - -' for spec in chosen]
    lines += [f"m {user_of(spec)} {USER}" for spec in chosen]
    return "\n".join(lines) + "\n"


def _tmpfiles(place: Place) -> str:
    # Sticky: everyone in the group makes its own files, nobody removes another's.
    folders = [place.run, place.run / "log", place.data, place.shm.parent, place.shm]
    lines = [f"d {folder} 3775 root {USER} -" for folder in folders]
    lines.append(f"d {place.data / 'pki'} 0750 {user_of(find_process('telemetryd'))} {USER} -")
    lines.append(f"L+ {place.run / 'shm'} - - - - {place.shm}")
    return "\n".join(lines) + "\n"
