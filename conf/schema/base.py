"""What every settings model shares: strictness, safe directions, one way to declare a setting."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Never, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_UNSET: Final = object()

K = TypeVar("K")
V = TypeVar("V")


class Safe(StrEnum):
    """Which way an overlay may move a setting of a safety model."""

    LOWER = "lower"  # smaller is safer: a speed limit; False is safer than True
    HIGHER = "higher"  # larger is safer: a distance to keep; True is safer than False
    FIXED = "fixed"  # no way is known to be safer, so no overlay may move it


class Model(BaseModel):
    """Frozen, strict, no unknown key, no NaN and no infinity."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        protected_namespaces=(),
    )


class SafetyModel(Model):
    """A model whose every number declares its safe direction and has no default in the schema.

    Overlays are compared with what they overlay on resolved values, so a value that only the
    schema knew could be moved without being seen.
    """


class FrozenDict(dict[K, V]):
    """A mapping that stays as it was validated."""

    def _refuse(self, *_: object, **__: object) -> Never:
        raise TypeError("configuration is frozen: compose a new one instead")

    __setitem__ = __delitem__ = _refuse  # pyright: ignore[reportAssignmentType]
    pop = popitem = clear = update = setdefault = __ior__ = _refuse  # pyright: ignore[reportAssignmentType]

    def __hash__(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[object, tuple[dict[K, V]]]:
        return type(self), (dict(self),)


def _freeze(value: Mapping[K, V]) -> dict[K, V]:
    return FrozenDict(value)


Table = Annotated[dict[K, V], AfterValidator(_freeze)]
"""A mapping setting: overlays add rows or change single ones, which a list would not allow."""

Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
"""Name of a row: it becomes part of a path, a topic or a tag, so it is short and plain."""

EventKey = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$", max_length=64)]
"""Name of an alert, event, check or mode change: `area.noun_state`, forever stable."""

Meters = Annotated[float, Field(ge=-50.0, le=50.0)]
Position = tuple[Meters, Meters, Meters]
Unit = Annotated[float, Field(ge=-1.0, le=1.0)]
Quaternion = tuple[Unit, Unit, Unit, Unit]
Vector = tuple[float, float, float]
Cpu = Annotated[int, Field(ge=0, le=1023)]


def setting(
    description: str,
    *,
    default: object = _UNSET,
    safe: Safe | None = None,
    because: str = "",
    suggest: object = None,
    **bounds: Any,
) -> Any:
    """Declare a setting: what it is, its bounds, what a wrong value leads to, what to try.

    The texts reach the reader in error messages, in docs/config.md and in the JSON Schema.
    """
    extra: dict[str, Any] = {}
    if safe is not None:
        extra["safe"] = safe.value
    if because:
        extra["because"] = because
    if suggest is not None:
        extra["suggest"] = suggest
    rest: dict[str, Any] = {
        "description": description,
        "json_schema_extra": extra or None,
        **bounds,
    }
    if default is _UNSET:
        return Field(**rest)
    return Field(default=default, **rest)
