"""`bedplate kernel …`: build, show, check, lock, verify."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from conf.load import compose
from conf.mistake import ConfigError
from conf.schema import Config
from rt_kernel.boot_args import boot_arguments
from rt_kernel.build import (
    build_kernel,
    check_options,
    check_profile,
    current_recipe,
    find_build,
)
from rt_kernel.kconfig import parse_fragment, purpose_of
from rt_kernel.machine import check_machine
from rt_kernel.problem import KernelError
from rt_kernel.recipe import SOURCE_LOCK, parse_source, render_source
from rt_kernel.source import LOCK_NAME, describe_drift, newest_source
from rt_kernel.verify import (
    DEFAULT_MANIFEST,
    DEFAULT_PROFILE,
    as_document,
    as_text,
    is_wrong,
    verify_kernel,
)

app = typer.Typer(
    help=__doc__, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
)
REFUSED = 2

Hardware = Annotated[str | None, typer.Option(help="Board: a file of conf/hardware.")]
Facility = Annotated[str | None, typer.Option(help="Site: a file of conf/facility.")]


def cache_folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "bedplate/kernel"


def _say(text: str) -> None:
    print(text, flush=True)


def _refuse(error: Exception) -> NoReturn:
    print(error, file=sys.stderr)
    raise typer.Exit(REFUSED) from None


def _config(hardware: str | None, facility: str | None) -> Config:
    try:
        return compose(hardware=hardware or "qemu_arm64", facility=facility).config
    except ConfigError as error:
        _refuse(error)


@app.command()
def build(
    hardware: Hardware = None,
    facility: Facility = None,
    jobs: Annotated[int, typer.Option(help="Compilers at once.")] = os.cpu_count() or 1,
    cache: Annotated[Path | None, typer.Option(help="Where builds are kept.")] = None,
) -> None:
    """Build the kernel, or find it in the cache. RELOCK=scratch allows a newer source for once."""
    relock = os.environ.get("RELOCK") == "scratch"
    try:
        made = build_kernel(
            _config(hardware, facility), cache or cache_folder(), jobs, _say, relock=relock
        )
    except KernelError as error:
        _refuse(error)
    print(made.image)


@app.command()
def show(hardware: Hardware = None, facility: Facility = None) -> None:
    """Print the recipe: source, compiler, fragments, boot arguments, and whether it is built."""
    config = _config(hardware, facility)
    try:
        check_profile(config)
        recipe = current_recipe()
        known = find_build(recipe, cache_folder())
        print(f"recipe     {recipe.sha256}")
        print(f"source     {recipe.source.name} {recipe.source.version}")
        print(f"compiler   {recipe.toolchain.compiler}")
        print(f"linker     {recipe.toolchain.linker}")
        print("modules    none: everything is in Image, so nothing is signed")
        for patch in recipe.patches:
            print(f"patch      {patch.text.partition(chr(10))[0]}")
        for fragment in recipe.fragments:
            count = len(parse_fragment(fragment))
            print(f"  {Path(fragment.name).stem:<10} {count:>3}  {purpose_of(fragment)}")
        print(f"arguments  {' '.join(boot_arguments(config))}")
    except KernelError as error:
        _refuse(error)
    print(f"built      {f'{known.release}  {known.image}' if known else 'not yet'}")


@app.command()
def check(
    cache: Annotated[Path | None, typer.Option(help="Where builds are kept.")] = None,
) -> None:
    """Check that every option the fragments ask for survives Kconfig, without compiling."""
    folder = cache or cache_folder()
    try:
        check_machine(folder)
        recipe = current_recipe()
        check_options(recipe, folder, _say)
    except KernelError as error:
        _refuse(error)
    print(f"all {len(recipe.requests)} options of {len(recipe.fragments)} fragments survive")


@app.command()
def lock() -> None:
    """Lock the newest source that this machine's package lists have; print what changes."""
    try:
        locked = parse_source(SOURCE_LOCK.read_text(encoding="utf-8"), LOCK_NAME)
        newest = newest_source(locked.name)
    except KernelError as error:
        _refuse(error)
    print(describe_drift(locked, newest))
    SOURCE_LOCK.write_text(render_source(newest), encoding="utf-8")


@app.command()
def verify(
    profile: Annotated[Path, typer.Option(help="The robot's profile.json.")] = DEFAULT_PROFILE,
    manifest: Annotated[Path, typer.Option(help="The image's manifest.")] = DEFAULT_MANIFEST,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """On a robot: compare the running kernel with the profile. Ends with 1 if it is another."""
    try:
        found = verify_kernel(profile, manifest)
    except KernelError as error:
        _refuse(error)
    print(json.dumps(as_document(found), indent=2) if as_json else as_text(found))
    if is_wrong(found):
        raise typer.Exit(1)
