"""`bedplate ota`, the desk's part: keys, artifacts, and what one is."""

import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from conf.mistake import ConfigError
from ota.artifact import Artifact, write_artifact
from ota.artifact_reader import Contents, UnreadableError, read_artifact
from ota.keys import make_keys, read_private, read_public
from ota.payloads import model, profile, rootfs
from ota.refusal import OtaRefusedError, refused

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False)
keys_app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
artifact_app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
app.add_typer(keys_app, name="keys", help="The keys that artifacts are signed with.")
app.add_typer(artifact_app, name="artifact", help="Make a signed Mender artifact.")
REFUSED = 2
MIB = 1 << 20

Key = Annotated[Path, typer.Option("--key", help="Private key to sign with.")]
Out = Annotated[Path | None, typer.Option("--out", help="File to write.")]
Hardware = Annotated[str | None, typer.Option(help="Board: a file of conf/hardware.")]
Facility = Annotated[str | None, typer.Option(help="Site: a file of conf/facility.")]
Override = Annotated[
    list[str] | None, typer.Option("--set", "-s", help="path.to.setting=value; may be repeated.")
]
Name = Annotated[str, typer.Option("--name", help="Name of the Artifact; no two are called alike.")]


@contextmanager
def telling() -> Iterator[None]:
    try:
        yield
    except (OtaRefusedError, ConfigError, UnreadableError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(REFUSED) from None


@keys_app.command()
def make(
    out: Annotated[Path, typer.Option("--out", help="Folder for the pair.")] = Path("var/keys"),
) -> None:
    """Make a pair: artifact-sign-key.pem stays with you, the other goes into images."""
    private, public = out / "artifact-sign-key.pem", out / "artifact-verify-key.pem"
    with telling():
        make_keys(private, public)
    print(f"{private}  signs; keep it off the robots, and keep a copy\n{public}  checks")


@artifact_app.command("rootfs")
def make_rootfs(
    key: Key,
    image: Annotated[Path, typer.Option(help="Folder of an image build, with slot.img in it.")],
    name: Annotated[str | None, typer.Option("--name", help="Else the image's own.")] = None,
    out: Out = None,
) -> None:
    """A root filesystem: the slot that `bedplate image build` made."""
    with telling():
        _write(rootfs(image, name), key, out)


@artifact_app.command("profile")
def make_profile(
    key: Key,
    name: Name,
    hardware: Hardware = None,
    facility: Facility = None,
    scenario: Annotated[str | None, typer.Option(help="A file of conf/scenario.")] = None,
    overrides: Override = None,
    out: Out = None,
) -> None:
    """A configuration, composed from YAML here and checked again on the robot."""
    from conf.load import compose

    with telling():
        config = compose(
            hardware=hardware,
            facility=facility,
            scenario=scenario,
            overrides=tuple(overrides or ()),
        ).config
        _write(profile(config, name), key, out)


@artifact_app.command("model")
def make_model(
    key: Key,
    name: Name,
    folder: Annotated[Path, typer.Argument(help="Folder with NETWORK.yaml and its network.")],
    network: Annotated[str, typer.Option(help="Name of the network in the profile.")],
    hardware: Annotated[list[str], typer.Option(help="Board; may be repeated.")],
    out: Out = None,
) -> None:
    """A network and its card, in place of one that the robot has."""
    with telling():
        _write(model(folder, network, name, tuple(hardware)), key, out)


def _write(artifact: Artifact, key: Path, out: Path | None) -> None:
    from conf.load import compose

    target = out or Path("var/artifacts") / f"{artifact.name}.mender"
    largest_mib = compose(hardware=artifact.device_types[0]).config.ota.artifact_max_mib
    made = write_artifact(artifact, read_private(key), target)
    if made.size > largest_mib * MIB:
        made.path.unlink()
        raise refused(
            target,
            f"{made.size / MIB:.0f} MiB",
            f"ota.artifact_max_mib is {largest_mib}: what is larger takes the fleet's network down",
            "a smaller image, or a larger ota.artifact_max_mib",
        )
    print(f"{made.path}  {made.size / MIB:.1f} MiB  sha256 {made.sha256}")


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="A .mender file.")],
    key: Annotated[Path | None, typer.Option("--key", help="Public key to check with.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """What an artifact holds, on which terms, and whether it is whole. Ends with 1 if not."""
    with telling():
        contents = read_artifact(file, None if key is None else read_public(key))
    if as_json:
        print(json.dumps(dataclasses.asdict(contents), indent=1))
    else:
        print("\n".join(_lines(contents)))
    if contents.problems or contents.trusted is False:
        raise typer.Exit(1)


def _lines(contents: Contents) -> list[str]:
    word = {True: "signed by that key", False: "NOT signed by that key", None: "signed"}
    signed = word[contents.trusted] if contents.signed else "NOT SIGNED: every robot refuses it"
    return [
        f"{contents.name}  {contents.kind}  for {', '.join(contents.device_types)}  {signed}",
        *(f"  depends   {key} = {value}" for key, value in sorted(contents.depends.items())),
        *(f"  provides  {key} = {value}" for key, value in sorted(contents.provides.items())),
        *(f"  script    {name}" for name in contents.scripts),
        *(f"  file      {name}  {size} bytes  {digest}" for name, size, digest in contents.files),
        *(f"  PROBLEM   {problem}" for problem in contents.problems),
    ]
