"""The kernel of the image: from Debian's source and our fragments to one Image and device trees.

`build_kernel` is the table of contents. What is made is kept by the recipe's hash; a build that
was interrupted goes on where it was, and nothing half made has a final name.
"""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from conf.schema import Config
from conf.schema.hardware import Arch
from rt_kernel.dependencies import explain_all
from rt_kernel.kconfig import find_lost, parse_config, render_request
from rt_kernel.machine import check_machine, clean_environment, read_toolchain
from rt_kernel.problem import KernelError, SourceGoneError
from rt_kernel.progress import OBJECTS_EXPECTED, Progress, error_lines
from rt_kernel.recipe import (
    ARCH,
    CROSS,
    IDENTITY,
    SOURCE_LOCK,
    TARGETS,
    Recipe,
    Source,
    parse_source,
    read_recipe,
)
from rt_kernel.source import (
    LOCK_NAME,
    describe_drift,
    fetch_source,
    newest_source,
    prepare_tree,
)

Say = Callable[[str], None]
FACTS: Final = "kernel.json"
BOOT: Final = Path("arch/arm64/boot")
TREES: Final = "tegra234-*.dtb"


@dataclass(frozen=True)
class KernelBuild:
    """What was made, and from what."""

    image: Path
    device_trees: Path  # folder of .dtb files
    kconfig: Path  # the .config as it came out
    release: str  # `uname -r`
    recipe_sha256: str
    source: Source
    compiler: str
    modules: bool = False  # everything is in Image; nothing is loaded, so nothing is signed


def build_kernel(
    config: Config, cache: Path, jobs: int, say: Say, *, relock: bool = False
) -> KernelBuild:
    """The kernel for this profile; with `relock`, a source that is gone gives way to the newest."""
    check_profile(config)
    recipe = current_recipe()
    known = find_build(recipe, cache)
    if known is not None:
        say(f"kernel {known.release}: in the cache")
        return known
    check_machine(cache)
    with disk_in_words(cache), only_one(cache, say):
        recipe, package = obtain_source(recipe, cache, say, relock=relock)
        if (known := find_build(recipe, cache)) is not None:  # made while this one waited, or moved
            return known
        tree = prepare_tree(recipe, package, cache, say)
        drop_older_trees(cache, tree)
        configure(recipe, tree)
        compile_tree(recipe, tree, cache, jobs, say)
        build = keep_build(recipe, tree, cache)
        shutil.rmtree(tree)
    say(f"kernel {build.release}: {build.image.stat().st_size / 1e6:.1f} MB, kept in the cache")
    return build


def check_profile(config: Config) -> None:
    """A board with a kernel of its own, or a refusal before anything long begins."""
    hardware = config.hardware
    if hardware.arch is not Arch.AARCH64:
        raise KernelError(
            f"conf/hardware/{hardware.name}.yaml  arch",
            hardware.arch.value,
            "Bedplate makes kernels for arm64 boards; others run the one they have",
            "a board such as qemu_arm64 or jetson_agx_orin",
        )
    if hardware.realtime.kernel != "preempt_rt":
        raise KernelError(
            f"conf/hardware/{hardware.name}.yaml  realtime.kernel",
            hardware.realtime.kernel,
            "the only kernel that is made here is a real-time one",
            "kernel: preempt_rt",
        )


def current_recipe() -> Recipe:
    source = parse_source(SOURCE_LOCK.read_text(encoding="utf-8"), LOCK_NAME)
    return read_recipe(read_toolchain(), source)


def obtain_source(recipe: Recipe, cache: Path, say: Say, *, relock: bool) -> tuple[Recipe, Path]:
    """The locked package; with `relock`, where that one is gone, the newest, and it is said so."""
    try:
        return recipe, fetch_source(recipe.source, cache, say)
    except SourceGoneError:
        if not relock:
            raise
    newest = newest_source(recipe.source.name)
    say(f"drift: {describe_drift(recipe.source, newest)} (the lock stays as it is)")
    moved = read_recipe(recipe.toolchain, newest)
    return moved, fetch_source(newest, cache, say)


@contextlib.contextmanager
def only_one(cache: Path, say: Say) -> Iterator[None]:
    """Two builds in one tree would spoil each other; the second waits."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build of a kernel is going on: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def disk_in_words(cache: Path) -> Iterator[None]:
    """A full disk or a folder that may not be written is one message, not a trace of calls."""
    try:
        yield
    except OSError as error:
        raise KernelError(
            str(error.filename or cache),
            error.strerror or str(error),
            "the kernel was not made; what is done so far is kept",
            "make room or give the right to write there, and start again: it goes on",
        ) from None


def drop_older_trees(cache: Path, current: Path) -> None:
    """Trees that nobody will go on with: each is a gigabyte."""
    for folder in cache.glob("tree-*"):
        if folder != current:
            shutil.rmtree(folder, ignore_errors=True)
    for leftover in (cache / "build").glob("*.partial"):
        shutil.rmtree(leftover, ignore_errors=True)
    for leftover in (cache / "source").glob("*.partial"):
        leftover.unlink()


def make_command(recipe: Recipe, *words: str) -> list[str]:
    settings = [f"ARCH={ARCH}", f"CROSS_COMPILE={CROSS}", f"LOCALVERSION={recipe.local_version}"]
    # setpriv: a killed build takes its compilers with it instead of leaving them for minutes.
    return ["setpriv", "--pdeathsig", "TERM", "make", "--no-print-directory", *settings, *words]


def build_environment(tree: Path) -> dict[str, str]:
    """The date is the source's own: the same source says the same date."""
    when = datetime.fromtimestamp((tree / "Makefile").stat().st_mtime, UTC)
    stamp = {"KBUILD_BUILD_TIMESTAMP": when.strftime("%a %b %e %H:%M:%S UTC %Y")}
    return clean_environment(os.environ, tree) | dict(IDENTITY) | stamp


