"""What makes Debian's root this robot's: settings, units, accounts, firewall, the profile.

The last and smallest layer; after a change of YAML it is the only one that is made again.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from conf.control import control_bytes
from conf.profile import profile_bytes
from conf.schema import Config
from image.layers import Entry
from image.persistence import check
from image.ports import firewall, ports
from image.refusal import refused
from image.steps.accounts import account_entries
from runtime.processes import PROCESSES, ProcessSpec
from runtime.units import image_path, render_units, robot_place
from sim.processes import SIM_PROCESSES

FILES = Path(__file__).resolve().parents[1] / "files"
LIBRARY = "usr/lib/bedplate"
UNITS = "usr/lib/systemd/system"
WANTS = "etc/systemd/system"
# Of the simulator's rows those that a guest in emulation runs instead of an arm and cameras.
GUEST_ROWS = ("dynamics", "replayd")

STATIC: Mapping[str, tuple[str, int]] = {
    f"{LIBRARY}/preinit": ("preinit", 0o755),
    "usr/bin/bedplate": ("bedplate", 0o755),
    f"{LIBRARY}/grow-data": ("grow-data", 0o755),
    f"{LIBRARY}/keep-irqs": ("keep-irqs", 0o755),
    f"{UNITS}/bedplate-grow.service": ("bedplate-grow.service", 0o644),
    f"{UNITS}/bedplate-ssh-keys.service": ("bedplate-ssh-keys.service", 0o644),
    "etc/ssh/sshd_config.d/10-bedplate.conf": ("sshd.conf", 0o644),
    "etc/sudoers.d/operator": ("sudoers", 0o440),
    "etc/systemd/journald.conf.d/bedplate.conf": ("journald.conf", 0o644),
    "etc/systemd/network/10-wired.network": ("network.network", 0o644),
    "etc/systemd/networkd.conf.d/bedplate.conf": ("networkd.conf", 0o644),
    "etc/systemd/resolved.conf.d/bedplate.conf": ("resolved.conf", 0o644),
    "etc/systemd/timesyncd.conf.d/bedplate.conf": ("timesyncd.conf", 0o644),
    "usr/lib/tmpfiles.d/bedplate-image.conf": ("tmpfiles.conf", 0o644),
}
FOLDERS: Mapping[str, int] = {
    "boot": 0o755,
    "boot/efi": 0o755,
    "data": 0o755,
    "etc/sudoers.d": 0o750,
    "root": 0o700,
}
ENABLED: Mapping[str, str] = {
    f"{WANTS}/multi-user.target.wants/bedplate-grow.service": "bedplate-grow.service",
    f"{WANTS}/multi-user.target.wants/bedplate.target": "bedplate.target",
    f"{WANTS}/multi-user.target.wants/systemd-networkd.service": "systemd-networkd.service",
    f"{WANTS}/ssh.service.wants/bedplate-ssh-keys.service": "bedplate-ssh-keys.service",
    f"{WANTS}/sysinit.target.wants/nftables.service": "nftables.service",
}
# Units of Debian's that would write to the slot, or have nothing to do on a robot.
MASKED_UNITS = (
    "dpkg-db-backup.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.service",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "getty@tty1.service",
    "ldconfig.service",
    "ssh.socket",
    "sshd-keygen.service",
    "systemd-firstboot.service",
    "systemd-hostnamed.service",
    "systemd-hostnamed.socket",
    "systemd-journal-catalog-update.service",
    "systemd-localed.service",
    "systemd-logind.service",
    "systemd-machine-id-commit.service",
    "systemd-sysusers.service",
    "systemd-timedated.service",
    "systemd-update-done.service",
)
MASKED_TMPFILES = (
    "20-systemd-shell-extra.conf",
    "20-systemd-ssh-generator.conf",
    "credstore.conf",
    "debian.conf",
    "provision.conf",
)
PLAIN: Mapping[str, str] = {
    "etc/fstab": "# Data is mounted before systemd starts: /usr/lib/bedplate/preinit.\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n",
    "etc/machine-id": "uninitialized\n",
    "usr/lib/clock-epoch": "",  # its time is the least that systemd sets a clock without power to
}
LINKS: Mapping[str, str] = {
    "etc/resolv.conf": "../run/systemd/resolve/resolv.conf",
}


def robot_rows(config: Config) -> tuple[ProcessSpec, ...]:
    """The processes of this robot; in an emulated guest also those that play its arm and eyes."""
    guests = [row for row in SIM_PROCESSES if row.name in GUEST_ROWS and row.runs(config)]
    return (*guests, *PROCESSES)


def all_rows() -> tuple[ProcessSpec, ...]:
    """Every process an image can hold, in an order that only ever grows at its end."""
    return (*PROCESSES, *(row for row in SIM_PROCESSES if row.name in GUEST_ROWS))


def entries(config: Config, accounts: Mapping[str, str], there: frozenset[str]) -> list[Entry]:
    """The layer; `there` are the paths that Debian's already has."""
    found = [
        *(Entry.copy(path, FILES / name, mode) for path, (name, mode) in STATIC.items()),
        *(Entry(path=path, mode=mode) for path, mode in FOLDERS.items() if path not in there),
        *(Entry.link(path, f"/{UNITS}/{unit}") for path, unit in ENABLED.items()),
        *(Entry.link(f"{WANTS}/{unit}", "/dev/null") for unit in MASKED_UNITS),
        *(Entry.link(f"etc/tmpfiles.d/{name}", "/dev/null") for name in MASKED_TMPFILES),
        *(Entry.file(path, text) for path, text in PLAIN.items()),
        *(Entry.link(path, target) for path, target in LINKS.items()),
        *account_entries(accounts, all_rows()),
        *unit_entries(config),
        Entry.file(f"{LIBRARY}/profile.json", profile_bytes(config)),
        Entry.file(f"{LIBRARY}/control.json", control_bytes(config)),
        Entry.file(
            "etc/nftables.conf",
            firewall((FILES / "nftables.conf.in").read_text(encoding="utf-8"), ports()),
            mode=0o755,
        ),
    ]
    return [entry for entry in found if not _is_shadowed(entry, there)]


