"""Resolved plain data → Config, or every mistake in it with the place it stands."""

import json
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from conf.mistake import Mistake, Origin
from conf.plain import Path, as_list, as_table, at, dotted, leaves, shown, step
from conf.profile import dump, hash_sections
from conf.schema import Config
from conf.shape import Shape, allowed_text, choices_of, clamp, keys_of, nearest, shape_at
from conf.sources import Origins

NO_HASH = "0" * 64
INTEGER_MAX = 2**63 - 1
ENTRY = Origin("conf/robot.yaml")
COMPUTED = ("config_hash", "unit_hash")


def validate(data: dict[str, Any], origins: Origins) -> tuple[Config | None, list[Mistake]]:
    """The configuration with its hashes, or the mistakes."""
    unusable = _unusable(data, origins)
    mistakes = [*unusable.values(), *_computed_set(data, origins)]
    usable = _replaced(data, frozenset(unusable))
    try:
        draft = Config.model_validate_json(
            json.dumps({**usable, **dict.fromkeys(COMPUTED, NO_HASH)})
        )
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            if _path_in(data, detail["loc"]) not in unusable:
                mistakes.append(_mistake(detail, data, origins))
        return None, mistakes
    if mistakes:
        return None, mistakes
    config_hash, unit_hash = hash_sections(dump(draft))
    return draft.model_copy(update={"config_hash": config_hash, "unit_hash": unit_hash}), []


def _replaced(data: Any, unusable: frozenset[Path], path: Path = ()) -> Any:
    """The same data with null where JSON could not say it."""
    if path in unusable:
        return None
    if (table := as_table(data)) is not None:
        return {key: _replaced(value, unusable, (*path, key)) for key, value in table.items()}
    if (items := as_list(data)) is not None:
        return [_replaced(value, unusable, (*path, i)) for i, value in enumerate(items)]
    return data


def _unusable(data: dict[str, Any], origins: Origins) -> dict[Path, Mistake]:
    """Values that YAML can hold and JSON cannot."""
    found: dict[Path, Mistake] = {}
    for path, value in leaves(data):
        reason = _why_unusable(value)
        if reason is not None:
            found[path] = Mistake(
                origins.find(path) or ENTRY,
                dotted(path),
                reason,
                _allowed(shape_at(Config, path, data)),
                "the profile is JSON, and Tier 1 reads nothing else",
                "write a plain value",
            )
    return found


def _why_unusable(value: object) -> str | None:
    match value:
        case str():
            broken = any(0xD800 <= ord(char) <= 0xDFFF for char in value)
            return "text that is not Unicode" if broken else None
        case bool() | None:
            return None
        case int():
            return "a number of more than 64 bits" if abs(value) > INTEGER_MAX else None
        case float() | dict() | list():
            return None
        case _:
            return f"a value of type {type(value).__name__}"


def _computed_set(data: dict[str, Any], origins: Origins) -> list[Mistake]:
    return [
        Mistake(
            origins.find((key,)) or ENTRY,
            key,
            shown(data[key]),
            "left out",
            "the hash is computed from the other settings",
            "remove the key",
        )
        for key in COMPUTED
        if key in data
    ]


def _mistake(detail: ErrorDetails, data: dict[str, Any], origins: Origins) -> Mistake:
    path = _path_in(data, detail["loc"])
    shape = shape_at(Config, path, data)
    match detail["type"]:
        case "extra_forbidden":
            return _unknown_key(path, data, origins)
        case "missing":
            return _missing(path, shape, origins)
        case "value_error" | "assertion_error":
            return _inconsistent(path, detail, origins)
        case "union_tag_not_found" | "union_tag_invalid":
            return _wrong_kind(path, detail, data, origins)
        case _:
            return _wrong_value(path, shape, detail, data, origins)


