"""An editor finds a schema for every file of conf/, and the schema knows what the file says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from conf.document import SCHEMA_FILE
from conf.editor import (
    EDITOR_DIR,
    GENERATED,
    MODELINE,
    editor_texts,
    modeline_of,
    schema_of,
    settings_files,
)
from conf.load import CONF_DIR

FILES = settings_files()
STALE = "generated files are stale; try  bedplate config schema --write"


def named(file: Path) -> str:
    return str(file.relative_to(CONF_DIR))


def unknown_keys(data: Any, schema: dict[str, Any], home: Path, path: str = "") -> list[str]:
    """Keys that the schema does not know; references are followed from file to file."""
    if "$ref" in schema:
        file, _, place = schema["$ref"].partition("#/")
        home = (home.parent / file).resolve() if file else home
        target: Any = json.loads(home.read_text(encoding="utf-8"))
        for key in place.split("/"):
            target = target[key]
        return unknown_keys(data, target, home, path)
    variants = schema.get("anyOf") or schema.get("oneOf")
    if variants:
        return min((unknown_keys(data, each, home, path) for each in variants), key=len)
    if isinstance(data, list) and isinstance(schema.get("items"), dict):
        rows = enumerate(data)
        return [key for i, row in rows for key in unknown_keys(row, schema["items"], home, path)]
    if not isinstance(data, dict):
        return []
    found: list[str] = []
    for key, value in data.items():
        inner = schema_below(str(key), schema)
        below = f"{path}.{key}".lstrip(".")
        found += [below] if inner is None else unknown_keys(value, inner, home, below)
    return found


def schema_below(key: str, schema: dict[str, Any]) -> dict[str, Any] | None:
    if key in schema.get("properties", {}):
        return schema["properties"][key]
    for pattern, inner in schema.get("patternProperties", {}).items():
        if re.search(pattern, key):
            return inner
    rest = schema.get("additionalProperties", "properties" not in schema)
    return rest if isinstance(rest, dict) else ({} if rest else None)


@pytest.mark.parametrize("file", FILES, ids=named)
def test_file_names_the_schema_of_its_place_in_a_comment(file):
    head = file.read_text(encoding="utf-8").splitlines()[:2]
    assert modeline_of(file) in head, f"add the line  {modeline_of(file)}"


@pytest.mark.parametrize("file", FILES, ids=named)
def test_schema_that_a_file_names_exists(file):
    text = file.read_text(encoding="utf-8")
    [line] = [line for line in text.splitlines() if line.startswith(MODELINE)]
    assert (file.parent / line.removeprefix(MODELINE)).resolve() == schema_of(file)
    assert schema_of(file).is_file()


@pytest.mark.parametrize("file", FILES, ids=named)
def test_editor_finds_no_unknown_key_in_a_shipped_file(file):
    data, schema = yaml.safe_load(file.read_text(encoding="utf-8")), schema_of(file)
    assert unknown_keys(data, json.loads(schema.read_text(encoding="utf-8")), schema) == []


def test_editor_finds_a_misspelt_key_wherever_it_is():
    for name, wrong in {
        "hardware": {"control": {"period_uss": 1}},
        "robot": {"limits": {"joints": {"j1": {"effort": 1}}}},
        "_": {"facility": {"people": {"stale": 1}}},
    }.items():
        schema = SCHEMA_FILE if name == "_" else EDITOR_DIR / f"{name}.json"
        found = unknown_keys(wrong, json.loads(schema.read_text(encoding="utf-8")), schema)
        assert len(found) == 1, name


def test_schemas_of_the_groups_are_fresh_and_no_others_lie_there():
    assert {file: file.read_text("utf-8") for file in EDITOR_DIR.iterdir()} == editor_texts(), STALE


def test_only_compiled_files_have_no_schema():
    rest = set(CONF_DIR.rglob("*.yaml")) - set(FILES)
    assert {file.parent for file in rest} == {CONF_DIR / "robot" / "model"}
    assert all(GENERATED in file.read_text(encoding="utf-8") for file in rest)
