"""Plain data as YAML and JSON know it: tables, lists, scalars, and paths into them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

Path = tuple[str | int, ...]


def as_table(value: object) -> Mapping[str, object] | None:
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else None


def as_list(value: object) -> Sequence[object] | None:
    return cast("Sequence[object]", value) if isinstance(value, list | tuple) else None


def step(data: object, key: str | int) -> object:
    """The value one step below, or None."""
    if (table := as_table(data)) is not None:
        return table.get(str(key))
    items = as_list(data)
    if items is not None and isinstance(key, int) and 0 <= key < len(items):
        return items[key]
    return None


def at(data: object, path: Path) -> object:
    for key in path:
        data = step(data, key)
    return data


def has(data: object, path: Path) -> bool:
    """Whether something stands at the path, null included."""
    above = at(data, path[:-1])
    if (table := as_table(above)) is not None:
        return path[-1] in table
    items = as_list(above)
    return items is not None and isinstance(path[-1], int) and path[-1] < len(items)


def leaves(data: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    """Every scalar, and every empty table or list, with its path."""
    table, items = as_table(data), as_list(data)
    if table:
        for key, value in table.items():
            yield from leaves(value, (*path, key))
    elif items:
        for index, value in enumerate(items):
            yield from leaves(value, (*path, index))
    else:
        yield path, data


def dotted(path: Path) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".")


def shown(value: object, limit: int = 80) -> str:
    """A value as YAML would show it, cut to a line."""
    text = _shown(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _shown(value: object) -> str:
    if (items := as_list(value)) is not None:
        return f"[{', '.join(_shown(item) for item in items[:20])}]"
    if (table := as_table(value)) is not None:
        return f"a table of {', '.join(str(key) for key in table) or 'nothing'}"
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            plain = value.isprintable() and value != "" and " " not in value
            return value if plain else repr(value)
        case float() if value.is_integer() and abs(value) < 1e6:
            return f"{value:g}"
        case _:
            return str(value)
