"""`bedplate image …`: build, show, flash, boot, verify, lock."""

import functools
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

import typer

from conf.load import compose
from conf.mistake import ConfigError
from image.again import build_again, compare
from image.build import STEPS, build
from image.cache import default_cache
from image.data import acceptance_wish, prepare_guest, write_data
from image.enrolment import Invitation, check_name, entries, read_invitation, read_keys
from image.flash import Target, children_of, look_at, problems_of, read_image, write
from image.flash import verify as verify_written
from image.lockfile import LOCK_FILE, RELOCK, Lock, differences, lock_bytes, read_lock
from image.mirror import find_mirrors
from image.plan import TREE, Request, plan
from image.progress import Progress, spoken
from image.qemu import Guest, run_in_foreground
from image.refusal import BuildRefused, refused
from image.resolve import resolve
from image.show import read_manifest, show, summary
from image.skills import skill_entries
from image.steps.manifest import Made
from image.steps.updates import read_key

app = typer.Typer(
    help=__doc__, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
)
UPDATE_KEY = Path("var/keys/artifact-verify-key.pem")
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
UpdateKey = Annotated[
    Path | None,
    typer.Option("--update-key", help=f"Checks updates; else {UPDATE_KEY}, if it is there."),
]
Accept = Annotated[
    int | None,
    typer.Option(min=0, help="Measure its deadlines before its first start; 0: as declared."),
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
    update_key: UpdateKey = None,
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
        update_key=read_key(update_key or _usual_key()),
    )
    progress = Progress(STEPS)
    with tempfile.TemporaryDirectory() as scratch:
        if os.environ.get("RELOCK") == "scratch":
            request = _relocked(request, Path(scratch))
        made = build(plan(request, progress))
    _print_made(made, progress.end())


def _usual_key() -> Path | None:
    place = TREE / UPDATE_KEY
    return place if place.is_file() else None


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