def _path_in(data: object, loc: tuple[int | str, ...]) -> Path:
    """The error's place without the marks pydantic adds for union members and keys."""
    path: list[int | str] = []
    here: object = data
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        table = as_table(here)
        known = part in table if table is not None else isinstance(part, int)
        if known or (last and part != "[key]"):
            path.append(part)
            here = step(here, part)
    return tuple(path)


def _unknown_key(path: Path, data: object, origins: Origins) -> Mistake:
    name = str(path[-1]) if path else ""
    parent = shape_at(Config, path[:-1], data)
    known = [key for key in (keys_of(parent) if parent else []) if key not in COMPUTED]
    near = nearest(name, known)
    value = shown(at(data, path))
    return Mistake(
        origins.find(path) or ENTRY,
        dotted(path),
        f"the unknown key {name}",
        f"one of {', '.join(known)}",
        "a key that nobody reads would be dropped in silence",
        f"{near}: {value}" if near else "remove the key",
    )


def _missing(path: Path, shape: Shape | None, origins: Origins) -> Mistake:
    suggest = shape.extra.get("suggest") if shape else None
    name = path[-1] if path else "it"
    return Mistake(
        origins.find(path) or ENTRY,
        dotted(path),
        "nothing",
        _allowed(shape),
        f"no file sets it, and it says: {shape.description if shape else name}",
        f"{name}: {shown(suggest) if suggest is not None else '…'}",
    )


def _inconsistent(path: Path, detail: ErrorDetails, origins: Origins) -> Mistake:
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return Mistake(
        origins.find(path) or ENTRY,
        dotted(path) or "the whole",
        "settings that contradict each other",
        f"consistent: {message}",
        "each of them is valid alone, and together they describe no robot",
        "change one of them",
    )


def _wrong_kind(path: Path, detail: ErrorDetails, data: object, origins: Origins) -> Mistake:
    expected = str(detail.get("ctx", {}).get("expected_tags", "'sim', 'cia402'"))
    return Mistake(
        origins.find((*path, "kind")) or ENTRY,
        dotted((*path, "kind")),
        shown(at(data, (*path, "kind"))),
        f"one of {expected.replace(chr(39), '')}",
        "the kind decides which other keys there are",
        f"kind: {expected.split(',')[0].strip(chr(39))}",
    )


def _wrong_value(
    path: Path, shape: Shape | None, detail: ErrorDetails, data: object, origins: Origins
) -> Mistake:
    value = at(data, path)
    is_key = bool(detail["loc"]) and detail["loc"][-1] == "[key]"
    reason = (shape.extra.get("because") or f"it is: {shape.description}") if shape else ""
    return Mistake(
        origins.find(path) or ENTRY,
        dotted(path) or "the whole",
        f"the name {path[-1]}" if is_key else _got(value),
        _key_allowed(detail) if is_key else _allowed(shape, detail["msg"]),
        "names become parts of paths, topics and tags" if is_key else reason or "it is read so",
        _try(path, shape, value) if not is_key else "rename it",
    )


def _got(value: object) -> str:
    text = shown(value)
    if isinstance(value, str) and text == value and (value[:1].isdigit() or value == ""):
        return f"the text '{text}'"
    return text


def _key_allowed(detail: ErrorDetails) -> str:
    pattern = detail.get("ctx", {}).get("pattern")
    expected = detail.get("ctx", {}).get("expected")
    return f"like {pattern}" if pattern else f"one of {expected}" if expected else detail["msg"]


def _allowed(shape: Shape | None, otherwise: str = "a value of the schema") -> str:
    return allowed_text(shape) if shape else otherwise


def _try(path: Path, shape: Shape | None, value: object) -> str:
    name = next((part for part in reversed(path) if isinstance(part, str)), "")
    if shape is None:
        return "see docs/config.md"
    if choices := choices_of(shape):
        return f"{name}: {nearest(str(value), choices) or choices[0]}"
    suggest = shape.extra.get("suggest")
    if suggest is None:
        suggest = clamp(value, shape)
    return f"{name}: {shown(suggest)}" if suggest is not None else f"see {name} in docs/config.md"
