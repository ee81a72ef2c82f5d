"""One way to run a network, whatever runs it: named tensors, declared shapes, deadlines."""

from runtime.perception.inference.card import Card, CardError, TensorSpec, read_card
from runtime.perception.inference.port import (
    Counters,
    Health,
    Inference,
    Outcome,
    Request,
    Result,
    Tensors,
)

__all__ = [
    "Card",
    "CardError",
    "Counters",
    "Health",
    "Inference",
    "Outcome",
    "Request",
    "Result",
    "TensorSpec",
    "Tensors",
    "read_card",
]
