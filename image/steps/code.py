"""The tree's own code and models, as git knows them."""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from conf.schema import Config
from image.layers import Entry
from image.programs import run
from image.steps.python import compile_folder
from image.steps.robot import GUEST_ROWS, robot_rows
from image.steps.tools import Tools

PLACE = "opt/bedplate"
AREAS = ("conf", "ota", "rt_kernel", "runtime")
SINGLE = ("bedplate.py", "records.py")
GUEST_FILES = ("sim/__init__.py", "sim/faults.py", "sim/gpu.py", "sim/processes.py")
# Sources of what is compiled, scripts of training, and what only a build needs.
LEFT_OUT = (
    "conf/editor/",
    "ota/power_cut/",
    "rt_kernel/fragments/",
    "rt_kernel/patches/",
    "runtime/controld/",
)
KEPT_OF_CONTROLD = re.compile(r"^runtime/controld/[a-z_]+\.py$")
SUFFIXES = (".py", ".json", ".yaml", ".npz", ".jsonl")
MODEL_SUFFIXES = (".onnx", ".yaml", ".json")  # how they were made stays behind


def tracked(tree: Path) -> list[str]:
    """Files of the tree that git tracks, and those that are new and not ignored."""
    listed = run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        why="list the tree's files",
        cwd=tree,
    )
    return sorted({name for name in listed.split("\0") if name and (tree / name).is_file()})


def wanted(names: Iterable[str], config: Config) -> list[str]:
    """The files a robot with this profile gets."""
    guest = any(row.name in GUEST_ROWS for row in robot_rows(config))
    areas = (*AREAS, "sim/replay") if guest else AREAS
    single = (*SINGLE, *GUEST_FILES) if guest else SINGLE
    return [
        name
        for name in names
        if name in single
        or KEPT_OF_CONTROLD.match(name)
        or (name.startswith("models/") and name.endswith(MODEL_SUFFIXES))
        or (
            name.startswith(tuple(f"{area}/" for area in areas))
            and name.endswith(SUFFIXES)
            and not name.startswith(LEFT_OUT)
        )
    ]


def entries(tree: Path, config: Config, compiled: Path, tools: Tools, work: Path) -> list[Entry]:
    """The code with its bytecode, and the programs compiled of it."""
    built = [
        Entry.copy(str(path.relative_to(compiled)), path, 0o755)
        for path in sorted(compiled.rglob("*"))
        if path.is_file()
    ]
    names = wanted(tracked(tree), config)
    files = [Entry.copy(f"{PLACE}/{name}", tree / name) for name in names]
    return [*files, *_bytecode(tree, names, tools, work / "code"), *built]


def _bytecode(tree: Path, names: Iterable[str], tools: Tools, folder: Path) -> list[Entry]:
    """A read-only root cannot keep it, so every boot would compile everything anew."""
    for name in names:
        if name.endswith(".py"):
            copy = folder / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(tree / name, copy)
    compile_folder(folder, f"/{PLACE}", tools)
    return [
        Entry.copy(f"{PLACE}/{path.relative_to(folder)}", path)
        for path in sorted(folder.rglob("*.pyc"))
    ]