def _is_shadowed(entry: Entry, there: frozenset[str]) -> bool:
    """An enabling link that Debian made itself is left to Debian."""
    return entry.path in there and entry.target is not None


def unit_entries(config: Config) -> list[Entry]:
    """What runtime/units.py renders, where systemd looks for it."""
    rendered = render_units(robot_rows(config), config, robot_place(config.robot_id))
    return [Entry.file(image_path(name), text) for name, text in rendered.items()]


def check_written(texts: Mapping[str, str], layer: Sequence[Entry]) -> None:
    """Refuses what would be written where it does not outlive an update."""
    masked = {f"{UNITS}/{unit}" for unit in MASKED_UNITS}
    masked |= {f"usr/lib/tmpfiles.d/{name}" for name in MASKED_TMPFILES}
    known = {name: text for name, text in texts.items() if name not in masked}
    for entry in layer:
        if entry.data is not None:
            known[entry.path] = entry.data.decode(errors="replace")
        elif entry.source is not None and entry.source.parent == FILES:
            known[entry.path] = entry.source.read_text(encoding="utf-8")
    wanted = ("/system/", "tmpfiles", "sshd_config")
    check({name: text for name, text in known.items() if any(part in name for part in wanted)})


def check_board(config: Config) -> None:
    """An image is for the robot's processor; the profile of a development machine has none."""
    if config.hardware.arch.value != "aarch64":
        raise refused(
            f"conf/hardware/{config.hardware.name}.yaml",
            f"arch: {config.hardware.arch.value}",
            "images are made for arm64 boards; this profile is for running on the machine itself",
            "make image HARDWARE=qemu_arm64  or a board of your own with arch: aarch64",
        )
