"""Debian's root as a layer: checked against the lock, freed of what differs from build to build."""

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from image.cache import Cache
from image.layers import Layer, normal
from image.lockfile import PackageSet
from image.persistence import DPKG, LEFT_BEHIND, stray
from image.refusal import BuildRefused, Problem, refused
from image.steps.root import make_root, root_recipe, status_versions
from image.steps.tools import Tools
from image.twins import X86_64, elf_machine

DPKG_PLACE = "usr/lib/bedplate/dpkg"
# Written by a later layer, different on every machine, or of no use in a slot.
LEFT_OUT = frozenset(
    {
        "etc/.pwd.lock",
        "etc/apt",
        "etc/environment",
        "etc/fstab",
        "etc/group",
        "etc/group-",
        "etc/gshadow",
        "etc/gshadow-",
        "etc/hostname",
        "etc/hosts",
        "etc/ld.so.cache~",
        "etc/machine-id",
        "etc/nftables.conf",
        "etc/passwd",
        "etc/passwd-",
        "etc/resolv.conf",
        "etc/shadow",
        "etc/shadow-",
        "etc/subgid",
        "etc/subgid-",
        "etc/subuid",
        "etc/subuid-",
        "etc/sudoers.d",
        "root",
        # Kept by whoever imported it first, with marks of what else that program held in memory.
        "usr/share/python3/debpython/__pycache__",
    }
)
EMPTIED = ("dev", "proc", "run", "sys", "tmp", "var")  # folders stay, what is in them does not
TEXT_PLACES = ("usr/lib/systemd/system/", "usr/lib/tmpfiles.d/", "etc/systemd/", "etc/ssh/sshd_")
ACCOUNT_FILES = ("passwd", "group", "shadow", "gshadow")


@dataclass(frozen=True)
class Base:
    """Debian's layer, and what later steps need to know of it."""

    layer: Layer
    accounts: dict[str, str]
    texts: dict[str, str]
    status: str
    links: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(normal(member.name) for member in self.layer.members())


def base(packages: PackageSet, tools: Tools, cache: Cache, epoch: int) -> Base:
    """From the cache, or made in a minute."""

    def build(work: Path) -> None:
        raw = work / "raw.tar"
        with cache.workspace("root") as scratch:
            make_root(packages, tools, cache, scratch, raw, epoch)
        facts = normalise(raw, work / "root.tar")
        check_status(str(facts["status"]), packages)
        (work / "facts.json").write_text(json.dumps(facts))
        raw.unlink()

    folder = cache.make("root", root_recipe(packages, epoch), build)
    facts = json.loads((folder / "facts.json").read_text())
    layer = Layer("debian", folder / "root.tar")
    return Base(layer, facts["accounts"], facts["texts"], facts["status"], tuple(facts["links"]))


def root_is_cached(packages: PackageSet, cache: Cache, epoch: int) -> bool:
    return cache.made("root", root_recipe(packages, epoch)).is_dir()


def normalise(raw: Path, target: Path) -> dict[str, object]:
    """Writes the layer; what must be known of the files that are left out, and all unit files."""
    accounts: dict[str, str] = {}
    texts: dict[str, str] = {}
    links: list[str] = []
    status = ""
    foreign: list[str] = []
    strays: list[str] = []
    with (
        tarfile.open(raw) as source,
        tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as out,
    ):
        for member in _sorted(source):
            name = normal(member.name)
            strays += stray([name])
            stream = source.extractfile(member) if member.isreg() else None
            data = stream.read() if stream else b""
            if elf_machine(data[:20]) == X86_64:
                foreign.append(f"/{name}")
            if name.removeprefix("etc/") in ACCOUNT_FILES:
                accounts[name.removeprefix("etc/")] = data.decode()
            if name == f"{DPKG}/status":
                status = data.decode()
            if data and name.startswith(TEXT_PLACES):
                texts[name] = data.decode(errors="replace")
            if member.issym() and name.startswith("etc/systemd/"):
                links.append(name)
            if name == DPKG:
                out.addfile(_folder(f"./{DPKG_PLACE.rpartition('/')[0]}", member))
            _keep(out, member, name, data)
    _refuse_foreign(foreign)
    _refuse_strays(strays)
    return {"accounts": accounts, "texts": texts, "status": status, "links": links}


def _sorted(source: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    return iter(sorted(source.getmembers(), key=lambda member: _order(member)))


def _order(member: tarfile.TarInfo) -> tuple[bool, str]:
    return member.islnk(), member.name  # a hard link follows the file it names


def _folder(name: str, like: tarfile.TarInfo) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.mode, made.mtime = tarfile.DIRTYPE, 0o755, like.mtime
    return made


def _keep(out: tarfile.TarFile, member: tarfile.TarInfo, name: str, data: bytes) -> None:
    place = _place(name)
    if place is None:
        return
    member.name = f"./{place}" if place != "." else "."
    member.uname = member.gname = ""
    member.pax_headers = {}
    if member.isreg():
        out.addfile(member, io.BytesIO(data))
    else:
        out.addfile(member)


def _place(name: str) -> str | None:
    """Where it goes, None: nowhere."""
    if name == DPKG:
        return DPKG_PLACE
    if name.startswith(f"{DPKG}/"):
        rest = name.removeprefix(f"{DPKG}/")
        unwanted = rest.endswith("-old") or "lock" in rest.split("/")[-1].lower()
        return None if unwanted else f"{DPKG_PLACE}/{rest}"
    if name in LEFT_OUT or any(name.startswith(f"{one}/") for one in (*LEFT_OUT, *EMPTIED)):
        return None
    if name.startswith("etc/ssh/ssh_host_"):
        return None
    return name


def check_status(status: str, packages: PackageSet) -> None:
    """Every installed package is a locked one, and every locked one is installed."""
    locked = {row.name: row for row in packages.rows}
    problems: list[Problem] = []
    seen: set[str] = set()
    for name, version, architecture in status_versions(status):
        seen.add(name)
        row = locked.get(name)
        if row is None or (row.version, row.architecture) != (version, architecture):
            got = f"{version} {architecture} is installed"
            want = "no row" if row is None else f"locked is {row.version} {row.architecture}"
            problems.append(_not_locked(name, f"{got}, {want}"))
    problems += [_not_locked(name, "locked, not installed") for name in sorted({*locked} - seen)]
    if problems:
        raise BuildRefused(problems)


def _not_locked(name: str, got: str) -> Problem:
    return Problem(
        name, got, "an image holds what its lock says, no more, no less", "make lock-image"
    )


def _refuse_foreign(names: list[str]) -> None:
    if names:
        raise refused(
            "the root file system",
            f"programs of the build machine: {', '.join(names[:5])}",
            "a robot cannot run them, and they are in no lock",
            "rm -r the cache's made/root-*  and build again; report it if it comes back",
        )


def _refuse_strays(names: list[str]) -> None:
    if names:
        raise refused(
            "the root file system",
            f"packages keep things in /var that no row speaks of: {', '.join(names[:8])}",
            "/var is on the data partition: what a slot brings there is not seen",
            f"say in image/persistence.py what becomes of them, as of {len(LEFT_BEHIND)} others",
        )