@app.command("show")
@_answers
def show_command(
    hardware: Hardware = "qemu_arm64",
    facility: Facility = "osaka",
    out: Out = None,
    packages: Annotated[bool, typer.Option("--packages", help="Every package.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print what is inside an image, from which inputs, with which config hash."""
    shown = show(folder_of(hardware, facility, out))
    if as_json:
        print(shown.manifest.model_dump_json(indent=1))
        return
    print(summary(shown))
    if packages:
        for kind, name, version in shown.components:
            print(f"  {kind:<6} {name:<40} {version}")


@app.command("flash")
@_answers
def flash_command(
    device: Annotated[Path, typer.Argument(help="The whole disk, as /dev/sda.")],
    hardware: Hardware = "qemu_arm64",
    facility: Facility = "osaka",
    out: Out = None,
    robot: Annotated[str, typer.Option(help="This robot's name.")] = "",
    invitation: Annotated[
        Path | None, typer.Option(help="What the fleet has made for it: fleet enrol invite.")
    ] = None,
    ssh_key: Annotated[
        list[Path] | None, typer.Option("--ssh-key", help="Public key that may log in.")
    ] = None,
    skill: Annotated[
        list[Path] | None, typer.Option("--skill", help="A signed skill it has from the start.")
    ] = None,
    skill_key: Annotated[
        list[Path] | None, typer.Option("--skill-key", help="Public key of who signs its skills.")
    ] = None,
    accept: Accept = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Write an image to a disk: checks, the blocks that hold something, and reading them back.

    With --robot and --invitation the robot's name, the fleet's certificate authority and a token
    that is good once are written to its data partition.
    """
    folder = folder_of(hardware, facility, out)
    given = entries(_given(robot, invitation), read_keys(list(ssh_key or ())))
    given += skill_entries(skill or (), skill_key or (), _arm_of(folder))
    given += acceptance_wish(accept)
    image, blocks = read_image(folder)
    target = look_at(device)
    problems = problems_of(target, blocks.size_bytes, _wanted_mib(folder))
    if problems:
        raise BuildRefused(problems)
    _confirm(target, robot, yes)
    progress = _bar()
    write(image, blocks, device, progress)
    verify_written(blocks, device, progress)
    print("", file=sys.stderr)
    if given:
        write_data(folder, device, given)
    print(f"written and read back: {blocks.mapped_bytes / 1e6:.0f} MB on {device}")


def _given(robot: str, invitation: Path | None) -> Invitation | None:
    if not robot and invitation is None:
        return None
    if not robot or invitation is None:
        raise refused(
            "--robot and --invitation",
            "one of them",
            "a robot's name and its way into the fleet belong together",
            f"bedplate fleet enrol invite {robot or 'NAME'} --out FILE, then both",
        )
    return read_invitation(invitation, check_name(robot))


def _arm_of(folder: Path) -> str:
    manifest = read_manifest(folder)
    config = compose(hardware=manifest.hardware, facility=manifest.facility).config
    return config.robot.arm.kind.value


def _wanted_mib(folder: Path) -> int:
    """The disk that the profile of this image speaks of; unknown boards get no wish."""
    manifest = read_manifest(folder)
    try:
        return compose(hardware=manifest.hardware).config.hardware.storage.disk_mib
    except ConfigError:
        return 0


def _confirm(target: Target, robot: str, yes: bool) -> None:
    print(f"{target.path}: {target.model}, {target.size_bytes / 1e9:.1f} GB", file=sys.stderr)
    for name, what in children_of(target.path).items() if target.is_device else ():
        print(f"  {name}  {what}", file=sys.stderr)
    if yes or not target.is_device:
        return
    wanted = robot or target.path.name
    answer = typer.prompt(f"everything on it will be lost. Type {wanted} to go on", err=True)
    if answer != wanted:
        raise refused(
            str(target.path), "no confirmation", "nothing was written", "--yes in scripts"
        )


def _bar() -> Callable[[str, int, int], None]:
    last = [-1]

    def progress(what: str, done: int, total: int) -> None:
        percent = 100 * done // max(total, 1)
        if percent != last[0]:
            last[0] = percent
            text = f"\r{what:<13} {percent:3d} %  {done / 1e6:.0f} of {total / 1e6:.0f} MB  "
            print(text, end="", file=sys.stderr, flush=True)

    return progress


@app.command("boot")
@_answers
def boot_command(
    hardware: Hardware = "qemu_arm64",
    facility: Facility = "osaka",
    out: Out = None,
    robot: Annotated[str, typer.Option(help="Its name.")] = "qemu-01",
    invitation: Annotated[Path | None, typer.Option(help="Made by fleet enrol invite.")] = None,
    ssh_port: Annotated[int, typer.Option(help="Port of this machine for its SSH.")] = 2222,
    accept: Accept = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="As newly flashed.")] = False,
) -> None:
    """Start an image in QEMU; it keeps its data until --fresh. Ctrl-A X ends it.

    A guest gets this tree's skill, signed with a key of its own. With an invitation whose addresses
    are of 10.0.2.2, which is this machine as the guest sees it, it asks the fleet that runs here.
    """
    folder = folder_of(hardware, facility, out)
    config = compose(hardware=hardware, facility=facility).config
    guest = Guest(
        image=folder / "disk.img",
        folder=folder / "guest",
        disk_mib=config.hardware.storage.disk_mib,
        cpus=config.hardware.realtime.cpus,
        ssh_port=ssh_port,
        icount=hardware.endswith("_icount"),
    )
    if fresh:
        shutil.rmtree(guest.folder, ignore_errors=True)
    given = _given(robot, invitation) if invitation else None
    wish = acceptance_wish(accept)
    key = prepare_guest(folder, guest, given, config.robot.arm.kind.value, wish)
    print(
        f"ssh -p {ssh_port} -i {key} operator@127.0.0.1   (Ctrl-A X ends the guest)",
        file=sys.stderr,
    )
    raise typer.Exit(run_in_foreground(guest))


@app.command("verify")
@_answers
def verify_command(
    hardware: Hardware = "qemu_arm64",
    facility: Facility = "osaka",
    out: Out = None,
    overrides: Override = None,
    without_vendor: WithoutVendor = False,
    update_key: UpdateKey = None,
    cold: Annotated[bool, typer.Option("--cold", help="With an empty cache, kernel too.")] = False,
) -> None:
    """Build again elsewhere (path, host, user, time zone, umask) and compare bit for bit.

    With the settings and the key that the first was built with.
    """
    first = folder_of(hardware, facility, out)
    read_manifest(first)
    cache = default_cache()
    with tempfile.TemporaryDirectory(prefix="bedplate-verify-") as name:
        work = Path(name)
        arguments = ["--hardware", hardware, "--facility", facility]
        arguments += [word for one in overrides or () for word in ("--set", one)]
        arguments += ["--without-vendor"] if without_vendor else []
        if (key := update_key or _usual_key()) is not None:
            arguments += ["--update-key", str(key.absolute())]
        second = build_again(TREE, work, work / "cache" / "image" if cold else cache, arguments)
        found = compare(first, second)
    if found:
        for one in found:
            print(f"{one.name}: {one.detail}", file=sys.stderr)
        raise typer.Exit(1)
    print(f"{first.name}: two builds are the same, bit for bit")
