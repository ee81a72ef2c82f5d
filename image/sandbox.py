"""A command inside an unpacked tree, with chosen folders laid in; its mounts end with it."""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from image.programs import run


@dataclass(frozen=True)
class Bind:
    """A folder of this machine and its name inside."""

    source: Path
    inside: str


def namespaces() -> list[str]:
    """Begins a command line whose mounts and processes end with it."""
    rights = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *rights, "--mount", "--pid", "--fork", "--kill-child"]


def run_inside(
    root: Path,
    command: Sequence[str],
    *,
    binds: Sequence[Bind],
    cwd: str,
    environment: Mapping[str, str],
    why: str,
    log: IO[bytes],
) -> None:
    """In mount and process namespaces of its own: nothing is left when it ends, however it ends.

    The tree itself comes from the cache and may be in use elsewhere, so mount points are made in
    a memory file system over it, never in it.
    """
    inner = f"cd {shlex.quote(cwd)} && exec {shlex.join(command)}"
    lines = ["set -eu", "mount -t tmpfs -o mode=755 stage /mnt", "mkdir /mnt/root"]
    lines += [
        f"mkdir -p {shlex.quote('/mnt/root' + place)}"
        for place in ("/proc", "/dev", "/tmp", *(bind.inside for bind in binds))  #
    ]
    lines += [
        # Only /usr and /etc of the tree are needed; the rest are links into /usr.
        *(_bind(root / name, f"/{name}") for name in ("usr", "etc") if (root / name).is_dir()),
        *(
            f"ln -s usr/{name} /mnt/root/{name}"
            for name in ("bin", "lib", "lib64", "sbin")
            if (root / "usr" / name).is_dir()
        ),
        *(_bind(bind.source, bind.inside) for bind in binds),
        "mount -t proc proc /mnt/root/proc",
        _bind(Path("/dev"), "/dev"),
        "exec chroot /mnt/root /bin/sh -c " + shlex.quote(inner),
    ]
    run(
        [*namespaces(), "sh", "-c", "\n".join(lines)],
        why=why,
        environment={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment},
        log=log,
        alone=True,
    )


def _bind(source: Path, inside: str) -> str:
    place = shlex.quote(f"/mnt/root{inside}")
    return f"mkdir -p {place}; mount --rbind {shlex.quote(str(source))} {place}"