def configure(recipe: Recipe, tree: Path) -> None:
    """Everything off, then what the fragments ask for; each request must have survived."""
    wanted = tree / "bedplate.request"
    wanted.write_text(render_request(recipe.requests), encoding="utf-8")
    for words in (["allnoconfig", f"KCONFIG_ALLCONFIG={wanted.name}"], ["olddefconfig"]):
        _run(make_command(recipe, "--silent", *words), tree)
    check_requests(recipe, tree)


def check_requests(recipe: Recipe, tree: Path) -> None:
    config = parse_config((tree / ".config").read_text(encoding="utf-8"))
    lost = find_lost(recipe.requests, config)
    if not lost:
        return
    told = explain_all(lost, tree, config)
    raise KernelError(
        f"{len(told)} of {len(recipe.requests)} options did not survive Kconfig",
        "\n  ".join(str(item).replace("\n", "\n  ") for item in told),
        "a driver that is silently missing is found on the robot, or not at all",
        "ask for what it needs in the same fragment, or correct its name",
    )


def _run(command: list[str], tree: Path) -> None:
    done = subprocess.run(
        command, cwd=tree, env=build_environment(tree), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise KernelError(
            " ".join(command[3:]),
            error_lines(done.stdout + done.stderr),
            "the kernel could not be configured",
            f"look at {tree}",
        )


def check_options(recipe: Recipe, cache: Path, say: Say) -> None:
    """Everything up to the long step."""
    with disk_in_words(cache), only_one(cache, say):
        package = fetch_source(recipe.source, cache, say)
        configure(recipe, prepare_tree(recipe, package, cache, say))


def compile_tree(recipe: Recipe, tree: Path, cache: Path, jobs: int, say: Say) -> None:
    """The long step: make knows what is already there."""
    log = cache / "log" / f"{recipe.sha256[:16]}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    before, expected = count_objects(tree), expected_objects(cache)
    say(f"compiling: {before} of about {expected} objects are there; log in {log}")
    progress = Progress(begun_ns=time.monotonic_ns(), expected=expected, before=before)
    command = make_command(recipe, f"--jobs={jobs}", *TARGETS)
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(
            command,
            cwd=tree,
            env=build_environment(tree),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        try:
            _follow(process, file.write, progress, say)
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        raise _not_compiled(log)


def count_objects(tree: Path) -> int:
    return sum(1 for _ in tree.rglob("*.o"))


def expected_objects(cache: Path) -> int:
    """What the newest kept build came to; before there is one, a rough figure."""
    kept = sorted((cache / "build").glob(f"*/{FACTS}"), key=lambda file: file.stat().st_mtime)
    facts = json.loads(kept[-1].read_text(encoding="utf-8")) if kept else {}
    return int(facts.get("objects", OBJECTS_EXPECTED))


def _follow(
    process: subprocess.Popen[str], keep: Callable[[str], int], progress: Progress, say: Say
) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        keep(line)
        sentence = progress.take(line, time.monotonic_ns())
        if sentence is not None:
            say(sentence)
    process.wait()


def _not_compiled(log: Path) -> KernelError:
    return KernelError(
        str(log),
        error_lines(log.read_text(encoding="utf-8", errors="replace")),
        "the kernel was not made; what was compiled so far is kept",
        "mend what the lines name (a full disk says 'No space'), and start again: it goes on",
    )


def keep_build(recipe: Recipe, tree: Path, cache: Path) -> KernelBuild:
    """Out of the tree, into a folder that has its name once all of it is on the disk."""
    final = build_folder(recipe, cache)
    partial = final.with_suffix(f".{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "dtb").mkdir(parents=True)
    shutil.copyfile(tree / BOOT / "Image", partial / "Image")
    shutil.copyfile(tree / ".config", partial / "config")
    trees = sorted((tree / BOOT / "dts/nvidia").glob(TREES))
    for file in trees:
        shutil.copyfile(file, partial / "dtb" / file.name)
    release = (tree / "include/config/kernel.release").read_text(encoding="utf-8").strip()
    facts = {
        "release": release,
        "recipe_sha256": recipe.sha256,
        "source": asdict(recipe.source),
        "compiler": recipe.toolchain.compiler,
        "objects": count_objects(tree),
    }
    (partial / FACTS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    for file in [*partial.rglob("*"), partial]:
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    shutil.rmtree(final, ignore_errors=True)
    partial.replace(final)
    return read_build(final, recipe.source)


def build_folder(recipe: Recipe, cache: Path) -> Path:
    return cache / "build" / recipe.sha256


def find_build(recipe: Recipe, cache: Path) -> KernelBuild | None:
    folder = build_folder(recipe, cache)
    return read_build(folder, recipe.source) if (folder / FACTS).is_file() else None


def read_build(folder: Path, source: Source) -> KernelBuild:
    facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    return KernelBuild(
        image=folder / "Image",
        device_trees=folder / "dtb",
        kconfig=folder / "config",
        release=facts["release"],
        recipe_sha256=facts["recipe_sha256"],
        source=source,
        compiler=facts["compiler"],
    )
