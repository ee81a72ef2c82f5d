"""Native twins: while packages are configured, their scripts run the build machine's programs.

Maintainer scripts start thousands of small programs. Emulated, that takes ten times as long as
the same programs built for this machine, from the same release. So these are laid over the
robot's own for the time of the build, by dpkg's diversions, and taken out again: no byte of them
stays, and `image/steps/root.py` refuses a root in which one does.

Run by mmdebstrap as a hook: python -m image.twins in|out TOOLS RECORD ROOT
"""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = "usr/lib64/ld-linux-x86-64.so.2"
ASIDE = ".robots-own"
DIVERSIONS = "var/lib/dpkg/diversions"
X86_64 = 62
# These know for which architecture they were built, and act on it.
OWN_ONLY = frozenset(
    {
        "dpkg",
        "dpkg-divert",
        "dpkg-query",
        "dpkg-realpath",
        "dpkg-split",
        "dpkg-statoverride",
        "dpkg-trigger",
        "ldconfig",
    }
)


def elf_machine(head: bytes) -> int | None:
    """The processor an ELF file is for, None for anything else."""
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return None
    return int.from_bytes(head[18:20], "little" if head[5] == 1 else "big")


def twins(tools: Path, packages: Iterable[str]) -> list[str]:
    """Programs of packages that the robot has too."""
    owned: dict[str, list[str]] = json.loads((tools / "files.json").read_text())
    names = {name for package in packages for name in owned.get(package, [])}
    return sorted(
        name
        for name in names
        if name.startswith(("usr/bin/", "usr/sbin/"))
        and Path(name).name not in OWN_ONLY
        and _is_native(tools / name)
    )


def _is_native(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as stream:
        return elf_machine(stream.read(20)) == X86_64


def lay_in(tools: Path, record: Path, root: Path) -> None:
    names: list[str] = json.loads(record.read_text())["twins"]
    made = [str(path.relative_to(root)) for path in _libraries_in(tools, root)]
    lines: list[str] = []
    for name in names:
        place = root / name
        if place.is_symlink() or place.exists():
            place.rename(place.with_name(place.name + ASIDE))
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(tools / name, place)
        lines += [f"/{name}", f"/{name}{ASIDE}", ":"]
    with (root / DIVERSIONS).open("a") as stream:
        stream.write("".join(f"{line}\n" for line in lines))
    record.write_text(json.dumps({"twins": names, "made": made}))


def _libraries_in(tools: Path, root: Path) -> Sequence[Path]:
    """Libraries, the loader, Python's compiled modules; perl's would confuse adduser."""
    made = [root / LIBRARIES]
    shutil.copytree(
        tools / LIBRARIES,
        root / LIBRARIES,
        symlinks=True,
        ignore=shutil.ignore_patterns("perl", "perl5", "gconv", "libLLVM*"),
        dirs_exist_ok=True,
    )
    for folder in ("usr/lib64", "lib64"):
        if not (root / folder).exists():
            made.append(root / folder)
    (root / "usr/lib64").mkdir(exist_ok=True)
    if not (root / "lib64").exists():
        (root / "lib64").symlink_to("usr/lib64")
    shutil.copy2(tools / LOADER, root / LOADER)
    made.append(root / LOADER)
    for module in sorted((tools / "usr/lib").glob("python3.*/lib-dynload/*x86_64*.so")):
        place = root / module.relative_to(tools)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(module, place)
        made.append(place)
    return made


def take_out(record: Path, root: Path) -> None:
    laid: dict[str, list[str]] = json.loads(record.read_text())
    for name in laid["twins"]:
        place = root / name
        place.unlink()
        own = place.with_name(place.name + ASIDE)
        if own.is_symlink() or own.exists():
            own.rename(place)
    for name in laid["made"]:
        path = root / name
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
    diversions = root / DIVERSIONS
    kept = diversions.read_text().splitlines()
    triples = [kept[at : at + 3] for at in range(0, len(kept), 3)]
    text = [line for one in triples if not one[1].endswith(ASIDE) for line in one]
    diversions.write_text("".join(f"{line}\n" for line in text))


def main(arguments: Sequence[str]) -> None:
    verb, tools, record, root = arguments
    os.umask(0o022)
    if verb == "in":
        lay_in(Path(tools), Path(record), Path(root))
    else:
        take_out(Path(record), Path(root))


if __name__ == "__main__":
    main(sys.argv[1:])
