"""The table of processes, rendered: systemd units for a robot, a supervisor file for development.

Pure functions from the table and a profile to text; whoever builds the image writes the files.
"""

from dataclasses import dataclass
from pathlib import Path

from conf.schema import Config
from runtime.processes import Policy, ProcessSpec, Restart, wanted_thread

MEMORY_CEILING = 3  # times the budget: beyond that it is a leak, not a load
USER = "bedplate"


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
        "Unit": _unit_section(spec),
        "Service": [
            *_service_lines(spec, place),
            *_right_lines(spec, config),
            *_sandbox(spec, place),
        ],
        "Install": ["WantedBy=bedplate.target"],
    }
    return "\n".join(f"[{name}]\n" + "\n".join(lines) + "\n" for name, lines in sections.items())


def render_units(
    processes: tuple[ProcessSpec, ...], config: Config, place: Place
) -> dict[str, str]:
    """File name → text of everything systemd needs to run the robot."""
    chosen = [spec for spec in processes if spec.runs(config)]
    files = {f"bedplate-{spec.name}.service": render_unit(spec, config, place) for spec in chosen}
    files["bedplate.target"] = _target(chosen)
    files["sysusers.d/bedplate.conf"] = _sysusers(chosen)
    files["tmpfiles.d/bedplate.conf"] = _tmpfiles(place)
    return files


def _unit_section(spec: ProcessSpec) -> list[str]:
    lines = [
        f"Description=Bedplate {spec.name}, tier {spec.tier.value}",
        "PartOf=bedplate.target",
        f"StartLimitIntervalSec={spec.restart.burst_s}",
        f"StartLimitBurst={spec.restart.burst}",
    ]
    if spec.name == "controld":
        # A robot whose control cannot be kept alive is reset; everything else may fail by itself.
        return [*lines, "StartLimitAction=reboot-force", "FailureAction=reboot-force"]
    return [*lines, "Wants=bedplate-controld.service", "After=bedplate-controld.service"]


def _service_lines(spec: ProcessSpec, place: Place) -> list[str]:
    lines = [
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={' '.join(command_line(spec, place))}",
        f"WorkingDirectory={place.root}",
        f"User={user_of(spec)}",
        f"Group={USER}",
        f"Restart={spec.restart.when.value}",
        f"RestartSec={spec.restart.delay_ms}ms",
        f"TimeoutStopSec={spec.stop_s}s",
        "UMask=0027",
    ]
    if spec.watchdog_ms is not None:
        lines.append(f"WatchdogSec={spec.watchdog_ms}ms")
    lines.extend(f"Environment={key}={value}" for key, value in spec.environment)
    return lines


def _right_lines(spec: ProcessSpec, config: Config) -> list[str]:
    """Scheduling: the unit grants the right, the process itself asks and reports what it got."""
    lines = [f"MemoryMax={spec.budget.memory_mib * MEMORY_CEILING}M", "RemoveIPC=no"]
    wanted, cpus = wanted_thread(spec, config)
    if cpus:
        lines.append(f"CPUAffinity={' '.join(str(cpu) for cpu in sorted(cpus))}")
    if wanted.nice:
        lines.append(f"Nice={wanted.nice}")
    if wanted.policy is not Policy.FIFO:
        return [*lines, "RestrictRealtime=yes", "CapabilityBoundingSet="]
    return [
        *lines,
        f"LimitRTPRIO={wanted.priority}",
        "LimitMEMLOCK=infinity",
        "AmbientCapabilities=CAP_SYS_NICE CAP_IPC_LOCK",
        "CapabilityBoundingSet=CAP_SYS_NICE CAP_IPC_LOCK",
    ]


