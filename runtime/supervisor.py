"""The table of processes, rendered for machines where systemd is not PID 1: a supervisor file."""

from conf.schema import Config
from runtime.processes import ProcessSpec, Restart
from runtime.units import Place, command_line


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
