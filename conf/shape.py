"""Reading the schema as data: which keys a place has, what a value may be, what a field says."""

import types
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from conf.plain import Path, as_table, step


@dataclass(frozen=True)
class Shape:
    """A place in the schema: its bare type, its constraints, the field it belongs to."""

    kind: Any
    constraints: tuple[Any, ...] = ()
    field: FieldInfo | None = None
    owner: type[BaseModel] | None = None

    @property
    def extra(self) -> dict[str, Any]:
        extra = self.field.json_schema_extra if self.field else None
        return cast("dict[str, Any]", extra) if isinstance(extra, dict) else {}

    @property
    def description(self) -> str:
        return (self.field.description or "") if self.field else ""

    @property
    def model(self) -> type[BaseModel] | None:
        return (
            self.kind if isinstance(self.kind, type) and issubclass(self.kind, BaseModel) else None
        )


def shape_of(annotation: Any, constraints: tuple[Any, ...] = (), raw: object = None) -> Shape:
    """Unwraps Annotated, Optional and tagged unions (by the tag in `raw`)."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *extra = get_args(annotation)
        return shape_of(inner, (*constraints, *extra), raw)
    if origin in (Union, types.UnionType):
        members = [arg for arg in get_args(annotation) if arg is not type(None)]
        return shape_of(_member(members, raw), constraints, raw)
    flat: list[Any] = []
    for item in constraints:
        flat.extend(item.metadata if isinstance(item, FieldInfo) else [item])
    return Shape(annotation, tuple(flat))


def _member(members: list[Any], raw: object) -> Any:
    table = as_table(raw)
    tag = table.get("kind") if table else None
    for member in members:
        kind = getattr(member, "model_fields", {}).get("kind")
        if kind is not None and tag in get_args(kind.annotation):
            return member
    return members[0]


def field_shape(model: type[BaseModel], name: str, raw: object = None) -> Shape | None:
    field = model.model_fields.get(name)
    if field is None:
        return None
    inner = shape_of(field.annotation, tuple(field.metadata), raw)
    return Shape(inner.kind, inner.constraints, field, model)


def child(shape: Shape, key: str | int, raw: object = None) -> Shape | None:
    """The shape one step below; `raw` is the value there, which decides between tagged variants."""
    if shape.model is not None:
        return field_shape(shape.model, str(key), raw)
    args = get_args(shape.kind)
    origin = get_origin(shape.kind)
    if origin is dict and len(args) == 2:
        inner = shape_of(args[1], (), raw)
    elif origin is tuple and args:
        index = key if isinstance(key, int) else 0
        last = args[0] if args[-1] is Ellipsis else args[min(index, len(args) - 1)]
        inner = shape_of(last, (), raw)
    else:
        return None
    return Shape(inner.kind, inner.constraints, shape.field, shape.owner)


def shape_at(root: type[BaseModel], path: Path, raw: object = None) -> Shape | None:
    shape: Shape | None = Shape(root)
    for key in path:
        raw = step(raw, key)
        shape = child(shape, key, raw) if shape else None
    return shape


def nearest(name: str, known: list[str]) -> str | None:
    found = get_close_matches(name, known, n=1, cutoff=0.5)
    return found[0] if found else None


def keys_of(shape: Shape) -> list[str]:
    return list(shape.model.model_fields) if shape.model else []


def choices_of(shape: Shape) -> list[str]:
    """The members of a closed set."""
    kind: Any = shape.kind
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [str(member.value) for member in kind]
    if get_origin(shape.kind) is Literal:
        return [str(value) for value in get_args(shape.kind)]
    return []


def bounds_of(shape: Shape) -> dict[str, Any]:
    """ge, gt, le, lt, min_length, max_length, pattern: as far as declared."""
    found: dict[str, Any] = {}
    for item in shape.constraints:
        match item:
            case annotated_types.Ge(ge=value):
                found["ge"] = value
            case annotated_types.Gt(gt=value):
                found["gt"] = value
            case annotated_types.Le(le=value):
                found["le"] = value
            case annotated_types.Lt(lt=value):
                found["lt"] = value
            case annotated_types.MinLen(min_length=value):
                found["min_length"] = value
            case annotated_types.MaxLen(max_length=value):
                found["max_length"] = value
            case _ if pattern := getattr(item, "pattern", None):
                found["pattern"] = pattern
            case _:
                pass
    return found


def allowed_text(shape: Shape) -> str:
    """What a value here may be, in words."""
    if choices := choices_of(shape):
        return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    if shape.model is not None:
        return f"a table with {', '.join(keys_of(shape))}"
    bounds = bounds_of(shape)
    if shape.kind is bool:
        return "true or false"
    if shape.kind in (int, float):
        return f"{'a whole number' if shape.kind is int else 'a number'}{_range(bounds)}"
    if shape.kind is str:
        return _text_allowed(bounds)
    return _many_allowed(shape, bounds)


def _text_allowed(bounds: dict[str, Any]) -> str:
    if pattern := bounds.get("pattern"):
        return f"text like {pattern}"
    longest = bounds.get("max_length")
    return f"text of at most {longest} characters" if longest else "text"


def _many_allowed(shape: Shape, bounds: dict[str, Any]) -> str:
    args = get_args(shape.kind)
    origin = get_origin(shape.kind)
    if origin is dict:
        return "a table of named rows"
    if origin is not tuple:
        return "another value"
    inner = allowed_text(shape_of(args[0])) if args else "a value"
    if args and args[-1] is not Ellipsis:
        return f"a list of {len(args)}, each {inner}"
    low, high = bounds.get("min_length"), bounds.get("max_length")
    size = f" of {low} to {high}" if low and high else ""
    return f"a list{size}, each {inner}"


def _range(bounds: dict[str, Any]) -> str:
    low, high = bounds.get("ge"), bounds.get("le")
    if low is not None and high is not None:
        return f" between {low} and {high}"
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    parts = [f"{word} {bounds[key]}" for key, word in words.items() if key in bounds]
    return f" {' and '.join(parts)}" if parts else ""


def clamp(value: object, shape: Shape) -> object:
    """The nearest value inside closed bounds, to suggest."""
    bounds = bounds_of(shape)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    if (low := bounds.get("ge")) is not None and not value >= low:
        return low
    if (high := bounds.get("le")) is not None and not value <= high:
        return high
    return None
