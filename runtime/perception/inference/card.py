"""A network's card: what it is made of, what goes in and out, how well it does. Read strictly."""

import hashlib
import math
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
DType = Literal["uint8", "float32"]
Dim = Annotated[int, Field(ge=1, le=8192)]


class CardError(ValueError):
    """A network that is not what its card says; it is not loaded."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TensorSpec(_Strict):
    name: Name
    dtype: DType
    shape: tuple[Dim, ...] = Field(min_length=1, max_length=5)

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def describe(self) -> str:
        return f"{self.name}: {self.dtype}{list(self.shape)}"

    def matches(self, array: "np.ndarray") -> bool:
        return array.shape == self.shape and array.dtype == np.dtype(self.dtype)


class ModelShare(_Strict):
    """One declared model: its own outputs and its own share of the graph's work."""

    outputs: tuple[Name, ...]
    mflop: float = Field(ge=0)


class Card(_Strict):
    name: Name
    level: int = Field(ge=1, le=3)
    file: str = Field(pattern=r"^[a-z0-9_]+\.onnx$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    summary: str = Field(max_length=400)
    parameters: int = Field(ge=0)
    mflop: float = Field(gt=0)  # the network alone, a multiply-add counted as two
    preparation_mflop: float = Field(ge=0)  # what its graph does to pixels first
    grid_stride_px: int = Field(ge=1, le=64)
    classes: tuple[Name, ...]
    inputs: tuple[TensorSpec, ...] = Field(min_length=1)
    outputs: tuple[TensorSpec, ...] = Field(min_length=1)
    models: dict[Name, ModelShare]
    data: dict[str, str | int | float]
    training: dict[str, str | int | float]
    quality: dict[str, str | int | float]

    @property
    def model_hash(self) -> int:
        """What records carry: the first eight bytes of the file's sha256."""
        return int(self.sha256[:16], 16)

    @property
    def total_mflop(self) -> float:
        return self.mflop + self.preparation_mflop

    def input_bytes(self) -> int:
        return sum(spec.size_bytes for spec in self.inputs)


def read_card(path: Path) -> Card:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CardError(
            f"{path}: the card cannot be read ({error}), so its network is not loaded; "
            "restore the file, or name another card in conf/perception"
        ) from error
    try:
        return Card.model_validate(raw)
    except ValidationError as error:
        lines = "\n".join(
            f"  {'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            f" (got {problem['input']!r:.60})"
            for problem in error.errors()
        )
        raise CardError(
            f"{path}: the card is not valid, so its network is not loaded:\n{lines}\n"
            "  make it anew with  python -m models.perception.make"
        ) from error


def read_network(card_path: Path, card: Card) -> bytes:
    """The network's bytes, refused unless they are the ones the card was written for."""
    path = card_path.parent / card.file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CardError(
            f"{path}: the network of card {card_path.name} cannot be read ({error}), "
            "so its level stays off; restore the file"
        ) from error
    got = hashlib.sha256(data).hexdigest()
    if got != card.sha256:
        raise CardError(
            f"{path}: sha256 is {got[:16]}…, the card says {card.sha256[:16]}…; a network that its "
            "card does not describe is not loaded; restore the file or make card and network anew"
        )
    return data


def check_shapes(
    card: Card,
    side: str,
    declared: tuple[TensorSpec, ...],
    found: dict[str, tuple[str, tuple[int, ...]]],
) -> None:
    """Refuse a network whose tensors are not what its card declares; all differences at once."""
    problems = [
        f"  {spec.describe()} declared, {_describe(spec.name, found)} in the file"
        for spec in declared
        if found.get(spec.name) != (spec.dtype, spec.shape)
    ]
    names = {spec.name for spec in declared}
    problems += [
        f"  {_describe(name, found)} in the file, not declared"
        for name in found
        if name not in names
    ]
    if problems:
        raise CardError(
            f"{card.file}: {side} differ from card {card.name}, so the network is not loaded:\n"
            + "\n".join(problems)
            + "\n  correct the card, or export the network anew"
        )


def _describe(name: str, found: dict[str, tuple[str, tuple[int, ...]]]) -> str:
    if name not in found:
        return "nothing"
    dtype, shape = found[name]
    return f"{name}: {dtype}{list(shape)}"


def check_inputs(card: Card, tensors: dict[str, np.ndarray]) -> None:
    """Refuse tensors that the card does not declare; cheap enough for every run."""
    if tensors.keys() == {spec.name for spec in card.inputs} and all(
        spec.matches(tensors[spec.name]) for spec in card.inputs
    ):
        return
    got = ", ".join(f"{name}: {a.dtype}{list(a.shape)}" for name, a in sorted(tensors.items()))
    want = ", ".join(spec.describe() for spec in card.inputs)
    raise CardError(
        f"{card.name}: got inputs {got or 'none'}; its card declares {want}; the run is refused"
    )
