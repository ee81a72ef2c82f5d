"""What the robot's files import is on the robot."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from conf.load import compose
from image.steps.code import tracked, wanted

ROOT = Path(__file__).parents[2]
OWN = {
    "bedplate",
    "conf",
    "fleet",
    "image",
    "models",
    "records",
    "rt_kernel",
    "runtime",
    "sim",
    "ota",
}
# Imported where a board has it, or by the tool that makes recordings; never needed to start.
ELSEWHERE = {"cuda", "pycuda", "tensorrt", "sim.lockstep"}


def imported(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
    return found


def installed_on_the_robot() -> set[str]:
    """Distributions that uv.lock gives to the base and the group `runtime`, normalized."""
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    packages = {one["name"]: one for one in lock["package"]}
    bedplate = packages["bedplate"]
    rows = [*bedplate["dependencies"], *bedplate["dev-dependencies"]["runtime"]]
    waiting = [row["name"] for row in rows]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [row["name"] for row in packages[name].get("dependencies", [])]
    return found


def modules_of(names: list[str]) -> set[str]:
    dotted = {name.removesuffix(".py").replace("/", ".") for name in names if name.endswith(".py")}
    dotted = {name.removesuffix(".__init__") for name in dotted}
    return dotted | {name.rpartition(".")[0] for name in dotted}


@pytest.mark.parametrize("board", ["qemu_arm64", "jetson_agx_orin"])
def test_every_import_of_a_robots_file_is_there(board):
    names = wanted(tracked(ROOT), compose(hardware=board).config)
    own, third = modules_of(names), installed_on_the_robot()
    distributions = packages_distributions()
    missing: dict[str, str] = {}
    for name in names:
        if not name.endswith(".py"):
            continue
        for module in imported(ast.parse((ROOT / name).read_text())):
            top = module.split(".")[0]
            if module in ELSEWHERE or top in ELSEWHERE or top in sys.stdlib_module_names:
                continue
            if top in OWN:
                if module not in own and module != "runtime.shm._native":
                    missing[module] = name
            elif not {plain(one) for one in (*distributions.get(top, ()), top)} & third:
                missing[module] = name
    assert missing == {}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_missing_package_would_be_seen():
    assert "httpx" in installed_on_the_robot()
    assert "jax" not in installed_on_the_robot()
    assert imported(ast.parse("import a.b\nfrom c import d\nfrom . import e")) == {"a.b", "c"}


def test_image_is_built_where_the_robots_own_module_is_not():
    """On a machine of another kind, and by `image verify` in a bare copy of the tree."""
    words = "import sys; sys.modules['runtime.shm._native'] = None; import image.cli"
    done = subprocess.run(
        [sys.executable, "-c", words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
