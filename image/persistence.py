"""What outlives an update, what a boot makes anew, and what must be in neither.

A slot is replaced as a whole and its root is read-only, so whatever is written at run time lies on
the data partition (`/data`, and `/var` and `/home`, which are parts of it) or in memory. What
packages or units would write elsewhere is found at build time.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from image.refusal import BuildRefused, Problem

# Seen from the root of the slot. The first are on the data partition, the others in memory.
ON_DATA = ("/data", "/var", "/home")
IN_MEMORY = ("/run", "/tmp", "/dev", "/proc", "/sys")  # names of places, nothing is made

# What packages leave in /var while they are configured, and why no robot misses it.
LEFT_BEHIND: Mapping[str, str] = {
    "var/backups": "empty folder; tmpfiles makes what is needed",
    "var/cache": "made again by whoever wants it",
    "var/lib/apt": "there is no apt on a robot",
    "var/lib/dbus": "a link to the machine's identity, made at boot",
    "var/lib/mender": "the update client's own book-keeping; made at boot",
    "var/lib/misc": "empty folder",
    "var/lib/pam": "what pam-auth-update asked; it never runs on a robot",
    "var/lib/private": "made at boot",
    "var/lib/python": "lists Pythons for package scripts",
    "var/lib/shells.state": "for package scripts",
    "var/lib/sudo": "who has been lectured",
    "var/lib/systemd": "made at boot; what Debian's scripts enabled is in /etc",
    "var/lib/ucf": "for package scripts",
    "var/lib/vim": "for package scripts",
    "var/lib/wtmpdb": "logins; made at boot",
    "var/local": "empty folder",
    "var/lock": "link, made at boot",
    "var/log": "made at boot",
    "var/mail": "nobody gets mail",
    "var/opt": "empty folder",
    "var/run": "link, made at boot",
    "var/spool": "nobody gets mail",
    "var/tmp": "made at boot",
}
DPKG = "var/lib/dpkg"  # belongs to the slot, not to the robot: moved to /usr


@dataclass(frozen=True, kw_only=True)
class Exempt:
    """A path written outside both, and why that is right."""

    path: str
    reason: str


EXEMPT: tuple[Exempt, ...] = (
    Exempt(path="/etc/machine-id", reason="laid over from data before systemd starts"),
    Exempt(path="/boot", reason="Debian's tmpfiles name it for snapshots; nothing writes there"),
    Exempt(path="/root", reason="no one works as root; sudo keeps its users in /home"),
    Exempt(path="/srv", reason="Debian's empty folder"),
    Exempt(path="/etc/mtab", reason="a link in the image"),
    Exempt(path="/etc/resolv.conf", reason="a link to memory in the image"),
)

_UNIT_FOLDERS = {
    "RuntimeDirectory": "/run",
    "StateDirectory": "/var/lib",
    "CacheDirectory": "/var/cache",
    "LogsDirectory": "/var/log",
    "ConfigurationDirectory": "/etc",
}
_UNIT_LINE = re.compile(
    r"^(ReadWritePaths|PIDFile|RuntimeDirectory|StateDirectory|CacheDirectory|LogsDirectory"
    r"|ConfigurationDirectory)=(.*)$",
    re.M,
)
_TMPFILES_LINE = re.compile(r"^([a-zA-Z])[-+!=~^$]*\s+(/\S+)(.*)$", re.M)
_WRITES = frozenset("fFwdDevqQpLcbC")
_CONFIG_LINE = re.compile(r"^\s*(HostKey|PidFile)\s+(/\S+)", re.M)


def survives(path: str) -> bool | None:
    """True: on data. False: gone with the power, as it should be. None: neither."""
    if _below(path, ON_DATA):
        return True
    if _below(path, IN_MEMORY):
        return False
    return None


def _below(path: str, places: Iterable[str]) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)


def written_paths(texts: Mapping[str, str]) -> dict[str, str]:
    """Path → the file that says it is written, from units, tmpfiles and sshd's settings."""
    found: dict[str, str] = {}
    for name, text in sorted(texts.items()):
        for path in _written_by(name, text):
            found.setdefault(path, name)
    return found


def _written_by(name: str, text: str) -> Iterable[str]:
    if "tmpfiles.d/" in name:
        for kind, path, rest in _TMPFILES_LINE.findall(text):
            if kind in _WRITES and not _is_link_into_memory(kind, rest):
                yield path
    elif "sshd_config" in name:
        yield from (path for _, path in _CONFIG_LINE.findall(text))
    else:
        yield from _written_by_unit(text)


def _is_link_into_memory(kind: str, rest: str) -> bool:
    return kind == "L" and "/run/" in rest


def _written_by_unit(text: str) -> Iterable[str]:
    for key, value in _UNIT_LINE.findall(text):
        for word in value.split():
            word = word.lstrip("-+").split(":")[0]
            if key in _UNIT_FOLDERS:
                yield f"{_UNIT_FOLDERS[key]}/{word}"
            elif word.startswith("/"):
                yield word


def check(texts: Mapping[str, str], exempt: Iterable[Exempt] = EXEMPT) -> None:
    """Refuses an image in which something writes where it cannot, or where it is lost."""
    allowed = tuple(row.path for row in exempt)
    problems = [
        Problem(
            path,
            f"{name} has it written at run time",
            "the root is read-only and replaced by an update: this would fail, or be lost",
            "write below /data or /var, or add a row with the reason to image/persistence.py",
        )
        for path, name in written_paths(texts).items()
        if survives(path) is None and not _below(path, allowed)
    ]
    if problems:
        raise BuildRefused(problems)


def stray(names: Iterable[str]) -> list[str]:
    """Paths that packages left in /var and that no row speaks of."""
    known = (*LEFT_BEHIND, DPKG, "var/lib/bedplate")
    return [
        name
        for name in names
        if name.startswith("var/") and name != "var/lib" and not _below(name, known)
    ]
