"""`bedplate skills`: make keys, pack, verify, install and list skills."""

import shutil
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.table import Table

from runtime.paths import Paths, robot_paths
from runtime.skills.cache import SkillCache
from runtime.skills.manifest import parse_manifest
from runtime.skills.package import archive_bytes, read_source
from runtime.skills.refusal import SkillRefusedError
from runtime.skills.signature import (
    load_private_key,
    load_trusted_keys,
    sign_folder,
    write_key_pair,
)
from runtime.skills.verify import verify_files

app = typer.Typer(no_args_is_help=True, help="Signed skills: pack, verify, install, list.")
console = Console()
errors = Console(stderr=True)

EXIT_REFUSED = 1
DEFAULT_DATA_DIR = robot_paths(Path("var"), "osaka-01").data

DataDir = Annotated[Path, typer.Option("--data-dir", help="the robot's data folder")]
KeyDir = Annotated[Path | None, typer.Option("--keys", help="folder of trusted public keys (PEM)")]


def key_folder(data_dir: Path) -> Path:
    """Where a robot keeps the public keys whose skills it runs."""
    return Paths(run=data_dir, data=data_dir).pki / "skills"


@app.command("list")
def list_skills(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Show the cached skills, most recently used first."""
    cache = SkillCache.open(Paths(run=data_dir, data=data_dir).skills, key_folder(data_dir))
    table = Table("skill", "version", "digest", "arm", "state")
    for cached in cache.list():
        try:
            skill = cache.load(cached)
        except SkillRefusedError as error:
            table.add_row(cached.name, cached.version, cached.digest[:12], "?", error.reason.value)
            continue
        table.add_row(
            cached.name, cached.version, cached.digest[:12], skill.manifest.arm, "verified"
        )
    console.print(table)


@app.command()
def verify(
    source: Annotated[Path, typer.Argument(help="a skill folder or .skill archive")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    keys: KeyDir = None,
) -> None:
    """Check signature, hashes, manifest and the networks' shapes; installs nothing."""
    trusted = load_trusted_keys(keys if keys is not None else key_folder(data_dir))
    try:
        skill = verify_files(read_source(source), trusted, source)
    except SkillRefusedError as error:
        raise _refused(error) from error
    console.print(f"{skill.label} for {skill.manifest.arm}: signature, hashes and shapes hold")


@app.command()
def install(
    source: Annotated[Path, typer.Argument(help="a skill folder or .skill archive")],
    arm: Annotated[str, typer.Option(help="the robot's arm, as in its profile")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Verify a skill and put it into the robot's cache."""
    cache = SkillCache.open(Paths(run=data_dir, data=data_dir).skills, key_folder(data_dir))
    try:
        skill = cache.install(source, arm)
    except SkillRefusedError as error:
        raise _refused(error) from error
    console.print(f"{skill.label} installed in {data_dir}")


@app.command()
def pack(
    source: Annotated[Path, typer.Argument(help="folder with manifest.yaml, card.yaml, networks")],
    key: Annotated[Path, typer.Option(help="ed25519 private key (PEM)")],
    out: Annotated[Path, typer.Option(help="the .skill archive to write")],
) -> None:
    """Sign a folder's files and write them as one archive."""
    try:
        digest = pack_folder(source, key, out)
    except SkillRefusedError as error:
        raise _refused(error) from error
    console.print(f"{out}: signed, digest {digest[:12]}")


@app.command()
def keygen(
    private: Annotated[Path, typer.Option(help="where to write the private key (mode 600)")],
    public: Annotated[Path, typer.Option(help="where to write the public key")],
) -> None:
    """Make a signing key pair; existing keys are left as they are."""
    if private.exists() and public.exists():
        console.print(f"{private} and {public} exist already; nothing written")
        return
    write_key_pair(private, public)
    console.print(f"private key {private}, public key {public}")


def pack_folder(source: Path, key: Path, out: Path) -> str:
    """The archive's digest. What is packed is checked exactly as a robot would check it."""
    signing_key = load_private_key(key)
    staging = out.with_name(f".{out.name}.staging")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        for name, content in read_source(source).items():
            if not name.startswith("files."):
                (staging / name).write_bytes(content)
        parse_manifest((staging / "manifest.yaml").read_bytes(), source / "manifest.yaml")
        digest = sign_folder(staging, signing_key)
        files = read_source(staging)
        verify_files(files, (signing_key.public_key(),), source)
        out.write_bytes(archive_bytes(files))
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return digest


def write_manifest(path: Path, manifest: dict[str, object]) -> None:
    """Keys in the order of the model, so that manifests diff well."""
    path.write_text(yaml.safe_dump(manifest, sort_keys=False, width=100))


def _refused(error: SkillRefusedError) -> typer.Exit:
    errors.print(str(error), markup=False, highlight=False)
    return typer.Exit(EXIT_REFUSED)
