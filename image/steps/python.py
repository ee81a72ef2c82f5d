"""Python packages of the robot: what uv.lock names, as wheels for its processor, by hash."""

import shutil
from pathlib import Path

from image.cache import Cache, default_cache, sha256_of_text
from image.layers import Entry
from image.programs import run
from image.refusal import BuildRefused, refused
from image.steps.extension import fetch_source, locked_source, unpack_source
from image.steps.tools import Tools

RECIPE = "2"
VERSION = "3.13"
PLACE = "opt/bedplate/venv"
PACKAGES = f"{PLACE}/lib/python{VERSION}/site-packages"
# Pure Python, published without a wheel: taken as it is, from this folder of its source.
SOURCE_ONLY = {"antlr4-python3-runtime": "src/antlr4", "sdnotify": "sdnotify"}
COMPILED_HERE = ("ruckig",)  # no wheel for the robot: image/steps/extension.py
# Tests, and what names the machine that installed: scripts, and the list with their hashes.
LEFT_OUT = (
    "*.dist-info/RECORD",
    "*.dist-info/direct_url.json",
    "*.dist-info/uv_*.json",
    "*/__pycache__",
    ".lock",
    "bin",
    "numpy/*/tests",
    "numpy/tests",
)


def requirements(tree: Path, uv: Path) -> str:
    """What uv.lock says for the robot, with hashes; the same text on every machine."""
    return run(
        [
            uv,
            "export",
            "--frozen",
            "--no-header",
            "--no-annotate",
            "--no-emit-project",
            "--no-default-groups",
            "--group",
            "runtime",
            *(
                word
                for name in (*COMPILED_HERE, *SOURCE_ONLY)
                for word in ("--no-emit-package", name)
            ),
        ],
        why="read the lock of Python packages",
        cwd=tree,
    )


def find_uv() -> Path:
    """The machine's own, or the one that bootstrap.sh has installed for this tree."""
    found = shutil.which("uv")
    kept = sorted(default_cache().parent.glob("uv-*/bin/uv"))
    if found is None and not kept:
        raise refused(
            "uv", "not installed", "it reads the lock of Python packages", "./bootstrap.sh image"
        )
    return Path(found) if found else kept[-1]


def install(tree: Path, tools: Tools, cache: Cache) -> Path:
    """A folder that is the robot's site-packages, compiled to bytecode."""
    uv = find_uv()
    wanted = requirements(tree, uv)

    def build(work: Path) -> None:
        with cache.workspace("python") as scratch:
            listed = scratch / "requirements.txt"
            listed.write_text(wanted)
            _install(uv, listed, work)
            for name in SOURCE_ONLY:
                lay_pure(tree, name, cache, work, scratch)
        for pattern in LEFT_OUT:
            for path in work.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        compile_folder(work, f"/{PACKAGES}", tools)

    pure = [locked_source(tree, name).sha256 for name in SOURCE_ONLY]
    return cache.make("python", sha256_of_text(RECIPE, VERSION, wanted, *pure), build)


def lay_pure(tree: Path, name: str, cache: Cache, target: Path, scratch: Path) -> None:
    """A package's modules out of its source: a builder of wheels would write its own version in."""
    source = locked_source(tree, name)
    unpacked = unpack_source(fetch_source(source, name, cache), scratch / name)
    folder = unpacked / SOURCE_ONLY[name]
    shutil.copytree(folder, target / folder.name)
    facts = target / f"{name.replace('-', '_')}-{source.version}.dist-info"
    facts.mkdir()
    shutil.copyfile(unpacked / "PKG-INFO", facts / "METADATA")


def _install(uv: Path, listed: Path, target: Path) -> None:
    command = [
        uv,
        "pip",
        "install",
        "--quiet",
        f"--target={target}",
        "--python-platform=aarch64-manylinux_2_28",
        f"--python-version={VERSION}",
        "--no-deps",  # the export names all of them
        "--require-hashes",
        "--link-mode=copy",
        "--only-binary=:all:",
        f"--requirement={listed}",
    ]
    why = "install the robot's Python packages"
    try:
        run(command, why=why)
    except BuildRefused:
        shutil.rmtree(target)
        target.mkdir(mode=0o755)
        run([*command, "--offline"], why=why)  # all of it may be in uv's own cache


def compile_folder(folder: Path, place: str, tools: Tools) -> None:
    """Bytecode that is checked by content, not by time, made by the robot's release of Python."""
    tools.run(
        f"python{VERSION}",
        "-m",
        "compileall",
        "-q",
        "--invalidation-mode",
        "unchecked-hash",
        "-s",
        str(folder),
        "-p",
        place,
        folder,
        why="compile the robot's Python to bytecode",
        environment={"PYTHONHOME": str(tools.root / "usr"), "PYTHONHASHSEED": "0"},
    )


def entries(folder: Path) -> list[Entry]:
    """The environment: Debian's interpreter, these packages."""
    found = [
        Entry.copy(f"{PACKAGES}/{path.relative_to(folder)}", path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    ]
    settings = f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {VERSION}\n"
    return [
        *found,
        Entry.file(f"{PLACE}/pyvenv.cfg", settings),
        Entry.file(f"{PACKAGES}/bedplate.pth", "/opt/bedplate\n"),
        Entry.link(f"{PLACE}/bin/python", f"/usr/bin/python{VERSION}"),
        Entry.link(f"{PLACE}/bin/python3", "python"),
    ]


def extension_entries(folder: Path) -> list[Entry]:
    return [Entry.copy(f"{PACKAGES}/{path.name}", path) for path in sorted(folder.glob("*.so"))]


def installed(folder: Path) -> list[tuple[str, str]]:
    """Name and version of every package in it."""
    found = [path.name.removesuffix(".dist-info") for path in folder.glob("*.dist-info")]
    return sorted((name.partition("-")[0], name.partition("-")[2]) for name in found)
