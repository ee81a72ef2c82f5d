"""Overlays may only tighten: comparing safety settings before and after an overlay.

Works on resolved plain data, so that an interpolation or a whole group chosen by an overlay is seen
as what it comes to.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel

from conf.mistake import Mistake, Origin
from conf.plain import Path, as_list, as_table, dotted, has, shown, step
from conf.schema.base import Safe, SafetyModel
from conf.shape import Shape, child, field_shape


class Change(StrEnum):
    TIGHTENED = "tightened"
    LOOSENED = "loosened"
    MOVED = "moved"  # a setting of which no direction is known to be safer
    REMOVED = "removed"


@dataclass(frozen=True)
class Move:
    """What an overlay did to one safety setting."""

    path: Path
    change: Change
    before: object
    after: object
    shape: Shape

    @property
    def refused(self) -> bool:
        return self.change is not Change.TIGHTENED


def find_moves(root: type[BaseModel], before: object, after: object) -> list[Move]:
    """Every safety setting that differs, with the direction it went."""
    return list(_walk(Shape(root), before, after, ()))


def _walk(shape: Shape, before: object, after: object, path: Path) -> Iterator[Move]:
    if shape.model is not None:
        yield from _walk_model(shape.model, before, after, path)
        return
    for key in _keys(before):
        below = (*path, key)
        inner = child(shape, key, step(before, key))
        if inner is None:
            continue
        if not has(after, (key,)):
            yield from _removed(inner, step(before, key), below)
        else:
            yield from _walk(inner, step(before, key), step(after, key), below)
    for key in _keys(after) if as_table(before) is not None else []:
        inner = child(shape, key, step(after, key))
        if not has(before, (key,)) and inner and _holds_safety(inner, step(after, key)):
            # One more row of limits or boxes allows nothing that was not allowed before.
            yield Move((*path, key), Change.TIGHTENED, None, step(after, key), inner)


def _keys(data: object) -> list[str | int]:
    table, items = as_table(data), as_list(data)
    if table is not None:
        return list(table)
    return list(range(len(items))) if items is not None else []


def _walk_model(
    model: type[BaseModel], before: object, after: object, path: Path
) -> Iterator[Move]:
    for name in model.model_fields:
        if not has(before, (name,)) or as_table(after) is None:
            continue
        below = (*path, name)
        old, new = step(before, name), step(after, name)
        shape = field_shape(model, name, new)
        if shape is None:
            continue
        direction = shape.extra.get("safe")
        if not has(after, (name,)):
            yield from _removed(shape, old, below)
        elif direction is not None:
            yield from _compare(Safe(direction), shape, old, new, below)
        else:
            yield from _walk(shape, old, new, below)


def _removed(shape: Shape, old: object, path: Path) -> Iterator[Move]:
    """A row or setting that the overlay took away, if a safety setting was in it."""
    if _holds_safety(shape, old):
        yield Move(path, Change.REMOVED, old, None, shape)


def _holds_safety(shape: Shape, old: object) -> bool:
    if shape.model is not None and issubclass(shape.model, SafetyModel):
        return True
    if shape.extra.get("safe") is not None:
        return True
    inner = [(child(shape, key, step(old, key)), step(old, key)) for key in _keys(old)]
    return any(_holds_safety(below, value) for below, value in inner if below is not None)


def _compare(direction: Safe, shape: Shape, old: object, new: object, path: Path) -> Iterator[Move]:
    if old == new and isinstance(old, bool) == isinstance(new, bool):
        return
    if direction is Safe.FIXED:
        yield Move(path, Change.MOVED, old, new, shape)
        return
    old_items, new_items = as_list(old), as_list(new)
    if old_items is not None and new_items is not None and len(old_items) == len(new_items):
        for index, (a, b) in enumerate(zip(old_items, new_items, strict=True)):
            yield from _compare(direction, shape, a, b, (*path, index))
        return
    if not isinstance(old, int | float) or not isinstance(new, int | float):
        return  # of the wrong type: the schema says so
    if old != old or new != new:
        return  # NaN is on no side of anything, and the schema refuses it
    safer = new < old if direction is Safe.LOWER else new > old
    yield Move(path, Change.TIGHTENED if safer else Change.LOOSENED, old, new, shape)


def mistake_of(move: Move, origin: Origin, base: Origin | None) -> Mistake:
    """What to tell whoever wrote a refused move."""
    known = f"{shown(move.before)}" + (f" ({base})" if base else "")
    match move.change:
        case Change.REMOVED:
            got, allowed = "nothing, where something stood", f"kept: {known}"
        case Change.MOVED:
            got, allowed = shown(move.after), f"left at {known}"
        case Change.LOOSENED | Change.TIGHTENED:
            lower = move.shape.extra.get("safe") == Safe.LOWER.value
            got = shown(move.after)
            allowed = f"{'at most' if lower else 'at least'} {known}"
    reason = move.shape.extra.get("because")
    tail = f": {reason}" if reason else f" ({move.shape.description})"
    return Mistake(
        origin,
        dotted(move.path),
        got,
        allowed,
        f"a facility, robot, scenario or command line may only tighten safety{tail}",
        f"remove the line, or change {base or 'the base'} and have it reviewed",
    )
