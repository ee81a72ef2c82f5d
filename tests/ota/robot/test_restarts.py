"""Which processes a difference touches: the table against the processes' own code."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from conf.profile import dump
from conf.schema import HASHED_SECTIONS
from ota.restarts import READS, SAYS_HASH, touched
from runtime.handout import NOT_HASHED
from runtime.processes import PROCESSES
from tests.ota.robot.bench import ROOT, own_config, tighter_config

SECTIONS = (*HASHED_SECTIONS, "unit")


@cache
def modules_of(name: str) -> frozenset[str]:
    """What a module imports, and what that imports, within this tree."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        module = waiting.pop()
        path = file_of(module)
        if path is None or module in seen:
            continue
        seen.add(module)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                waiting += [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
    return frozenset(seen)


def file_of(module: str) -> Path | None:
    place = ROOT / module.replace(".", "/")
    found = [path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()]
    return found[0] if found else None


@pytest.mark.parametrize("name", READS)
def test_every_section_that_a_process_reads_is_in_its_row(name: str) -> None:
    module = next(spec.module for spec in PROCESSES if spec.name == name)
    assert module is not None
    read: set[str] = set()
    for each in modules_of(module):
        path = file_of(each)
        if path is not None and each.startswith(("runtime.", "conf.calibration")):
            read |= set(re.findall(r"\b_?config\.(\w+)\b", path.read_text()))
    assert read & set(SECTIONS) <= READS[name]


def test_every_process_that_reads_a_profile_has_a_row() -> None:
    assert set(READS) == {spec.name for spec in PROCESSES if spec.module is not None}


def test_the_hand_out_hashes_the_sections_that_the_schema_names() -> None:
    assert set(dump(own_config())) - NOT_HASHED == set(HASHED_SECTIONS)


def test_a_new_name_for_the_same_rules_leaves_the_control_process_alone() -> None:
    before, after = dump(own_config()), dump(tighter_config())
    rules = {"limits": 1, "config_hash": "a", "artifact_name": "x"}
    renamed = {**rules, "config_hash": "b", "artifact_name": "y"}
    found = touched(before, after, (rules, renamed), ({}, {}))
    assert "controld" not in found
    assert set(found) >= SAYS_HASH


def test_other_rules_restart_the_control_process() -> None:
    same = dump(own_config())
    assert touched(same, same, ({"limits": 1}, {"limits": 2}), ({}, {})) == ("controld",)


def test_another_network_restarts_who_runs_it_and_nobody_else() -> None:
    same = dump(own_config())
    assert touched(same, same, ({}, {}), ({}, {"level1": "x"})) == ("visiond",)


def test_no_difference_touches_nothing() -> None:
    same = dump(own_config())
    assert touched(same, same, ({}, {}), ({}, {})) == ()
