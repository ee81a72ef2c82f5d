"""docs/ota-faults.md: every number has a row, every row a test that exists or a reason."""

import ast
import re

import pytest

from tests.ota.robot.bench import ROOT

TEXT = (ROOT / "docs/ota-faults.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("| ") and "---" not in line and not line.startswith("| no.")
]
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)))
FAULTS = 21
OF_A_JETSON = 13


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_a_named_test_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_number_of_the_list_has_its_row() -> None:
    numbers = [row[0] for row in ROWS if row[0]]
    wanted = [str(number) for number in range(1, FAULTS + 1)]
    assert numbers == wanted + [f"J{number}" for number in range(1, OF_A_JETSON + 1)]


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[0]} {row[1]}" for row in ROWS])
def test_every_row_names_a_test_or_says_why_not(row: list[str]) -> None:
    last = row[-1]
    assert "::" in last or last.endswith(".")


def test_nothing_that_looks_like_a_test_is_spelled_otherwise() -> None:
    assert TEXT.count("::") == len(re.findall(r"`tests/[\w/]+\.py::\w+`", TEXT))
