"""`bedplate image …`: build, show, flash, boot, verify, lock."""

import functools
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

import typer

from image.build import STEPS, build
from image.lockfile import LOCK_FILE, RELOCK, Lock, differences, lock_bytes, read_lock
from image.mirror import find_mirrors
from image.plan import TREE, Request, plan
from image.progress import Progress, spoken
from image.refusal import BuildRefused
from image.resolve import resolve
from image.steps.manifest import Made

app = typer.Typer(
    help=__doc__, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
)
REFUSED = 2
INTERRUPTED = 130

Hardware = Annotated[str, typer.Option(help="Board: a file of conf/hardware.")]
Facility = Annotated[str, typer.Option(help="Site: a file of conf/facility.")]
Override = Annotated[
    list[str] | None, typer.Option("--set", "-s", help="path.to.setting=value; may be repeated.")
]
Out = Annotated[Path | None, typer.Option(help="Folder of the products.")]
CacheFolder = Annotated[Path | None, typer.Option("--cache", help="Another cache.")]
Jobs = Annotated[int, typer.Option(help="Compilers at once; 0: as many as processors.")]
WithoutVendor = Annotated[
    bool, typer.Option("--without-vendor", help="Go on without the vendor's files.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]

P = ParamSpec("P")
R = TypeVar("R")


def _answers(command: Callable[P, R]) -> Callable[P, R]:
    """A refusal is a text and status 2; an interrupt leaves nothing behind and says so."""

    @functools.wraps(command)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except BuildRefused as error:
            print(error, file=sys.stderr)
            raise typer.Exit(REFUSED) from None
        except OSError as error:
            if error.errno != 28:
                raise
            print(_full(error), file=sys.stderr)
            raise typer.Exit(REFUSED) from None
        except KeyboardInterrupt:
            print("\ninterrupted; nothing is left running, the next build goes on", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None

    return inner


def _full(error: OSError) -> str:
    return (
        f"{error.filename or 'the disk'}\n  got no space left\n"
        "  because the build could not go on; what is finished is kept, nothing half-made is\n"
        "  try  free some space, and start again"
    )


@app.command("build")
@_answers
def build_command(
    hardware: Hardware = "qemu_arm64",
    facility: Facility = "osaka",
    overrides: Override = None,
    out: Out = None,
    cache: CacheFolder = None,
    jobs: Jobs = 0,
    without_vendor: WithoutVendor = False,
) -> None:
    """Build the disk image of a profile.

    RELOCK=scratch makes a lock of what the archive has now, builds with it, reports the drift, and
    leaves the tree's own lock alone.
    """
    request = Request(
        hardware=hardware,
        facility=facility,
        overrides=tuple(overrides or ()),
        out=out,
        cache=cache,
        jobs=jobs,
        without_vendor=without_vendor,
    )
    progress = Progress(STEPS)
    with tempfile.TemporaryDirectory() as scratch:
        if os.environ.get("RELOCK") == "scratch":
            request = _relocked(request, Path(scratch))
        made = build(plan(request, progress))
    _print_made(made, progress.end())


def _relocked(request: Request, scratch: Path) -> Request:
    """With a lock of today beside the tree's own; what differs is printed."""
    old, new = read_lock(), resolve(find_mirrors(), scratch / "apt")
    drift = differences(old, new)
    print("\n".join(drift) or "the archive has what the lock names", file=sys.stderr)
    if not drift:
        return request
    path = scratch / "debian.json"
    path.write_bytes(lock_bytes(new))
    return replace(request, lock_file=path)


def _print_made(made: Made, took_s: float) -> None:
    manifest = made.manifest
    print(f"image         {made.out / 'disk.img'}")
    print(f"artifact      {manifest.artifact_name}")
    print(f"config hash   {manifest.config_hash}")
    print(f"kernel        {manifest.kernel_release}")
    print(f"root hash     {manifest.root_hash}")
    print(
        f"slot          {made.slot_bytes >> 20} MiB, compressed {made.compressed_bytes >> 20} MiB"
    )
    print(
        f"disk          {made.image_bytes >> 20} MiB, {made.mapped_bytes >> 20} MiB to be written"
    )
    print(f"took          {spoken(took_s)}")


@app.command()
@_answers
def lock(
    check: Annotated[
        bool, typer.Option("--check", help="Print only; status 1 if it moved.")
    ] = False,
) -> None:
    """Lock what the archive has now, and print what changed."""
    with tempfile.TemporaryDirectory() as scratch:
        new = resolve(find_mirrors(), Path(scratch))
    old = (
        read_lock() if LOCK_FILE.is_file() else Lock(suite=new.suite, made_at=new.made_at, sets={})
    )
    drift = differences(old, new)
    print("\n".join(drift) or "the lock is what the archive has")
    if check:
        if drift:
            print(RELOCK, file=sys.stderr)
            raise typer.Exit(1)
        return
    if drift:
        part = LOCK_FILE.with_suffix(".part")
        part.write_bytes(lock_bytes(new))
        part.replace(LOCK_FILE)
        print(f"{len(drift)} changes, written to {LOCK_FILE.relative_to(TREE)}")


def folder_of(hardware: str, facility: str, out: Path | None) -> Path:
    return out or TREE / "var" / "image" / f"{hardware}-{facility}"


def now() -> datetime:
    return datetime.now(UTC)


def print_json(value: object) -> None:
    print(json.dumps(value, indent=1))
