"""The units around the robot's client, rendered. Pure, as runtime/units.py is; `image_path` is its.

bedplate-mender-conf  writes the client's settings at each boot
bedplate-provides     tells the client what the slot provides, where it does not know
the client            (ota/client.py) has a drop-in: never without its key, never without a server
bedplate-gate         judges the slot of this boot
bedplate-gate-deadline  a gate that hangs while a slot is on trial ends in a restart
bedplate-switch-gate  judges a profile or model; started by the update module
bedplate-commit       tells the client to commit what came from a file
"""

from typing import Final

from conf.schema import Config
from ota.client import COMMAND, UNIT
from ota.commit_gate import GRACE_S
from ota.mender_conf import CERTIFICATE, INVITATION, KEY, MANAGED, UPDATE_KEY
from runtime.sandbox import EVERYWHERE, for_root
from runtime.units import USER, Place

BOOT: Final = "bedplate-boot.service"
DEADLINE_SLACK_S: Final = 60
GATE_WATCHDOG_S: Final = 300  # one look asks systemd, the server and every message
STUCK: Final = "/usr/lib/bedplate/gate-deadline"


def ota_units(config: Config, place: Place) -> dict[str, str]:
    """File name → text, to lie in the units' folder; the names with a slash are drop-ins."""
    deadline_s = config.ota.gate.timeout_s + int(GRACE_S) + DEADLINE_SLACK_S
    return {
        "bedplate-mender-conf.service": _conf(place),
        "bedplate-provides.service": _provides(place),
        "bedplate-gate.service": _gate(place),
        "bedplate-switch-gate.service": _switch_gate(place),
        "bedplate-commit.service": _commit(),
        "bedplate-gate-deadline.service": _deadline(place),
        "bedplate-gate-deadline.timer": _timer(deadline_s),
        f"{UNIT}.d/bedplate.conf": _client(place),
    }


ENABLED: Final = (
    "bedplate-mender-conf.service",
    "bedplate-provides.service",
    "bedplate-gate.service",
    "bedplate-gate-deadline.timer",
    UNIT,
)
"""Wanted by multi-user.target; the others are started by these."""


# Root by name, for systemd's socket, the client's books and the boot environment's sectors, and
# little else. Devices stay open: the sectors lie on one whose name is the board's.
CLOSED: Final = (
    *(line for line in for_root(EVERYWHERE) if not line.startswith("ProtectClock=")),
    "CapabilityBoundingSet=CAP_DAC_OVERRIDE",
    "SystemCallFilter=@system-service",
    "RestrictRealtime=yes",
)


def _text(**sections: list[str]) -> str:
    return "\n".join(f"[{name}]\n" + "\n".join(lines) + "\n" for name, lines in sections.items())


def _module(place: Place, module: str, *words: str) -> str:
    return " ".join([f"ExecStart={place.python} -m {module}", *words])


def _folders(place: Place) -> tuple[str, ...]:
    return (f"--run-dir {place.run}", f"--data-dir {place.data}")


def _conf(place: Place) -> str:
    return _text(
        Unit=[
            "Description=Bedplate: settings of the update client for the slot that runs",
            f"Requires={BOOT}",
            f"After={BOOT} bedplate-controld.service",
            f"Before={UNIT}",
        ],
        Service=[
            "Type=oneshot",
            "RemainAfterExit=yes",
            _module(place, "ota.mender_conf", f"--run-dir {place.run}"),
            f"WorkingDirectory={place.root}",
            *CLOSED,
            f"ReadWritePaths={place.run}",
            "PrivateNetwork=yes",
            "PrivateDevices=yes",
            "RestrictAddressFamilies=AF_UNIX",
        ],
        Install=["WantedBy=multi-user.target"],
    )


def _provides(place: Place) -> str:
    return _text(
        Unit=[
            "Description=Bedplate: what this slot provides, told to the update client",
            "Requires=bedplate-mender-conf.service",
            # Nothing of the robot waits for it, and a small board starts everything at once.
            "After=bedplate-mender-conf.service bedplate.target",
            f"Before={UNIT}",
        ],
        Service=[
            "Type=oneshot",
            "RemainAfterExit=yes",
            _module(place, "ota.provides", f"--data-dir {place.data}"),
            f"WorkingDirectory={place.root}",
            "TimeoutStartSec=900s",
            *CLOSED,
            f"ReadWritePaths={place.run} {place.data} /var/lib/mender",
            "PrivateNetwork=yes",
            "RestrictAddressFamilies=AF_UNIX",
        ],
        Install=["WantedBy=multi-user.target"],
    )


def _gate_service(place: Place) -> list[str]:
    return [
        "Type=notify",
        "NotifyAccess=main",
        _module(place, "ota.gate", *_folders(place), f"--shm {place.shm}"),
        f"WorkingDirectory={place.root}",
        f"Group={USER}",
        "TimeoutStartSec=900s",
        f"WatchdogSec={GATE_WATCHDOG_S}s",
        "UMask=0022",
        "MemoryMax=256M",
        *CLOSED,
        f"ReadWritePaths={place.run} {place.data}",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
    ]


def _gate(place: Place) -> str:
    """It tells the time from the start of the kernel, so a second life has no more of it."""
    return _text(
        Unit=[
            "Description=Bedplate commit gate: whether the slot of this boot may stay",
            f"Requires={BOOT}",
            # What it looks at is there then; its deadline counts from the start of the kernel, and
            # has a timer of its own for a robot that does not get this far.
            f"After={BOOT} bedplate.target",
            "StartLimitIntervalSec=0",
        ],
        Service=[*_gate_service(place), "Restart=on-failure", "RestartSec=5s"],
        Install=["WantedBy=multi-user.target"],
    )


def _switch_gate(place: Place) -> str:
    service = [
        f"{line} --switch" if line.startswith("ExecStart=") else line
        for line in _gate_service(place)
    ]
    return _text(
        Unit=[
            "Description=Bedplate commit gate: whether a switched profile or model may stay",
            f"After={BOOT}",
        ],
        Service=service,
    )


def _commit() -> str:
    return _text(
        Unit=["Description=Bedplate: commits what came from a file and passed its gate"],
        Service=["Type=oneshot", f"ExecStart=/usr/bin/{COMMAND} commit", "TimeoutStartSec=900s"],
    )


def _deadline(place: Place) -> str:
    return _text(
        Unit=["Description=Bedplate: a slot on trial without a pass by its deadline is left"],
        Service=["Type=oneshot", f"ExecStart={STUCK} {place.run}"],
    )


def _timer(after_s: int) -> str:
    """By the machine's clock since its start: no setting of the date moves it."""
    return _text(
        Unit=["Description=Bedplate: the deadline of a slot on trial"],
        Timer=[f"OnBootSec={after_s}s", "AccuracySec=5s"],
        Install=["WantedBy=timers.target"],
    )


def _client(place: Place) -> str:
    """A client whose key cannot be read takes what nobody signed: then it does not start."""
    return _text(
        Unit=[
            f"ConditionPathExists={KEY}",
            f"ConditionPathExists={place.run / MANAGED}",
            "Requires=bedplate-mender-conf.service",
            "After=bedplate-mender-conf.service bedplate-provides.service",
        ],
        # Started before the key that it was told of is there, it waits for ever and says nothing.
        # With the certificate enrolment is over: a key that is not there then will never be.
        Service=[
            "TimeoutStartSec=infinity",
            f"ExecStartPre=/bin/sh -c 'while [ -e {INVITATION} ] && [ ! -e {UPDATE_KEY} ]"
            f" && [ ! -e {CERTIFICATE} ]; do sleep 2; done'",
        ],
    )
