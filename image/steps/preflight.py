"""What would stop a build later is found now: everything at once, in seconds."""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from image.plan import Plan
from image.refusal import BuildRefused, Problem
from image.sandbox import namespaces
from image.steps import kernel as kernel_step
from image.steps.base import root_is_cached
from image.steps.fetch import missing
from image.steps.rust import CONTROLD, recipe

GIB = 1 << 30
NEEDED_GIB = 8  # cache, unpacked compilers, one image with its scratch copies
BINFMT = Path("/proc/sys/fs/binfmt_misc")
TOOLS: dict[str, str] = {
    "apt-get": "apt",
    "cargo": "rustc-web cargo-web",
    "dpkg-deb": "dpkg",
    "git": "git",
    "mmdebstrap": "mmdebstrap",
    "unshare": "util-linux",
}
UNPRIVILEGED_TOOLS: dict[str, str] = {"newuidmap": "uidmap"}


def preflight(plan: Plan, say: Callable[[str], None]) -> None:
    problems = [
        *tool_problems(TOOLS if os.getuid() == 0 else TOOLS | UNPRIVILEGED_TOOLS),
        *space_problems({"the cache": plan.cache.root, "the image": plan.out}, NEEDED_GIB * GIB),
        *right_problems(),
        *emulation_problems(root_is_cached(plan.lock.sets["root"], plan.cache, plan.epoch)),
        *clock_problems(plan.lock.made_at, datetime.now(UTC)),
    ]
    if problems:
        raise BuildRefused(problems)
    swept = plan.cache.sweep()
    if swept:
        say(f"removed what {len(swept)} interrupted builds had left")


def tool_problems(
    wanted: dict[str, str], which: Callable[[str], str | None] = shutil.which
) -> list[Problem]:
    search = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    absent = {
        name: package
        for name, package in wanted.items()
        if which(name) is None and shutil.which(name, path=search) is None
    }
    if not absent:
        return []
    return [
        Problem(
            "tools of this machine",
            f"{', '.join(absent)} missing",
            "the build calls them",
            f"./bootstrap.sh image  or  apt-get install {' '.join(sorted(set(absent.values())))}",
        )
    ]


def space_problems(places: dict[str, Path], needed_bytes: int) -> list[Problem]:
    problems: list[Problem] = []
    seen: set[int] = set()
    for name, path in places.items():
        there = next(one for one in (path, *path.parents) if one.exists())
        device = there.stat().st_dev
        free = shutil.disk_usage(there).free
        if free < needed_bytes and device not in seen:
            problems.append(
                Problem(
                    f"{name}: {there}",
                    f"{free / GIB:.1f} GiB free",
                    f"a first build takes {needed_bytes / GIB:.0f} GiB and would end half-way",
                    "free some, or XDG_CACHE_HOME=… and --out … on another disk",
                )
            )
        seen.add(device)
    return problems


def right_problems(words: Sequence[str] | None = None) -> list[Problem]:
    """Whether the build's namespaces can be made; `words` begin one."""
    begun = namespaces() if words is None else words
    done = subprocess.run([*begun, "true"], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return []
    return [
        Problem(
            "rights of this user" if os.getuid() else "rights of root here",
            done.stderr.strip() or "no namespaces for mounts",
            "files of other owners are made in a namespace whose mounts end with it",
            "sysctl kernel.unprivileged_userns_clone=1, or run it as root"
            if os.getuid()
            else "in a chroot, before it is entered: mount --bind DIR DIR: its / must be a mount",
        )
    ]


def emulation_problems(root_is_there: bool, folder: Path = BINFMT) -> list[Problem]:
    """The robot's own dpkg is run while its root is made; nothing else is."""
    machine = os.uname().machine
    if root_is_there or machine == "aarch64":
        return []
    entry = folder / "qemu-aarch64"
    text = entry.read_text() if entry.is_file() else ""
    if text.startswith("enabled") and "F" in _flags(text):
        return []
    found = "not registered" if not text else text.split("\n", 1)[0] + f", flags {_flags(text)}"
    return [
        Problem(
            "emulation of arm64 (binfmt_misc)",
            found,
            "packages for the robot are configured by running its own dpkg",
            "./bootstrap.sh image  or, as root: mount -t binfmt_misc none /proc/sys/fs/binfmt_misc;"
            " update-binfmts --enable qemu-aarch64",
        )
    ]


def _flags(text: str) -> str:
    return next((line[7:] for line in text.splitlines() if line.startswith("flags: ")), "")


def clock_problems(made_at: datetime, now: datetime) -> list[Problem]:
    if now >= made_at:
        return []
    return [
        Problem(
            "the clock of this machine",
            f"{now:%Y-%m-%d %H:%M}, the lock was made at {made_at:%Y-%m-%d %H:%M}",
            "certificates and signatures are judged by it",
            "set the clock: timedatectl set-ntp true",
        )
    ]


def cold_steps(plan: Plan) -> frozenset[str]:
    """Steps whose result is not in the cache: what the estimate is made of."""
    sets, cache = plan.lock.sets, plan.cache
    cold: dict[str, Sequence[object] | bool] = {
        "fetch what is locked": missing(plan.lock.rows, cache),
        "unpack the build's own tools": not any((cache.root / "made").glob("tools-*")),
        "build the kernel": not kernel_step.is_cached(plan),
        "make Debian's root file system": not root_is_cached(sets["root"], cache, plan.epoch),
        "compile Tier 1 for the robot": not cache.made(
            CONTROLD.name, recipe(plan.tree, CONTROLD, sets["toolchain"])
        ).is_dir(),
        "install Python packages": not any((cache.root / "made").glob("python-*")),
    }
    return frozenset(name for name, is_cold in cold.items() if is_cold)
