"""Debian's package of the kernel source: locked, fetched, checked, unpacked, patched.

The archive is whatever this machine's apt is set to; the lock names a path inside it. Everything
is kept by its content, and a file that is half written has another name.
"""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rt_kernel.kconfig import Text
from rt_kernel.machine import APT_HELPER
from rt_kernel.problem import KernelError, SourceGoneError
from rt_kernel.recipe import LEFT_OUT, Recipe, Source

Say = Callable[[str], None]
MIB: Final = 1024**2
LOCK_NAME: Final = "rt_kernel/source.json"


def fetch_source(source: Source, cache: Path, say: Say) -> Path:
    """The package, from the cache or from the machine's archive; a wrong hash always fails."""
    kept = cache / "source" / f"{source.sha256}.deb"
    if kept.is_file():
        if hash_file(kept) == source.sha256:
            return kept
        say(f"{kept.name} in the cache has been damaged: fetching it again")
        kept.unlink()
    kept.parent.mkdir(parents=True, exist_ok=True)
    partial = kept.with_suffix(f".{os.getpid()}.partial")
    say(f"fetching {source.name} {source.version}, {source.size_bytes // MIB} MiB")
    try:
        _download(source, partial)
        got = hash_file(partial)
        if got != source.sha256:
            raise _altered(source, got)
        keep_file(partial, kept)
    finally:
        partial.unlink(missing_ok=True)
    return kept


def hash_file(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def keep_file(partial: Path, kept: Path) -> None:
    """Under its name only once it is on the disk."""
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())
    partial.replace(kept)


def _altered(source: Source, got: str) -> KernelError:
    return KernelError(
        source.path,
        f"sha256 {got}",
        f"{LOCK_NAME} locks {source.sha256}: what came is not what was reviewed",
        "see who altered it; a new lock would only hide that",
    )


def _download(source: Source, target: Path) -> None:
    refusals = []
    for root in archive_roots():
        done = subprocess.run(
            [str(APT_HELPER), "download-file", root + source.path, str(target)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"LC_ALL": "C"},
        )
        if done.returncode == 0 and target.is_file():
            return
        refusals.append(done.stderr)
    raise _not_to_be_had(source, "\n".join(refusals))


def archive_roots() -> tuple[str, ...]:
    """The archives of Debian that apt on this machine is set to, each once."""
    asked = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    rows = [line.split(" ", 1) for line in done.stdout.splitlines()]
    roots = [row[1] for row in rows if len(row) == 2 and row[0] == "Debian"]
    if not roots:
        raise KernelError(
            "apt-get indextargets",
            "no archive of Debian",
            "the kernel's source comes from the archive that this machine is set to",
            "apt-get update",
        )
    # The security archive has the newest kernels.
    return tuple(sorted(dict.fromkeys(roots), key=lambda root: "security" not in root))


def _not_to_be_had(source: Source, refusals: str) -> KernelError:
    where = f"{LOCK_NAME}: {source.path}"
    if "404" in refusals:
        return SourceGoneError(
            where,
            "404 from each archive that this machine is set to",
            "an archive drops a file once a newer version has taken its place",
            "bedplate kernel lock  to lock the newest version, or RELOCK=scratch to build with it"
            " and leave the lock as it is",
        )
    return KernelError(
        where,
        refusals.strip()[-400:] or "no answer",
        "the source could not be fetched, and the cache does not have it",
        "see whether  apt-get update  works; once fetched, the cache serves without a network",
    )


def newest_source(name: str) -> Source:
    """What this machine's package lists have now."""
    asked = ["apt-cache", "--no-all-versions", "show", name]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return parse_package(name, done.stdout)


def parse_package(name: str, stanza: str) -> Source:
    """The lock row of a package from its paragraph in the package lists."""
    fields = dict(re.findall(r"^(Version|Filename|SHA256|Size): (\S+)$", stanza, re.MULTILINE))
    try:
        return Source(
            name=name,
            version=fields["Version"],
            sha256=fields["SHA256"],
            path=fields["Filename"],
            size_bytes=int(fields["Size"]),
        )
    except (KeyError, ValueError) as error:
        raise KernelError(
            f"apt-cache show {name}",
            f"no usable {error}",
            "the package lists of this machine do not have that source",
            "apt-get update; Debian 12 has it in its security archive",
        ) from None


def describe_drift(locked: Source, newest: Source) -> str:
    if locked == newest:
        return f"{locked.name} {locked.version}: the lock is the newest"
    return f"{locked.name}: {locked.version} → {newest.version}"


def prepare_tree(recipe: Recipe, package: Path, folder: Path, say: Say) -> Path:
    """The unpacked and patched source. It has its name once it is whole.

    Each recipe has a tree of its own: what was compiled for other options is never gone on with.
    """
    tree = folder / f"tree-{recipe.sha256[:16]}"
    if tree.is_dir():
        say("going on in the tree of an earlier attempt")
        return tree
    partial = tree.with_suffix(f".{os.getpid()}.partial")
    say("unpacking the source")
    try:
        partial.mkdir(parents=True)
        _unpack(recipe.source, package, partial)
        for patch in recipe.patches:
            _apply(patch, partial)
        partial.replace(tree)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return tree


def _unpack(source: Source, package: Path, folder: Path) -> None:
    """Package → archive inside it → files, without a copy of either on the disk."""
    inner = f"./usr/src/{source.name}.tar.xz"
    left_out = [f"--exclude=*/{path}" for path in LEFT_OUT]
    commands = (
        ["dpkg-deb", "--fsys-tarfile", str(package)],
        ["tar", "--extract", "--to-stdout", inner],
        ["xz", "--decompress", "--stdout"],
        ["tar", "--extract", "--strip-components=1", f"--directory={folder}", *left_out],
    )
    running: list[subprocess.Popen[bytes]] = []
    for command in commands:
        feed = running[-1].stdout if running else subprocess.DEVNULL
        last = len(running) == len(commands) - 1
        process = subprocess.Popen(command, stdin=feed, stdout=None if last else subprocess.PIPE)
        if running and running[-1].stdout is not None:
            running[-1].stdout.close()  # so that one that dies ends those before it
        running.append(process)
    codes = [process.wait() for process in reversed(running)]
    # Only the last one's word counts: one before it may be cut off when no more is wanted.
    if codes[0] != 0 or not (folder / "Makefile").is_file():
        raise KernelError(
            str(package.name),
            f"{inner} could not be unpacked into {folder}",
            "without the source there is nothing to compile",
            "see the lines above (a full disk says so); the next build goes on from the package",
        )


def _apply(patch: Text, tree: Path) -> None:
    done = subprocess.run(
        ["patch", "--strip=1", "--forward", "--fuzz=0", "--batch", f"--directory={tree}"],
        input=patch.text,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise KernelError(
            patch.name,
            done.stdout.strip()[-300:],
            "the source has moved on under this patch",
            "make the patch anew against this version, or drop it if Debian has it now",
        )
