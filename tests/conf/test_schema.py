"""Rules every settings model keeps."""

import re
from collections.abc import Iterator
from enum import Enum
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from conf.schema import HASHED_SECTIONS, Config
from conf.schema.base import FrozenDict, Model, Safe, SafetyModel

# Ends of names of numbers that need no unit: counts, ratios, numbers of things.
COUNTS = re.compile(
    r"(_ratio|_cycles|_limit|_steps|_max|_expected|_percent|_multiplier|_scale|_share|_count)$"
)
UNITS = re.compile(
    r"_(ns|us|ms|s|h|hz|m|m_s|m_s2|rad|rad_s|rad_s2|rad_s3|nm|nm_s|nms_rad|kg|kgm2|c|kpa|px|deg|mib"
    r"|bytes|bps|kbps|tflops|minutes|w|v)$"
)


def models(root: type[BaseModel] = Config) -> set[type[BaseModel]]:
    found: set[type[BaseModel]] = set()

    def visit(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            if annotation not in found:
                found.add(annotation)
                for field in annotation.model_fields.values():
                    visit(field.annotation)
            return
        for inner in get_args(annotation):
            visit(inner)

    visit(root)
    return found


def scalars(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type):
        yield annotation
    for inner in get_args(annotation):
        yield from scalars(inner)


MODELS = sorted(models(), key=lambda model: model.__qualname__)
SAFETY_MODELS = [model for model in MODELS if issubclass(model, SafetyModel)]


def test_models_are_found():
    assert len(MODELS) > 40
    assert len(SAFETY_MODELS) > 10


@pytest.mark.parametrize("model", MODELS)
def test_model_is_frozen_strict_and_knows_no_other_key(model):
    assert issubclass(model, Model)
    assert model.model_config["frozen"]
    assert model.model_config["strict"]
    assert model.model_config["extra"] == "forbid"
    assert not model.model_config["allow_inf_nan"]


@pytest.mark.parametrize("model", MODELS)
def test_every_setting_says_what_it_is(model):
    silent = [
        name
        for name, field in model.model_fields.items()
        if not field.description and name not in ("kind",)
    ]
    assert silent == []


@pytest.mark.parametrize("model", SAFETY_MODELS)
def test_safety_setting_declares_its_safe_direction(model):
    undecided = []
    for name, field in model.model_fields.items():
        kinds = set(scalars(field.annotation))
        decisive = any(
            issubclass(kind, int | float | bool | Enum) for kind in kinds if kind is not type(None)
        )
        if decisive and not any(issubclass(kind, BaseModel) for kind in kinds):
            extra = field.json_schema_extra
            direction = extra.get("safe") if isinstance(extra, dict) else None
            if direction not in {safe.value for safe in Safe}:
                undecided.append(name)
    assert undecided == []


@pytest.mark.parametrize("model", MODELS)
def test_setting_with_a_safe_direction_has_no_default(model):
    hidden = [
        name
        for name, field in model.model_fields.items()
        if isinstance(field.json_schema_extra, dict)
        and "safe" in field.json_schema_extra
        and field.default is not PydanticUndefined
    ]
    assert hidden == [], "a default that no file states could be moved unseen"


@pytest.mark.parametrize("model", MODELS)
def test_closed_set_with_a_safe_direction_is_fixed(model):
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra
        kinds = [k for k in scalars(field.annotation) if issubclass(k, Enum)]
        if kinds and isinstance(extra, dict) and "safe" in extra:
            assert extra["safe"] == Safe.FIXED.value, f"{model.__name__}.{name} has no order"


def test_hash_covers_every_section_but_the_unit():
    sections = {
        name
        for name, field in Config.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    assert sections - {"unit"} == set(HASHED_SECTIONS)


def test_frozen_table_refuses_every_change():
    table = FrozenDict({"a": 1})
    for change in (
        lambda: table.__setitem__("a", 2),
        lambda: table.pop("a"),
        table.clear,
        lambda: table.update(a=2),
        lambda: table.setdefault("b", 1),
        lambda: table.__delitem__("a"),
    ):
        with pytest.raises(TypeError, match="frozen"):
            change()
    assert table == {"a": 1}
    assert hash(table) == hash(FrozenDict({"a": 1}))
