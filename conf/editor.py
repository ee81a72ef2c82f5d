"""What an editor's YAML language server needs to complete and check the files of conf/.

Each file names its schema in a comment. Files laid over everything are described by
conf/schema.json; files of a group by a part of it, which lies in conf/editor/.
"""

import copy
import json
import os
import re
from pathlib import Path
from typing import Any, Final

from conf.document import SCHEMA_FILE, json_schema
from conf.request import CONF_DIR

EDITOR_DIR: Final = CONF_DIR / "editor"
MODELINE: Final = "# yaml-language-server: $schema="
PACKAGE: Final = re.compile(r"^# @package (\S+)$", re.MULTILINE)
GENERATED: Final = "Do not edit"


def package_of(file: Path) -> str:
    """Where a file's values go: `_global_`, or a path into the configuration."""
    found = PACKAGE.search(file.read_text(encoding="utf-8"))
    if found:
        return found[1]
    folder = file.relative_to(CONF_DIR).parent
    return ".".join(folder.parts) or "_global_"


def schema_of(file: Path) -> Path:
    package = package_of(file)
    return SCHEMA_FILE if package == "_global_" else EDITOR_DIR / f"{package}.json"


def modeline_of(file: Path) -> str:
    """The comment by which a YAML file names its schema, relative to itself."""
    return MODELINE + Path(os.path.relpath(schema_of(file), file.parent)).as_posix()


def settings_files() -> list[Path]:
    """Every file that a person edits: what a program writes is left as the program writes it."""
    files = sorted(CONF_DIR.rglob("*.yaml"))
    return [file for file in files if GENERATED not in file.read_text(encoding="utf-8")[:400]]


def editor_texts() -> dict[Path, str]:
    """The schema of each group, as a view of the whole."""
    whole = json_schema()
    packages = {package_of(file) for file in settings_files()} - {"_global_"}
    return {EDITOR_DIR / f"{name}.json": _text(_part(whole, name)) for name in sorted(packages)}


def _part(whole: dict[str, Any], package: str) -> dict[str, Any]:
    name = whole["properties"][package]["$ref"].rpartition("/")[2]
    part = _outward(copy.deepcopy(whole["$defs"][name]))
    part["properties"]["defaults"] = whole["properties"]["defaults"]
    return {**part, "$schema": whole["$schema"], "title": f"Bedplate configuration: {package}"}


def _outward(node: Any) -> Any:
    """The same, with references into the whole schema's file."""
    if isinstance(node, dict):
        return {key: _outward(value) for key, value in node.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(node, list):
        return [_outward(item) for item in node]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(node, str) and node.startswith("#/$defs/"):
        return f"../{SCHEMA_FILE.name}{node}"
    return node


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