def _sandbox(spec: ProcessSpec, place: Place) -> list[str]:
    families = ["AF_UNIX"]
    if spec.network:
        families += ["AF_INET", "AF_INET6"]
    if spec.name == "controld":
        families += ["AF_CAN", "AF_NETLINK"]
    lines = [
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        f"ReadWritePaths={place.run} {place.data} {place.shm}",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "ProtectKernelTunables=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelLogs=yes",
        "ProtectControlGroups=yes",
        "ProtectHostname=yes",
        "ProtectClock=yes",
        "RestrictNamespaces=yes",
        "RestrictSUIDSGID=yes",
        "LockPersonality=yes",
        "SystemCallArchitectures=native",
        "SystemCallFilter=@system-service",
        "SystemCallErrorNumber=EPERM",
        f"RestrictAddressFamilies={' '.join(families)}",
        "DevicePolicy=closed",
    ]
    lines.extend(f"DeviceAllow={device} rw" for device in spec.devices)
    if spec.groups:
        lines.append(f"SupplementaryGroups={' '.join(spec.groups)}")
    if spec.module is None:
        lines.append("MemoryDenyWriteExecute=yes")  # inference libraries make code at run time
    return lines


def _target(chosen: list[ProcessSpec]) -> str:
    wants = " ".join(f"bedplate-{spec.name}.service" for spec in chosen)
    unit = f"[Unit]\nDescription=Bedplate: one robot\nWants={wants}\n"
    return f"{unit}\n[Install]\nWantedBy=multi-user.target\n"


def _sysusers(chosen: list[ProcessSpec]) -> str:
    lines = [f"g {USER} -"]
    lines += [f'u {user_of(spec)} - "Bedplate {spec.name}" - -' for spec in chosen]
    lines += [f"m {user_of(spec)} {USER}" for spec in chosen]
    return "\n".join(lines) + "\n"


def _tmpfiles(place: Place) -> str:
    # Sticky: everyone in the group makes its own files, nobody removes another's.
    folders = [place.run, place.run / "log", place.data, place.shm.parent, place.shm]
    lines = [f"d {folder} 3775 root {USER} -" for folder in folders]
    lines.append(f"L+ {place.run / 'shm'} - - - - {place.shm}")
    return "\n".join(lines) + "\n"


def render_supervisor(
    processes: tuple[ProcessSpec, ...], config: Config, place: Place, extra: str = ""
) -> str:
    """Supervisor's file for machines where systemd is not PID 1; `extra` holds foreign programs."""
    head = f"""[unix_http_server]
file={_literal(place.run / "supervisor.sock")}
chmod=0600

[supervisord]
nodaemon=true
logfile={_literal(place.run / "log/supervisord.log")}
logfile_maxbytes=1MB
logfile_backups=1
loglevel=info
pidfile={_literal(place.run / "supervisord.pid")}
directory={_literal(place.root)}
childlogdir={_literal(place.run / "log")}
minfds=1024

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{_literal(place.run / "supervisor.sock")}
"""
    programs = [render_program(spec, place) for spec in processes if spec.runs(config)]
    return "\n".join([head, *programs, extra])


def render_program(spec: ProcessSpec, place: Place) -> str:
    restart = "true" if spec.restart.when is Restart.ALWAYS else "unexpected"
    command = " ".join(_quoted(part) for part in command_line(spec, place))
    environment = ",".join(f'{key}="{value}"' for key, value in spec.environment)
    lines = [
        f"[program:{spec.name}]",
        f"command={command}",
        f"priority={spec.start_order}",
        f"autorestart={restart}",
        "startsecs=1",
        f"startretries={spec.restart.burst}",
        "stopsignal=TERM",
        f"stopwaitsecs={spec.stop_s}",
        "stopasgroup=false",
        "killasgroup=true",
        "redirect_stderr=true",
        f"stdout_logfile={_literal(place.run / 'log' / (spec.name + '.log'))}",
        "stdout_logfile_maxbytes=5MB",
        "stdout_logfile_backups=1",
    ]
    if environment:
        lines.append(f"environment={_literal(environment)}")
    return "\n".join(lines) + "\n"


def _literal(value: object) -> str:
    return str(value).replace("%", "%%")


def _quoted(part: str) -> str:
    safe = _literal(part)
    return f'"{safe}"' if " " in safe else safe
