"""What is generated from the schema is fresh, and completes what the repository holds."""

import pytest
import yaml

from conf.document import REFERENCE_FILE, SCHEMA_FILE, json_schema, reference_text, schema_text
from conf.load import CONF_DIR
from conf.schema import Config

STALE = "generated files are stale; try  bedplate config schema --write"


def test_json_schema_is_fresh():
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), STALE


def test_reference_page_is_fresh():
    assert REFERENCE_FILE.read_text(encoding="utf-8") == reference_text(), STALE


def test_reference_names_every_section_and_a_safe_direction():
    text = reference_text()
    for name in Config.model_fields:
        assert f"## {name}\n" in text or name.endswith("_hash")
    assert "only down" in text
    assert "energy at contact grows with the square of tool speed" in text


@pytest.mark.parametrize(
    "file", sorted((CONF_DIR / "facility").glob("*.yaml")), ids=lambda file: file.stem
)
def test_editor_schema_knows_the_keys_of_a_facility(file):
    properties = json_schema()["properties"]
    assert set(yaml.safe_load(file.read_text())) <= set(properties)
